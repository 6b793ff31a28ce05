"""Postings: which terms stand in which rows, and how often, as sorted columns that are searched where they lie.

A term is the hash of its letters. Its postings are consecutive numbers, ascending by row, with the row in the low 24
bits and the frequency in the high 8. No table of terms is ever built in memory.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.segments.layout import MOST_FREQUENCY, MOST_ROWS, WORD_LENGTHS, WORD_OFFSETS, WORD_POSTINGS, WORD_TERMS
from retrieval.segments.tensors import MappedTensors
from retrieval.segments.words import hash_term, hashes_of

ROW_BITS = 24
ROW_MASK = MOST_ROWS - 1

_GROUP_PIECES = 1 << 20  # counted at once while writing
_GROUP_POSTINGS = 1 << 22  # merged at once

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Postings as a segment stores them: term i has postings[offsets[i]:offsets[i + 1]]."""

    terms: U64
    offsets: I64
    postings: U32
    lengths: U32


class Postings:
    """One segment's postings, searched in the mapping."""

    def __init__(self, file: MappedTensors) -> None:
        self._file = file
        self._terms: U64 = file.tensor(WORD_TERMS)
        self._offsets: I64 = file.tensor(WORD_OFFSETS)
        self._postings: U32 = file.tensor(WORD_POSTINGS)
        self._lengths: U32 = file.tensor(WORD_LENGTHS)
        self._terms_checked = False
        self._lengths_checked = False

    @property
    def rows(self) -> int:
        return len(self._lengths)

    @property
    def total_length(self) -> int:
        return self._file.head.facts.total_length

    @property
    def lengths(self) -> U32:
        """How many terms each row has."""
        if not self._lengths_checked:
            self._file.check_tensor(WORD_LENGTHS)
            self._lengths_checked = True
        return self._lengths

    @property
    def terms(self) -> U64:
        if not self._terms_checked:  # a search looks anywhere, so all of them, once
            self._file.check_tensor(WORD_TERMS)
            self._terms_checked = True
        return self._terms

    def packed(self, term: str) -> U32:
        """A term's postings, ascending by row, as they lie in the mapping; see `unpacked`."""
        wanted = hash_term(term)
        at = int(self.terms.searchsorted(np.uint64(wanted)))
        if at == len(self._terms) or int(self._terms[at]) != wanted:
            return np.empty(0, np.uint32)
        return self.between(*self.offsets(at, at + 1).tolist())

    def offsets(self, first: int, last: int) -> I64:
        """Where the postings of terms first..last begin, and where those of the last one end."""
        base = self._file.head.tensors[WORD_OFFSETS].start
        self._file.check(base + 8 * first, base + 8 * (last + 1))
        return self._offsets[first : last + 1]

    def between(self, start: int, stop: int) -> U32:
        base = self._file.head.tensors[WORD_POSTINGS].start
        self._file.check(base + 4 * start, base + 4 * stop)
        return self._postings[start:stop]


def unpacked(packed: U32) -> tuple[I64, NDArray[np.float32]]:
    """Rows, and how often each holds the term (255 stands for more)."""
    return (packed & np.uint32(ROW_MASK)).astype(np.int64), (packed >> np.uint32(ROW_BITS)).astype(np.float32)


class _Pieces(dict[str, int]):
    """Each distinct piece of text between spaces, numbered, and analysed when it is first met."""

    def __init__(self) -> None:
        super().__init__()
        self.fan_out: list[int] = []  # of each piece: how many terms
        self.terms: list[int] = []  # term numbers, piece after piece
        self.term_numbers: dict[int, int] = {}  # by hash: two terms of one hash are one term to us

    def __missing__(self, piece: str) -> int:
        found = hashes_of(piece)
        for term in found:
            self.terms.append(self.term_numbers.setdefault(term, len(self.term_numbers)))
        self[piece] = number = len(self.fan_out)
        self.fan_out.append(len(found))
        return number


