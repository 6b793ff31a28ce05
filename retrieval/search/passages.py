"""Chunks without a question: those of one file, or of all files that a filter allows, in a lasting order.

The order is that of documents' numbers, then of chunks within each. Merging segments moves rows but not places, so a
place stays good for going on after it, also when what stood there has gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import AttributeValue
from retrieval.ids import FileId
from retrieval.index.documents import UNKNOWN
from retrieval.index.snapshot import Snapshot
from retrieval.search.filters import Filter
from retrieval.segments import layout
from retrieval.segments.rows import StoredChunk

Numbers = NDArray[np.int64]

DOCUMENTS_AT_ONCE: Final = 128
PIECE_CHARACTERS: Final = 65_536


@dataclass(frozen=True, slots=True, order=True)
class Place:
    document: int
    ordinal: int


BEGINNING: Final = Place(0, -1)


@dataclass(frozen=True, slots=True)
class Passage:
    place: Place
    file_id: FileId
    filename: str
    attributes: Mapping[str, AttributeValue]
    chunk: StoredChunk


def documents_allowed(snapshot: Snapshot, allowed: Filter | None) -> Numbers:
    """The numbers of the living documents that pass, ascending."""
    documents = snapshot.documents
    if not len(documents):
        return np.empty(0, np.int64)
    mask = documents.living.values
    if allowed is not None:
        mask = mask & allowed.decide(documents)
    return np.sort(documents.numbers.values[mask])


def passages(snapshot: Snapshot, documents: Numbers, after: Place, most: int) -> tuple[list[Passage], bool]:
    """Up to `most` chunks of these documents behind a place, and whether there are more."""
    found: list[Passage] = []
    for passage in _walk(snapshot, documents, after):
        if len(found) == most:
            return found, True
        found.append(passage)
    return found, False


def tokens_to_embed(snapshot: Snapshot) -> int:
    """About how many tokens embedding everything anew would take: of the texts as counted when they were stored, and
    of the titles, headings and table headers in front of them, four characters a token."""
    total = 0
    for one in snapshot.segments:
        rows = one.segment.rows(0, len(one.segment))
        rows = rows if one.living.mask is None else rows[one.living.mask]
        total += int(rows[:, layout.TOKENS].sum(dtype=np.int64))
        places, counts = np.unique(
            rows[:, [layout.TITLE, layout.PATH, layout.TABLE_HEADER]], axis=0, return_counts=True
        )
        for (title, path, header), count in zip(places.tolist(), counts.tolist(), strict=True):
            parts = [one.segment.string(title), *one.segment.path(path), one.segment.string(header)]
            total += count * sum(map(len, parts)) // 4
    return total


def chunks_of(snapshot: Snapshot, document: int) -> list[StoredChunk]:
    """All chunks of one document in reading order; none if the snapshot has no such document."""
    rows = _rows_of(snapshot, np.array([document]), BEGINNING)
    return snapshot.chunks([(segment, row) for _, segment, row in rows])


def text_of(chunks: Sequence[StoredChunk]) -> list[str]:
    """The parsed text that these chunks were cut from, in pieces to be joined without anything between.

    What two chunks share is given once. What lies in no chunk was white space: its length is known, its kind is not,
    so a break between chunks reads as one, and a single character as a space.
    """
    pieces: list[str] = []
    waiting: list[str] = []
    length, reached = 0, None
    for chunk in chunks:
        if reached is not None and chunk.end <= reached:
            continue
        gap = 0 if reached is None else chunk.start - reached
        text = chunk.text[-gap:] if gap < 0 else _white(gap) + chunk.text
        waiting.append(text)
        length += len(text)
        reached = chunk.end
        if length >= PIECE_CHARACTERS:
            pieces.append("".join(waiting))
            waiting, length = [], 0
    if waiting:
        pieces.append("".join(waiting))
    return pieces


def _white(characters: int) -> str:
    return "" if characters <= 0 else " " if characters == 1 else "\n\n"


def _walk(snapshot: Snapshot, documents: Numbers, after: Place) -> Iterator[Passage]:
    documents = documents[np.searchsorted(documents, after.document) :]
    for at in range(0, len(documents), DOCUMENTS_AT_ONCE):
        for place, segment, row in _rows_of(snapshot, documents[at : at + DOCUMENTS_AT_ONCE], after):
            yield _passage(snapshot, place, segment, row)


def _rows_of(snapshot: Snapshot, documents: Numbers, after: Place) -> list[tuple[Place, int, int]]:
    """(place, segment, row) of every chunk of these documents that stands behind `after`, in order."""
    found: list[tuple[Place, int, int]] = []
    for number, one in enumerate(snapshot.segments):
        runs = one.segment.runs
        for run in np.flatnonzero(np.isin(runs.numbers, documents)).tolist():
            start, stop = int(runs.starts[run]), int(runs.starts[run + 1])
            document = int(runs.numbers[run])
            ordinals = one.segment.rows(start, stop)[:, layout.ORDINAL].tolist()
            for row, ordinal in enumerate(ordinals, start):
                place = Place(document, ordinal)
                if place > after:
                    found.append((place, number, row))
    return sorted(found)


def _passage(snapshot: Snapshot, place: Place, segment: int, row: int) -> Passage:
    documents = snapshot.documents
    position = int(documents.positions(np.array([place.document]))[0])
    if position == UNKNOWN:
        raise ValueError(f"store {snapshot.store}: document {place.document} is not in the snapshot")
    return Passage(
        place,
        documents.file_id(position),
        documents.filename(position),
        documents.attributes(position),
        snapshot.segments[segment].segment.chunk(row),
    )
