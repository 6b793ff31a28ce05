import io
import mmap
import random
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.errors import (
    DamagedDocument,
    DocumentError,
    DocumentTooLarge,
    EncryptedDocument,
    HostileDocument,
    UnsupportedFile,
)
from ingest.parsing.archive import OLE_MAGIC, open_archive
from ingest.parsing.limits import Limits

LIMITS = Limits()
MEBIBYTE = 1 << 20


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as container:
        for name, content in members.items():
            container.writestr(name, content)
    return target.getvalue()


def patched(source: bytes, at: int, form: str, value: int) -> bytes:
    changed = bytearray(source)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


def test_members_come_back_as_they_were_put_in() -> None:
    members = {"a.xml": b"<a/>" * 1000, "folder/b.bin": bytes(range(256)), "empty": b""}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = open_archive(packed(members, method), LIMITS)
        assert {name: archive.read(name) for name in archive.names} == members
        assert "a.xml" in archive
        assert "nothing" not in archive
        assert archive.size("a.xml") == 4000


def test_a_large_member_can_be_read_in_pieces() -> None:
    content = random.Random(1).randbytes(2 * MEBIBYTE)
    archive = open_archive(packed({"large": content}), LIMITS)
    pieces = list(archive.stream("large"))
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_a_mapped_file_is_read_and_can_be_closed_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed({"a": b"text"}))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert open_archive(mapped, LIMITS).read("a") == b"text"


def test_zip64_sizes_are_found_among_the_extras() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as container, container.open("a", "w", force_zip64=True) as member:
        member.write(b"text")
    assert open_archive(target.getvalue(), LIMITS).read("a") == b"text"


def test_too_many_members_are_refused_before_any_is_read() -> None:
    with pytest.raises(DocumentTooLarge, match="more than 10 parts"):
        open_archive(packed({f"{n}": b"" for n in range(11)}), replace(LIMITS, archive_members=10))


def test_the_sum_of_declared_sizes_is_limited() -> None:
    with pytest.raises(DocumentTooLarge, match="unpacks to more than"):
        open_archive(packed({"a": b"x" * 600, "b": b"y" * 600}), replace(LIMITS, expanded_bytes=1000))


def test_a_member_denser_than_the_ratio_is_refused() -> None:
    bomb = packed({"word/document.xml": b" " * (4 * MEBIBYTE)})
    with pytest.raises(HostileDocument, match="200 times its size"):
        open_archive(bomb, LIMITS)


def test_a_picture_may_be_denser_for_it_is_never_unpacked() -> None:
    archive = open_archive(packed({"media/white.bmp": b"\xff" * (4 * MEBIBYTE), "a": b"text"}), LIMITS)
    assert archive.read("a") == b"text"
    with pytest.raises(HostileDocument):
        archive.read("media/white.bmp")


def test_a_size_that_lies_is_found_while_unpacking() -> None:
    source = packed({"a": b"x" * 100_000})
    directory = source.rindex(b"PK\x01\x02")
    lying = patched(source, directory + 24, "<L", 50)
    with pytest.raises(HostileDocument, match="larger than"):
        open_archive(lying, LIMITS).read("a")


def test_reads_together_stay_below_the_limit() -> None:
    archive = open_archive(packed({"a": b"x" * 600}), replace(LIMITS, expanded_bytes=1000))
    archive.read("a")
    with pytest.raises(DocumentTooLarge):
        archive.read("a")


def test_a_member_larger_than_memory_allows_is_not_read_whole() -> None:
    archive = open_archive(packed({"a": bytes(range(256)) * 100}), replace(LIMITS, memory_bytes=1000))
    with pytest.raises(DocumentTooLarge, match="fit into memory"):
        archive.read("a")


def test_a_wrong_checksum_is_damage() -> None:
    source = packed({"a": b"some words"}, zipfile.ZIP_STORED)
    with pytest.raises(DamagedDocument, match="checksum"):
        open_archive(source.replace(b"some words", b"same words"), LIMITS).read("a")


def test_members_that_share_bytes_are_refused() -> None:
    source = packed({"a": b"first words", "b": b"other words"}, zipfile.ZIP_STORED)
    second = source.rindex(b"PK\x01\x02")
    at_first = patched(source, second + 42, "<L", 0)
    # The second entry now names the bytes of the first: its local name must agree to get as far as the overlap.
    name_at = second + 46
    overlapping = at_first[:name_at] + b"a" + at_first[name_at + 1 :]
    with pytest.raises(HostileDocument, match="shares its bytes"):
        open_archive(overlapping, LIMITS)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "C:\\x", "\\\\server\\x"])
def test_names_that_point_outside_are_refused(name: str) -> None:
    with pytest.raises(HostileDocument, match="points outside"):
        open_archive(packed({name: b""}), LIMITS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as container:
        container.writestr("a", b"one")
        container.writestr("a", b"two")
    with pytest.raises(DamagedDocument, match="two parts named 'a'"):
        open_archive(target.getvalue(), LIMITS)


def test_an_encrypted_member_is_refused_as_such() -> None:
    source = packed({"a": b"text"})
    flags = source.rindex(b"PK\x01\x02") + 8
    with pytest.raises(EncryptedDocument, match="password"):
        open_archive(patched(source, flags, "<H", 1), LIMITS)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(DamagedDocument, match=r"method .* \(12\)"):
        open_archive(packed({"a": b"text"}, zipfile.ZIP_BZIP2), LIMITS)


def test_an_archive_within_is_bytes_like_any_other() -> None:
    inner = packed({"bomb": b" " * (MEBIBYTE // 2)})
    assert open_archive(packed({"inner.zip": inner}), LIMITS).read("inner.zip") == inner


def test_old_and_encrypted_office_containers_are_told_apart() -> None:
    with pytest.raises(EncryptedDocument):
        open_archive(OLE_MAGIC + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), LIMITS)
    with pytest.raises(UnsupportedFile, match="97-2003"):
        open_archive(OLE_MAGIC + b"\0" * 600, LIMITS)


def test_no_cut_or_flipped_byte_brings_out_anything_but_a_document_error() -> None:
    source = packed({"a": b"some words " * 20, "b": b"others"})
    for cut in range(len(source)):
        attempt(source[:cut])
    for at in range(len(source)):
        attempt(source[:at] + bytes([source[at] ^ 0xFF]) + source[at + 1 :])


def attempt(source: bytes) -> None:
    with suppress(DocumentError):
        archive = open_archive(source, LIMITS)
        for name in archive.names:
            assert archive.read(name) in (b"some words " * 20, b"others")
