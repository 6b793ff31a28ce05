"""Where a document may be cut, and what each cut costs: the structure that `auto` packs along.

An edge is the first character of something: a section, a block, a line, a sentence, as a last resort a word or
a token. The less a reader feels it as a break, the dearer it is. Rows and code that fit into a chunk offer no
edge inside; elsewhere two neighbouring edges lie at most half of the size wanted apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.chunking.sentences import has_capitals, sentence_starts
from ingest.chunking.static import edge_before
from ingest.chunking.tokens import Tokens
from ingest.document import Block, BlockKind, Document, PlaceKind

# Prices, on the scale of the cost of size in packing.py: 1 is a chunk of twice the size wanted.
SECTION = 0.0
BLOCK = 0.10
LINE = 0.18  # also between the rows of a table and the items of a list
INTRODUCED = 0.25  # between "as follows:" and what follows; between a slide and its notes
SENTENCE = 0.20
CODE_LINE = 0.35
INDENT = 0.02  # for each column by which a line of code is indented
WRAPPED = 0.60  # a line or page ends within a sentence
CLAUSE = 0.70
WORD = 0.80
TOKEN = 1.20
AFTER_HEADING = 3.0  # a heading stays with what follows it

GRAINS = 10  # edges to a chunk of the size wanted; of closer ones only the cheapest is kept
LINE_END = re.compile(r"[\n\r\u2028\u2029]\s*")
# One set in front: `re` looks for its signs much more quickly than for one pattern or another.
CLAUSE_END = re.compile(r"[,;:،؛)\]–—、，；：](?:(?<=[、，；：])|\s+)")
ONE_OF_MANY = frozenset({BlockKind.LIST_ITEM, BlockKind.TABLE_ROW})
INTRODUCIBLE = frozenset({BlockKind.LIST_ITEM, BlockKind.TABLE_ROW, BlockKind.CODE})

Places = NDArray[np.int64]
Prices = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """In tokens: what chunks are drawn to, what they keep to, and what only a row or code block may reach."""

    wanted: int
    usual: int
    most: int


class Edges(NamedTuple):
    """In reading order, from the text's start to its end; `tokens` counts those before each edge."""

    at: Places
    tokens: Places
    price: Prices


class _Layout(NamedTuple):
    starts: Places
    ends: Places
    is_code: NDArray[np.bool_]
    is_whole: NDArray[np.bool_]  # fits into one chunk, and is not to be cut
    is_large: NDArray[np.bool_]  # fills so much of a chunk that the edges on both sides must be kept


