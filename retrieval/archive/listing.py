"""The list of files in an archive, gone through once before anything is taken: do its numbers agree with each other?"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from retrieval.archive import layout
from retrieval.archive.errors import ArchiveRefused
from retrieval.archive.reading import Archive
from retrieval.catalog.moving_rows import MovedFile
from retrieval.catalog.rows import FileStatus
from retrieval.ids import SegmentId


@dataclass(slots=True)
class Listing:
    """What an import must know of all files at once: a few hundred bytes for each."""

    chunks: list[dict[int, int]]  # by segment: how many rows which document has
    bytes: int = 0  # of all files
    hashes: dict[str, int] = field(default_factory=dict)  # and how long what they stand for is
    ids: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)


def read_listing(archive: Archive, names: list[SegmentId]) -> Listing:
    """Everything of it was looked at when this returns."""
    found = Listing([{} for _ in names])
    place = {name: number for number, name in enumerate(names)}
    count = 0
    for file in files_of(archive, names):
        count += 1
        if file.id in found.ids:
            raise ArchiveRefused(f"The archive is damaged or foreign: it lists the file {file.id} twice.")
        if found.hashes.setdefault(file.sha256, file.bytes) != file.bytes:
            raise ArchiveRefused(f"The archive is damaged or foreign: two files of hash {file.sha256} differ in size.")
        found.ids.add(file.id)
        found.bytes += file.bytes
        _note_document(file, found, place)
    if count != archive.manifest.files:
        raise ArchiveRefused(f"The archive lists {count} files; its manifest says {archive.manifest.files}.")
    if {sha256: span.bytes for sha256, span in archive.blobs.items()} != found.hashes:
        raise ArchiveRefused("The archive is damaged or foreign: its files are not those that it lists.")
    for number, entry in enumerate(archive.manifest.segments):
        if sum(found.chunks[number].values()) != entry.rows:
            raise ArchiveRefused("The archive is damaged or foreign: its chunks are not those of its files.")
    return found


def _note_document(file: MovedFile, found: Listing, place: dict[SegmentId, int]) -> None:
    document = file.document
    if document is None:
        return
    if document.number in found.numbers:
        raise ArchiveRefused(f"The archive is damaged or foreign: it has two documents of number {document.number}.")
    found.numbers.add(document.number)
    if document.segment is not None:
        found.chunks[place[document.segment]][document.number] = document.chunks


def files_of(archive: Archive, names: list[SegmentId]) -> Iterator[MovedFile]:
    for number, line in enumerate(archive.lines(), 1):
        yield layout.decode_file(line, number, names)


def waits(file: MovedFile) -> bool:
    """Whether the file is to be ingested where it arrives."""
    return file.status is FileStatus.IN_PROGRESS