class PostingsBuilder:
    """Counts the words of rows added one by one. Python sees each distinct piece once; counting is numpy's."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._waiting = array("q")  # piece numbers of rows that are not counted yet
        self._waiting_ends = array("q")  # where each of these rows ends
        self._rows = 0
        self._lengths: list[U32] = []
        self._groups: list[tuple[U32, U32]] = []  # (term number, packed posting), ascending

    def add(self, text: str) -> None:
        self._waiting.extend(map(self._pieces.__getitem__, text.split()))
        self._waiting_ends.append(len(self._waiting))
        if len(self._waiting) >= _GROUP_PIECES:
            self._count()

    def finish(self) -> Columns:
        self._count()
        terms, rank = np.unique(np.fromiter(self._pieces.term_numbers, np.uint64), return_inverse=True)
        counts = np.zeros(len(terms), np.int64)
        for numbers, _ in self._groups:
            counts += np.bincount(rank[numbers], minlength=len(terms))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        postings, free = np.empty(int(offsets[-1]), np.uint32), offsets[:-1].copy()
        for numbers, packed in self._groups:
            keys = np.sort((rank[numbers] << 32) | _row_first(packed))
            _place(postings, free, keys >> 32, _frequency_first(keys))
        return Columns(terms, offsets, postings, np.concatenate([*self._lengths, np.empty(0, np.uint32)]))

    def _count(self) -> None:
        """Turn the waiting rows into postings, ascending by term number and row."""
        if not self._waiting_ends:
            return
        pieces = np.array(self._waiting)
        ends = np.array(self._waiting_ends)
        fan_out = np.array(self._pieces.fan_out, np.int64)
        first = np.cumsum(fan_out) - fan_out
        times = fan_out[pieces]
        rows = np.repeat(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)), times)
        inside = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
        terms = np.array(self._pieces.terms, np.int64)[np.repeat(first[pieces], times) + inside]
        keys = np.sort((terms << ROW_BITS) | (rows + self._rows))
        edges = np.flatnonzero(np.diff(keys, prepend=-1))
        often = np.minimum(np.diff(edges, append=len(keys)), MOST_FREQUENCY)
        packed = (keys[edges] & ROW_MASK) | (often << ROW_BITS)
        self._groups.append(((keys[edges] >> ROW_BITS).astype(np.uint32), packed.astype(np.uint32)))
        self._lengths.append(np.bincount(rows, minlength=len(ends)).astype(np.uint32))
        self._rows += len(ends)
        self._waiting, self._waiting_ends = array("q"), array("q")


class PostingsMerge:
    """Several segments' postings as one, range of terms by range: `pieces` first, then `terms` and `offsets`.

    `new_rows[i]` gives for each row of segment i its new number, or -1 for a row that goes. Memory is bounded by the
    range and 16 bytes for each distinct term.
    """

    def __init__(self, sources: Sequence[Postings], new_rows: Sequence[I64]) -> None:
        self._sources = sources
        self._new_rows = new_rows
        self._terms: list[U64] = []
        self._counts: list[I64] = []

    def pieces(self) -> Iterator[U32]:
        total = sum(int(source.offsets(len(source.terms), len(source.terms))[0]) for source in self._sources)
        parts = max(1, -(-total // _GROUP_POSTINGS))
        edges = [(1 << 64) * part // parts for part in range(1, parts)]
        starts = [0] * len(self._sources)
        for edge in [*edges, None]:
            stops = [
                len(source.terms) if edge is None else int(np.searchsorted(source.terms, np.uint64(edge)))
                for source in self._sources
            ]
            yield self._merged(starts, stops)
            starts = stops

    @property
    def terms(self) -> Iterable[U64]:
        return self._terms

    @property
    def offsets(self) -> I64:
        return np.concatenate([[0], np.cumsum(np.concatenate([*self._counts, np.empty(0, np.int64)]))]).astype(np.int64)

    def _merged(self, starts: Sequence[int], stops: Sequence[int]) -> U32:
        found = [
            _living(source, rows, start, stop)
            for source, rows, start, stop in zip(self._sources, self._new_rows, starts, stops, strict=True)
        ]
        terms, rank = np.unique(np.concatenate([terms for terms, _, _ in found]), return_inverse=True)
        counts = np.zeros(len(terms), np.int64)
        ranks, at = [], 0
        for own, own_counts, _ in found:
            ranks.append(rank[at : at + len(own)])
            counts[ranks[-1]] += own_counts
            at += len(own)
        free = np.cumsum(counts) - counts
        merged = np.empty(int(counts.sum()), np.uint32)
        for own_rank, (_, own_counts, packed) in zip(ranks, found, strict=True):
            _place(merged, free, np.repeat(own_rank, own_counts), packed)
        self._terms.append(terms)
        self._counts.append(counts)
        return merged


def _living(source: Postings, new_rows: I64, start: int, stop: int) -> tuple[U64, I64, U32]:
    """Terms [start, stop) of one segment, how many postings each keeps, and these with their new rows."""
    offsets = source.offsets(start, stop)
    packed = source.between(int(offsets[0]), int(offsets[-1]))
    rows = new_rows[packed & np.uint32(ROW_MASK)]
    kept = rows >= 0
    counts = np.diff(offsets)
    if not kept.all():
        counts = np.diff(np.concatenate([[0], np.cumsum(kept)])[offsets - offsets[0]])
        packed, rows = packed[kept], rows[kept]
    renamed = (packed & ~np.uint32(ROW_MASK)) | rows.astype(np.uint32)
    held = counts > 0
    return source.terms[start:stop][held], counts[held], renamed


def _row_first(packed: U32) -> I64:
    """Postings as numbers that sort by row."""
    return ((packed & np.uint32(ROW_MASK)).astype(np.int64) << 8) | (packed >> np.uint32(ROW_BITS))


def _frequency_first(keys: I64) -> U32:
    return (((keys >> 8) & ROW_MASK) | ((keys & MOST_FREQUENCY) << ROW_BITS)).astype(np.uint32)


def _place(target: U32, free: I64, ranks: I64, values: U32) -> None:
    """Put ascending `ranks`' values behind what is already placed of each rank; `free` moves on."""
    edges = np.flatnonzero(np.diff(ranks, prepend=-1))
    counts = np.diff(edges, append=len(ranks))
    distinct = ranks[edges]
    target[np.arange(len(ranks)) + np.repeat(free[distinct] - edges, counts)] = values
    free[distinct] += counts