def find_edges(document: Document, tokens: Tokens, sizes: Sizes) -> Edges:
    text = document.text
    blocks = document.blocks or (Block(0, len(text)),)
    layout = _lay_out(blocks, tokens, sizes)
    cased = has_capitals(text)
    offers = [
        (np.array([0, len(text)], dtype=np.int64), np.array([SECTION, SECTION])),
        _between_blocks(document, blocks, cased),
        _lines(text, layout, cased),
        _sentences(text, layout, cased),
    ]
    grain = max(1, sizes.wanted // GRAINS)
    at, price = (np.concatenate(column) for column in zip(*offers, strict=True))
    edges = _thin(_count(tokens, at, price), grain, _never_thinned(layout))
    for finer in (_clauses, _words):
        offered = [offer for start, end in _gaps(edges, layout, sizes) for offer in finer(tokens, start, end, grain)]
        if offered:
            added = _count(tokens, np.array([at for at, _ in offered]), np.array([price for _, price in offered]))
            edges = _thin(_joined(edges, _thin(added, grain)), grain=0)
    return edges


def _lay_out(blocks: tuple[Block, ...], tokens: Tokens, sizes: Sizes) -> _Layout:
    starts = np.fromiter((block.start for block in blocks), np.int64, len(blocks))
    ends = np.fromiter((block.end for block in blocks), np.int64, len(blocks))
    size = tokens.starts.searchsorted(ends) - tokens.starts.searchsorted(starts)
    is_code = np.fromiter((block.kind is BlockKind.CODE for block in blocks), np.bool_, len(blocks))
    is_row = np.fromiter((block.kind is BlockKind.TABLE_ROW for block in blocks), np.bool_, len(blocks))
    code_fits = size <= min(2 * sizes.wanted, sizes.most)  # more than that is better read in parts
    is_whole = (is_code & code_fits) | (is_row & (size <= sizes.most))
    return _Layout(starts, ends, is_code, is_whole, is_whole & (size > sizes.wanted // 2))


def _between_blocks(document: Document, blocks: tuple[Block, ...], cased: bool) -> tuple[Places, Prices]:
    text = document.text
    apart = document.place_kind in (PlaceKind.SLIDE, PlaceKind.SHEET)
    price = [_price_between(text, before, after, apart, cased) for before, after in pairwise(blocks)]
    return np.fromiter((block.start for block in blocks[1:]), np.int64, len(price)), np.array(price, dtype=np.float64)


def _price_between(text: str, before: Block, after: Block, places_are_sections: bool, cased: bool) -> float:
    if places_are_sections and after.place != before.place:
        return SECTION
    if before.kind is BlockKind.HEADING:
        empty = after.kind is BlockKind.HEADING and after.level <= before.level  # a section without text
        return BLOCK if empty else AFTER_HEADING
    if after.kind is BlockKind.HEADING:
        return SECTION
    if after.kind is BlockKind.NOTES:
        return INTRODUCED
    if after.kind is before.kind and after.kind in ONE_OF_MANY:
        if bool(before.table_header) == bool(after.table_header):
            return LINE
        return AFTER_HEADING if after.table_header else BLOCK  # behind the header row; before the next table's
    if after.kind in INTRODUCIBLE and text[before.end - 1] in ":：":
        return INTRODUCED
    if after.kind is BlockKind.PARAGRAPH and cased and text[after.start].islower():
        return WRAPPED
    return BLOCK


def _lines(text: str, layout: _Layout, cased: bool) -> tuple[Places, Prices]:
    """One pass over the text, not one for each block."""
    lines, is_code = _inside(np.array([line.end() for line in LINE_END.finditer(text)], dtype=np.int64), layout)
    prose = lines[~is_code]
    price = [WRAPPED if cased and text[at].islower() else LINE for at in prose.tolist()]
    code, price_of_code = _code_lines(text, lines[is_code])
    return np.concatenate((prose, code)), np.concatenate((np.array(price, dtype=np.float64), price_of_code))


def _code_lines(text: str, at: Places) -> tuple[Places, Prices]:
    """Cheaper the less a line is indented, but never before the bracket that closes what came before."""
    if not len(at):
        return at, np.empty(0)
    characters = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    ends = np.flatnonzero(characters == ord("\n"))
    line = np.searchsorted(ends, at)
    indent = at - np.where(line > 0, ends[line - 1] + 1, 0) if len(ends) else at
    closes = np.isin(characters[at], [ord(bracket) for bracket in ")]}"])
    return at, np.where(closes, WORD, CODE_LINE + INDENT * np.minimum(indent, 12))


def _sentences(text: str, layout: _Layout, cased: bool) -> tuple[Places, Prices]:
    """Of everything but code and what is kept whole; neighbouring blocks are searched together."""
    opens = np.zeros(len(layout.starts) + 2, dtype=np.bool_)
    np.logical_not(layout.is_code | layout.is_whole, out=opens[1:-1])
    edges = (opens[1:] != opens[:-1]).nonzero()[0]
    stretches = zip(layout.starts[edges[::2]].tolist(), layout.ends[edges[1::2] - 1].tolist(), strict=True)
    found = [at for start, end in stretches for at in sentence_starts(text, start, end, cased=cased)]
    at, _ = _inside(np.array(found, dtype=np.int64), layout)
    return at, np.full(len(at), SENTENCE)


def _inside(at: Places, layout: _Layout) -> tuple[Places, NDArray[np.bool_]]:
    """Those places that lie inside a block that may be cut, and which of them are code."""
    owner = layout.starts.searchsorted(at, side="right") - 1
    inside = (owner >= 0) & (at > layout.starts[owner]) & (at < layout.ends[owner]) & ~layout.is_whole[owner]
    return at[inside], layout.is_code[owner[inside]]


def _count(tokens: Tokens, at: Places, price: Prices) -> Edges:
    return Edges(at, tokens.starts.searchsorted(at).astype(np.int64), price)


def _never_thinned(layout: _Layout) -> Places:
    """Where something large that is kept whole begins or ends; its end is where the next block begins."""
    after = layout.is_large.nonzero()[0] + 1
    return np.concatenate((layout.starts[layout.is_large], layout.starts[after[after < len(layout.starts)]]))


def _joined(one: Edges, other: Edges) -> Edges:
    return Edges(
        np.concatenate((one.at, other.at)),
        np.concatenate((one.tokens, other.tokens)),
        np.concatenate((one.price, other.price)),
    )


def _thin(edges: Edges, grain: int, kept: Places | None = None) -> Edges:
    """One edge a place, and one a grain of tokens; all that begin a section, though, and all that are `kept`."""
    order = np.lexsort((edges.price, edges.at))
    order = order[_begins_run(edges.at[order])]
    at, tokens, price = edges.at[order], edges.tokens[order], edges.price[order]
    if not grain:
        return Edges(at, tokens, price)
    grains = tokens // grain
    order = np.lexsort((price, grains))
    chosen = price == SECTION
    chosen[order[_begins_run(grains[order])]] = True
    if kept is not None and len(kept):
        chosen |= np.isin(at, kept)
    return Edges(at[chosen], tokens[chosen], price[chosen])


def _begins_run(values: Places) -> NDArray[np.bool_]:
    begins = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins


def _gaps(edges: Edges, layout: _Layout, sizes: Sizes) -> Iterator[tuple[int, int]]:
    """Where neighbouring edges lie too far apart, unless what lies between is meant to stay whole."""
    width = edges.tokens[1:] - edges.tokens[:-1]
    whole = layout.starts[layout.is_whole].searchsorted(edges.at)
    wide = (width > sizes.wanted // 2) & ((whole[1:] == whole[:-1]) | (width > sizes.most))
    for gap in wide.nonzero()[0].tolist():
        yield int(edges.at[gap]), int(edges.at[gap + 1])


def _clauses(tokens: Tokens, start: int, end: int, _grain: int) -> Iterator[tuple[int, float]]:
    for clause in CLAUSE_END.finditer(tokens.text, start + 1, end):
        if clause.end() < end:
            yield clause.end(), CLAUSE


def _words(tokens: Tokens, start: int, end: int, grain: int) -> Iterator[tuple[int, float]]:
    """A place every so many tokens: between words, or else wherever no character is split."""
    first, last = tokens.starts.searchsorted((start, end)).tolist()
    starts, text = tokens.starts[first:last].tolist(), tokens.text
    for goal in range(grain, last - first, grain):
        for at in starts[goal : goal - grain : -1]:
            if text[at].isspace():
                yield at + 1, WORD
                break
        else:
            yield int(tokens.starts[edge_before(tokens, first + goal, first + goal - grain + 1)]), TOKEN
