"""Reading an archive that somebody brought: member after member, in the one order there is, or not at all.

Opening walks over the headers and reads the manifest; what stands in between is read when it is asked for. Whatever
is not exactly as it is written by `exporting` raises `ArchiveRefused`.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from retrieval.archive import layout
from retrieval.archive.errors import ArchiveRefused
from retrieval.archive.layout import ArchiveManifest
from retrieval.archive.members import BLOCK, END, Member, padding, read_header
from retrieval.errors import StorageUnavailable

PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    bytes: int


class Archive:
    """One archive, open. Safe for threads: it is only read, by position."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            self.bytes = os.fstat(self._file).st_size
            self._at = 0
            self.manifest = self._read_manifest()
            self.files = self._member(layout.FILES, self.manifest.files_bytes)
            book = self.manifest.codebook
            self.codebook = None if book is None else self._member(layout.CODEBOOK, book.bytes)
            self.segments = tuple(
                self._member(layout.segment_member(number), entry.bytes)
                for number, entry in enumerate(self.manifest.segments, 1)
            )
            self.blobs = self._read_blobs()
            if self._bytes(Span(self._at, len(END))) != END or self._at + len(END) != self.bytes:
                raise ArchiveRefused("The archive does not end where it should: it is cut off, or something follows.")
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def pieces(self, span: Span, start: int = 0) -> Iterator[bytes]:
        """Bytes of a member, from `start` on."""
        at, end = span.start + start, span.start + span.bytes
        while at < end:
            piece = os.pread(self._file, min(PIECE_BYTES, end - at), at)
            if not piece:
                raise StorageUnavailable("the archive became shorter while it was read")
            at += len(piece)
            yield piece

    def content(self, span: Span) -> bytes:
        return self._bytes(span)

    def lines(self) -> Iterator[bytes]:
        """The list of files, line by line; compared with its hash when the last one has been given."""
        digest = hashlib.sha256()
        rest = b""
        for piece in self.pieces(self.files):
            digest.update(piece)
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > layout.MOST_LINE_BYTES:
                raise ArchiveRefused("The archive is damaged or foreign: a line of its list of files is too long.")
        if rest:
            raise ArchiveRefused("The archive is damaged or foreign: its list of files does not end with a line.")
        if digest.hexdigest() != self.manifest.files_sha256:
            raise ArchiveRefused("The archive is damaged: its list of files has another hash than its manifest says.")

    def _read_manifest(self) -> ArchiveManifest:
        first = self._header()
        if first.name != layout.MANIFEST:
            raise ArchiveRefused("This is not an archive of a vector store.")
        if first.bytes > layout.MOST_MANIFEST_BYTES:
            raise ArchiveRefused("The archive's manifest is larger than any may be.")
        content = self._bytes(self._span(first))
        said = f"{hashlib.sha256(content).hexdigest()}  {layout.MANIFEST}\n".encode()
        manifest = layout.decode_manifest(content)  # first: it says best what is foreign or of another version
        if self._bytes(self._member(layout.MANIFEST_SUM, len(said))) != said:
            raise ArchiveRefused("The archive is damaged: its manifest has another hash than was written behind it.")
        return manifest

    def _read_blobs(self) -> dict[str, Span]:
        found: dict[str, Span] = {}
        for _ in range(self.manifest.blobs):
            member = self._header()
            folder, _, sha256 = member.name.partition("/")
            if layout.blob_member(sha256) != member.name or folder != "blobs" or sha256 in found:
                raise ArchiveRefused("The archive is damaged or foreign: it holds a member that does not belong there.")
            found[sha256] = self._span(member)
        if sum(span.bytes for span in found.values()) != self.manifest.blobs_bytes:
            raise ArchiveRefused("The archive is damaged: its files are not as long as its manifest says.")
        return found

    def _member(self, name: str, size: int) -> Span:
        member = self._header()
        if member != Member(name, size):
            raise ArchiveRefused(
                f"The archive is damaged or foreign: {name} of {size} bytes was to follow, not {member.bytes} bytes"
                " of something else."
            )
        return self._span(member)

    def _header(self) -> Member:
        block = os.pread(self._file, BLOCK, self._at)
        member = read_header(block)
        self._at += BLOCK
        if member.bytes > self.bytes - self._at:
            raise ArchiveRefused(f"The archive is cut off: {member.bytes} bytes were to follow.")
        return member

    def _span(self, member: Member) -> Span:
        """The place of a member whose header was read last; its padding is behind us afterwards."""
        span = Span(self._at, member.bytes)
        pad = padding(member.bytes)
        if self._bytes(Span(span.start + span.bytes, pad)) != bytes(pad):
            raise ArchiveRefused("The archive is damaged or foreign: there is something where nothing should be.")
        self._at += member.bytes + pad
        return span

    def _bytes(self, span: Span) -> bytes:
        content = os.pread(self._file, span.bytes, span.start)
        if len(content) != span.bytes:
            raise ArchiveRefused("The archive is cut off.")
        return content
