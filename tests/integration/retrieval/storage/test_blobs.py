"""Uploaded bytes: one copy per project and content, hashed on the way, whole or absent."""

import hashlib
import os
import time
import tracemalloc

import pytest

from retrieval.errors import ObjectMissing, TooLarge
from retrieval.ids import new_part_id, new_project_id, new_upload_id
from retrieval.storage.blobs import Blobs
from retrieval.storage.objects import Storage

PROJECT, UPLOAD = new_project_id(), new_upload_id()
MANY = 1 << 40


def test_a_blob_is_hashed_and_kept_once(storage: Storage) -> None:
    blobs = Blobs(storage)
    facts = blobs.receive(PROJECT, [b"hello ", b"world"], most_bytes=MANY)
    assert facts.sha256 == hashlib.sha256(b"hello world").hexdigest()
    assert facts.md5 == hashlib.md5(b"hello world").hexdigest()
    assert facts.bytes == 11
    assert blobs.receive(PROJECT, [b"hello world"], most_bytes=MANY) == facts
    assert [(owner, sha256) for owner, sha256, _ in blobs.list()] == [(PROJECT, facts.sha256)]
    assert b"".join(blobs.read(PROJECT, facts.sha256, 6)) == b"world"
    assert blobs.size(PROJECT, facts.sha256) == 11
    with blobs.local(PROJECT, facts.sha256) as path:
        assert path.read_bytes() == b"hello world"


def test_projects_do_not_share_blobs(storage: Storage) -> None:
    blobs, other = Blobs(storage), new_project_id()
    facts = blobs.receive(PROJECT, [b"content"], most_bytes=MANY)
    with pytest.raises(ObjectMissing):
        blobs.read(other, facts.sha256)
    blobs.receive(other, [b"content"], most_bytes=MANY)
    assert blobs.delete_if_older(PROJECT, facts.sha256, modified_before=int(time.time()) + 60)
    assert b"".join(blobs.read(other, facts.sha256)) == b"content"
    assert [owner for owner, _, _ in blobs.list()] == [other]
    assert list(blobs.list(PROJECT)) == []


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
    facts = blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY)
    assert b"".join(blobs.read(PROJECT, facts.sha256)) == b"two one three"
    assert facts.md5 == hashlib.md5(b"two one three").hexdigest()
    assert blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY) == facts
    assert {(project, upload) for project, upload, _ in blobs.list_parts()} == {(PROJECT, UPLOAD)}
    assert blobs.delete_parts(PROJECT, UPLOAD) == 3
    assert list(blobs.list_parts()) == []
    with pytest.raises(ObjectMissing):
        blobs.concatenate(PROJECT, UPLOAD, chosen, most_bytes=MANY)
    assert b"".join(blobs.read(PROJECT, facts.sha256)) == b"two one three"


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
        assert blobs.concatenate(PROJECT, UPLOAD, parts, most_bytes=MANY).bytes == 30 << 20
        assert tracemalloc.get_traced_memory()[1] < 20 << 20  # a bucket's part, and a little
    finally:
        tracemalloc.stop()


def test_a_blob_received_again_is_spared_by_the_sweep(storage: Storage) -> None:
    blobs = Blobs(storage)
    facts = blobs.receive(PROJECT, [b"content"], most_bytes=MANY)
    assert not blobs.delete_if_older(PROJECT, facts.sha256, modified_before=int(time.time()) - 60)
    assert blobs.size(PROJECT, facts.sha256) == 7
    assert not blobs.delete_if_older(PROJECT, "0" * 64, modified_before=int(time.time()) + 60)


@pytest.mark.parametrize("sha256", ["", "ab", "../../etc"])
def test_what_is_no_hash_names_no_blob(storage: Storage, sha256: str) -> None:
    with pytest.raises(ObjectMissing):
        Blobs(storage).read(PROJECT, sha256)
