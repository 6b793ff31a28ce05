"""Uploaded bytes: hashed on the way, whole or absent."""

import hashlib
import os
import tracemalloc

import pytest

from retrieval.errors import ObjectMissing, TooLarge
from retrieval.ids import new_part_id, new_project_id, new_upload_id
from retrieval.storage.blobs import Blobs
from retrieval.storage.objects import Storage

PROJECT, UPLOAD = new_project_id(), new_upload_id()
MANY = 1 << 40


def test_a_blob_is_hashed_on_its_way_in(storage: Storage) -> None:
    blobs = Blobs(storage)
    facts = blobs.receive(PROJECT, [b"hello ", b"world"], most_bytes=MANY)
    assert facts.sha256 == hashlib.sha256(b"hello world").hexdigest()
    assert facts.md5 == ""  # nobody asked for it
    assert facts.bytes == 11
    assert [(owner, stored.name) for owner, stored in blobs.list()] == [(PROJECT, facts.name)]
    assert b"".join(storage.read(facts.name, 6)) == b"world"


def test_the_same_bytes_twice_are_two_blobs_so_that_removing_one_spares_the_other(storage: Storage) -> None:
    blobs, other = Blobs(storage), new_project_id()
    first = blobs.receive(PROJECT, [b"content"], most_bytes=MANY)
    second = blobs.receive(PROJECT, [b"content"], most_bytes=MANY)
    third = blobs.receive(other, [b"content"], most_bytes=MANY)
    storage.delete(first.name)
    assert b"".join(storage.read(second.name)) == b"content"
    assert {(owner, stored.name) for owner, stored in blobs.list()} == {(PROJECT, second.name), (other, third.name)}
    assert [stored.name for _, stored in blobs.list(other)] == [third.name]


@pytest.mark.parametrize("pieces", [[b"123456"], [b"123", b"456"]])
def test_a_blob_beyond_its_limit_is_refused_and_leaves_nothing(storage: Storage, pieces: list[bytes]) -> None:
    blobs = Blobs(storage)
    with pytest.raises(TooLarge, match="5 bytes"):
        blobs.receive(PROJECT, pieces, most_bytes=5)
    assert list(storage.list()) == []
    assert blobs.receive(PROJECT, [b"12345"], most_bytes=5).bytes == 5


def test_a_body_that_breaks_off_leaves_nothing(storage: Storage) -> None:
    with Blobs(storage).incoming(PROJECT, most_bytes=MANY) as incoming:
        incoming.write(b"half")
    assert list(storage.list()) == []
    assert storage.sweep() == 0


def test_parts_are_joined_in_the_order_asked_for(storage: Storage) -> None:
    blobs = Blobs(storage)
    parts = {}
    for content in (b"one ", b"two ", b"three"):
        part = new_part_id()
        with blobs.incoming_part(PROJECT, UPLOAD, part, most_bytes=MANY) as incoming:
            incoming.write(content)
            assert incoming.finish().bytes == len(content)
        parts[content] = part
    chosen = [parts[b"two "], parts[b"one "], parts[b"three"]]
    with blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY, with_md5=True) as joined:
        facts = joined.finish()
    assert b"".join(storage.read(facts.name)) == b"two one three"
    assert facts.md5 == hashlib.md5(b"two one three").hexdigest()
    with blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY) as joined:
        assert joined.facts.sha256 == facts.sha256
    assert [stored.name for _, stored in blobs.list()] == [facts.name]
    assert {(project, upload) for project, upload, _ in blobs.list_parts()} == {(PROJECT, UPLOAD)}
    assert blobs.delete_parts(PROJECT, UPLOAD) == 3
    assert list(blobs.list_parts()) == []
    with pytest.raises(ObjectMissing), blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY):
        pass
    assert b"".join(storage.read(facts.name)) == b"two one three"


def test_joining_holds_little_in_memory(storage: Storage) -> None:
    blobs, piece, parts = Blobs(storage), os.urandom(1 << 20), []
    for _ in range(3):
        parts.append(new_part_id())
        with blobs.incoming_part(PROJECT, UPLOAD, parts[-1], most_bytes=MANY) as incoming:
            for _ in range(10):
                incoming.write(piece)
            incoming.finish()
    tracemalloc.start()
    try:
        with blobs.concatenate(PROJECT, UPLOAD, parts, most_bytes=MANY) as joined:
            assert joined.finish().bytes == 30 << 20
        assert tracemalloc.get_traced_memory()[1] < 20 << 20  # a bucket's part, and a little
    finally:
        tracemalloc.stop()
