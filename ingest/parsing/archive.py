"""Zip containers, opened with suspicion: the only reader of zip archives in the house.

The whole directory is judged before a single member is unpacked: how many, how large, how dense, whether two
members share bytes. Sizes are then counted again while inflating, because a directory may lie. An archive
inside an archive is bytes like any other and is never opened.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingest.errors import DamagedDocument, DocumentTooLarge, EncryptedDocument, HostileDocument, UnsupportedFile
from ingest.parsing.limits import MEBIBYTE, Limits, Source

END = struct.Struct("<4s4H2LH")
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
LONGEST_COMMENT = 0xFFFF
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
STORED, DEFLATED = 0, 8
FLAG_ENCRYPTED, FLAG_STRONG_ENCRYPTION, FLAG_UTF8 = 0x1, 0x40, 0x800
# A white bitmap packs a thousand to one and is no attack: pictures are never unpacked here.
PICTURES = (".bmp", ".emf", ".gif", ".ico", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".wdp", ".wmf")
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    method: int
    crc: int
    packed_bytes: int
    expanded_bytes: int
    header_at: int
    data_at: int

    @property
    def data_end(self) -> int:
        return self.data_at + self.packed_bytes


class Archive:
    """The members of one zip container. Reads are counted: together they never exceed `expanded_bytes`."""

    def __init__(self, source: Source, members: dict[str, Member], limits: Limits) -> None:
        self._source = source
        self._members = members
        self._limits = limits
        self._left_bytes = limits.expanded_bytes

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """What the directory says `name` is when unpacked; reading never returns more."""
        return self._member(name).expanded_bytes

    def read(self, name: str) -> bytes:
        """One whole member, unpacked and checked against its checksum."""
        member = self._member(name)
        most = self._limits.memory_bytes // 4
        if member.expanded_bytes > most:
            raise DocumentTooLarge(
                f"The part {name!r} of this file has {member.expanded_bytes:,} bytes; at most {most:,} fit into memory."
            )
        return b"".join(self.stream(name))

    def stream(self, name: str) -> Iterator[bytes]:
        """The same in pieces. The checksum is judged after the last piece."""
        member = self._member(name)
        crc = found = 0
        for piece in self._pieces(member):
            found += len(piece)
            self._left_bytes -= len(piece)
            if found > member.expanded_bytes:
                raise HostileDocument(f"The part {name!r} of this file is larger than the file's directory says.")
            if self._left_bytes < 0:
                raise DocumentTooLarge(f"This file unpacks to more than {self._limits.expanded_bytes:,} bytes.")
            crc = zlib.crc32(piece, crc)
            yield piece
        if found != member.expanded_bytes or crc != member.crc:
            raise DamagedDocument(f"The part {name!r} of this file is damaged: its checksum is wrong. Save it again.")

    def _member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise DamagedDocument(f"The part {name!r} is missing from this file. Save it again.") from None

    def _pieces(self, member: Member) -> Iterator[bytes]:
        _judge_density(member, self._limits)
        if member.method == STORED:
            for at in range(member.data_at, member.data_end, PIECE_BYTES):
                yield self._source[at : min(at + PIECE_BYTES, member.data_end)]
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for at in range(member.data_at, member.data_end, PIECE_BYTES):
                packed = self._source[at : min(at + PIECE_BYTES, member.data_end)]
                while packed and not inflater.eof:
                    yield inflater.decompress(packed, PIECE_BYTES)
                    packed = inflater.unconsumed_tail
            while not inflater.eof and (piece := inflater.decompress(b"", PIECE_BYTES)):
                yield piece
        except zlib.error as error:
            raise DamagedDocument(
                f"The part {member.name!r} of this file cannot be unpacked. Save it again."
            ) from error


def open_archive(source: Source, limits: Limits) -> Archive:
    """Judge the directory of a zip container; raises a DocumentError before anything is unpacked."""
    if source[:8] == OLE_MAGIC:
        raise _ole_refusal(source)
    directory_at, directory_end = _find_directory(source)
    members: list[Member] = []
    total = 0
    for member in _entries(source, directory_at, directory_end):
        members.append(member)
        if len(members) > limits.archive_members:
            raise DocumentTooLarge(f"This file holds more than {limits.archive_members:,} parts.")
        total += member.expanded_bytes
        if total > limits.expanded_bytes:
            raise DocumentTooLarge(f"This file unpacks to more than {limits.expanded_bytes:,} bytes.")
        if not member.name.lower().endswith(PICTURES):
            _judge_density(member, limits)
    _judge_overlap(members, directory_at)
    return Archive(source, _by_name(members), limits)


def _by_name(members: list[Member]) -> dict[str, Member]:
    named: dict[str, Member] = {}
    for member in members:
        if member.name in named:
            raise DamagedDocument(f"This file holds two parts named {member.name!r}. Save it again.")
        if not member.name.endswith("/"):
            named[member.name] = member
    return named


def _ole_refusal(source: Source) -> EncryptedDocument | UnsupportedFile:
    """Office programs put an encrypted document into the container of the 1990s, whole."""
    if source.find(ENCRYPTED_PACKAGE) >= 0:
        return EncryptedDocument("This document is protected by a password. Save it without one and upload it again.")
    return UnsupportedFile(
        "This is a document of Office 97-2003. Save it as .docx, .pptx or .xlsx and upload it again."
    )


def _find_directory(source: Source) -> tuple[int, int]:
    """Where the directory starts and ends, counted from the first byte of the file."""
    tail_at = max(0, len(source) - END.size - LONGEST_COMMENT)
    found = source[tail_at:].rfind(b"PK\x05\x06")
    end_at = tail_at + found
    if found < 0 or end_at + END.size > len(source):
        raise DamagedDocument("This file is cut off or is no zip container: its directory is missing. Upload it again.")
    *_, size, start, _comment = END.unpack_from(source, end_at)
    directory_end = end_at
    if END64_LOCATOR.size <= end_at:
        magic, _disk, at, _disks = END64_LOCATOR.unpack_from(source, end_at - END64_LOCATOR.size)
        if magic == b"PK\x06\x07":
            if at + END64.size > end_at or source[at : at + 4] != b"PK\x06\x06":
                raise DamagedDocument("The directory of this file is damaged. Upload it again.")
            *_, size, start = END64.unpack_from(source, at)
            directory_end = at
    # Bytes in front of the container would move every offset; office programs write none.
    if start + size != directory_end:
        raise DamagedDocument("The directory of this file is not where it says it is. Upload it again.")
    return start, directory_end


def _entries(source: Source, at: int, end: int) -> Iterator[Member]:
    while at < end:
        if at + ENTRY.size > end:
            raise DamagedDocument("The directory of this file is damaged. Upload it again.")
        entry = ENTRY.unpack_from(source, at)
        (
            magic,
            _,
            _,
            flags,
            method,
            _,
            _,
            crc,
            packed,
            expanded,
            name_size,
            extra_size,
            comment_size,
            _,
            _,
            _,
            header_at,
        ) = entry
        extra_at = at + ENTRY.size + name_size
        at = extra_at + extra_size + comment_size
        if magic != b"PK\x01\x02" or at > end:
            raise DamagedDocument("The directory of this file is damaged. Upload it again.")
        raw_name = source[extra_at - name_size : extra_at]
        extra = source[extra_at : extra_at + extra_size]
        expanded, packed, header_at = _wide_sizes(extra, expanded, packed, header_at)
        name = _judged_name(raw_name, flags)
        _judge_method(name, flags, method)
        data_at = _data_at(source, header_at, raw_name)
        if method == STORED and packed != expanded:
            raise DamagedDocument(f"The part {name!r} of this file has two sizes. Upload it again.")
        yield Member(name, method, crc, packed, expanded, header_at, data_at)


def _wide_sizes(extra: bytes, expanded: int, packed: int, header_at: int) -> tuple[int, int, int]:
    """Zip64: a field of all ones stands for eight bytes among the extras, in this order."""
    fields = [expanded, packed, header_at]
    if 0xFFFFFFFF not in fields:
        return expanded, packed, header_at
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.iter_unpack("<Q", extra[at + 4 : at + 4 + size // 8 * 8]))
            for position, field in enumerate(fields):
                if field == 0xFFFFFFFF:
                    fields[position] = next(values, (field,))[0]
        at += 4 + size
    return fields[0], fields[1], fields[2]


def _judged_name(raw: bytes, flags: int) -> str:
    # Names outside ASCII matter only for telling members apart, so any one-to-one decoding will do.
    name = raw.decode("utf-8" if flags & FLAG_UTF8 else "cp437", "surrogateescape").replace("\\", "/")
    if "\0" in name or name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        raise HostileDocument("This file holds a part whose name points outside the file.")
    return name


def _judge_method(name: str, flags: int, method: int) -> None:
    if flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION) or method == 99:
        raise EncryptedDocument("This file is protected by a password. Save it without one and upload it again.")
    if method not in (STORED, DEFLATED):
        raise DamagedDocument(
            f"The part {name!r} of this file is packed by a method that documents do not use ({method})."
        )


def _data_at(source: Source, header_at: int, raw_name: bytes) -> int:
    if header_at + LOCAL.size > len(source):
        raise DamagedDocument("The directory of this file points past its end. Upload it again.")
    magic, *_, name_size, extra_size = LOCAL.unpack_from(source, header_at)
    name_at = header_at + LOCAL.size
    if magic != b"PK\x03\x04" or source[name_at : name_at + name_size] != raw_name:
        raise DamagedDocument("The directory of this file and its parts disagree. Upload it again.")
    return int(name_at + name_size + extra_size)


def _judge_density(member: Member, limits: Limits) -> None:
    if member.expanded_bytes > MEBIBYTE and member.expanded_bytes > limits.expansion_ratio * member.packed_bytes:
        raise HostileDocument(
            f"The part {member.name!r} of this file unpacks to more than {limits.expansion_ratio} times its size."
        )


def _judge_overlap(members: Iterable[Member], directory_at: int) -> None:
    """Members that share bytes expand without bound, however honest each one's sizes are."""
    before = 0
    for member in sorted(members, key=lambda member: member.header_at):
        if member.header_at < before:
            raise HostileDocument(f"The part {member.name!r} of this file shares its bytes with another part.")
        before = member.data_end
    if before > directory_at:
        raise DamagedDocument("The parts of this file run into its directory. Upload it again.")
