"""Requests and answers as frames: what the child is asked, and the checks that what it says must pass.

An answer is a header of numbers and short strings, the text in UTF-8, and six columns of integers, one row a chunk.
The parent believes none of it: every span, index and count is compared with what it belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ingest.children.channel import Buffer, Frame, Header
from ingest.children.errors import Garbled
from ingest.children.vitals import Vitals
from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.document import BlockKind, PlaceKind
from ingest.errors import DocumentError, DocumentTooLarge
from ingest.parsing.limits import Limits
from ingest.prepared import Prepared

INTEGER = np.dtype("<i4")
START, END, TOKENS, PLACE, HEADING, TABLE = range(6)
COLUMNS = 6
MOST_SENTENCE_CHARACTERS = 2000
MOST_TABLED_CHARACTERS = 8 << 20  # of distinct headings and table headers; together they must fit a frame's header
BLOCK_KINDS = frozenset(BlockKind)
PLACE_KINDS = tuple(PlaceKind)  # a set would ask for a hash, and what is compared with it may be anything


class Kind(StrEnum):
    READY = "ready"
    PREPARED = "prepared"
    REFUSED = "refused"  # the document is to blame, and the parser said how
    EXHAUSTED = "exhausted"  # memory ran out
    FAULT = "fault"  # our own bug; the child ends after it


@dataclass(frozen=True, slots=True)
class Request:
    serial: int
    name: str
    chunking: ChunkLimits


@dataclass(frozen=True, slots=True)
class Fault:
    exception: str  # its class, never its text: that may quote the document
    where: str


Answer = Prepared | DocumentError | Fault | None  # None: memory ran out


def pack_request(request: Request) -> Header:
    chunking = request.chunking
    return {
        "serial": request.serial,
        "name": request.name,
        "chunking": [chunking.strategy, chunking.max_tokens, chunking.overlap_tokens],
    }


def unpack_request(header: Header) -> Request:
    match header:
        case {
            "serial": int(serial),
            "name": str(name),
            "chunking": [("auto" | "static") as strategy, int(most), int(overlap)],
        }:
            return Request(serial, name, ChunkLimits(strategy, most, overlap))
        case _:
            raise Garbled("no request")


def pack_prepared(prepared: Prepared, serial: int) -> tuple[Header, list[Buffer]]:
    headings: dict[tuple[str, ...], int] = {}
    tables: dict[str, int] = {}
    columns = np.empty((COLUMNS, len(prepared.chunks)), INTEGER)
    for chunk in prepared.chunks:
        columns[:, chunk.ordinal] = (
            chunk.start,
            chunk.end,
            chunk.tokens,
            -1 if chunk.place is None else chunk.place,
            headings.setdefault(chunk.heading_path, len(headings)),
            tables.setdefault(chunk.table_header, len(tables)),
        )
    if sum(map(len, tables)) + sum(len(part) for path in headings for part in path) > MOST_TABLED_CHARACTERS:
        raise DocumentTooLarge("The headings and table headers of this file are too long to stand before its chunks.")
    text = prepared.text.encode("utf-8")
    header: Header = {
        "kind": Kind.PREPARED,
        "serial": serial,
        "text_bytes": len(text),
        "chunks": len(prepared.chunks),
        "media_type": prepared.media_type,
        "title": prepared.title,
        "chunk_title": prepared.chunks[0].title if prepared.chunks else "",  # the same for all, perhaps shortened
        "place_kind": prepared.place_kind,
        "place_count": prepared.place_count,
        "blocks": dict(prepared.blocks),
        "warnings": prepared.warnings,
        "headings": list(headings),
        "tables": list(tables),
    }
    return header, [text, columns.data.cast("B") if columns.size else b""]


def pack_vitals(vitals: Vitals | None) -> Header:
    if vitals is None:
        return {}
    return {"vitals": [vitals.resident_bytes, vitals.peak_bytes, vitals.cpu_seconds]}


def unpack_vitals(frame: Frame) -> Vitals | None:
    """What a child says of itself with every answer: a courtesy, on which no verdict rests."""
    match frame.header.get("vitals"):
        case [int(resident), int(peak), int() | float() as seconds] if min(resident, peak, seconds) >= 0:
            return Vitals(resident, peak, seconds)
        case None:
            return None
        case _:
            raise Garbled("vitals that cannot be")


def unpack_answer(frame: Frame, request: Request, limits: Limits) -> Answer:
    header = frame.header
    if header.get("serial") != request.serial:
        raise Garbled("an answer to another request")
    match header:
        case {"kind": Kind.PREPARED}:
            return _prepared(header, frame.body, request.chunking, limits)
        case {"kind": Kind.REFUSED, "error": str(name), "sentence": str(sentence)} if name in REFUSALS:
            printable = "".join(char if char.isprintable() else " " for char in sentence[:MOST_SENTENCE_CHARACTERS])
            return REFUSALS[name](printable)
        case {"kind": Kind.EXHAUSTED}:
            return None
        case {"kind": Kind.FAULT, "exception": str(exception), "where": str(where)}:
            return Fault(exception[:100], where[:200])
        case _:
            raise Garbled("an answer of no known kind")


def _leaves(error: type[DocumentError]) -> dict[str, type[DocumentError]]:
    found = {error.__name__: error}
    for child in error.__subclasses__():
        found |= _leaves(child)
    return found


REFUSALS: Mapping[str, type[DocumentError]] = _leaves(DocumentError)


def _prepared(header: Header, body: memoryview, chunking: ChunkLimits, limits: Limits) -> Prepared:
    text_bytes, count = _count(header, "text_bytes"), _count(header, "chunks")
    if text_bytes + count * COLUMNS * INTEGER.itemsize != len(body):
        raise Garbled("the body has another length than its header says")
    text = _text(bytes(body[:text_bytes]))
    rows: list[list[int]] = np.frombuffer(body[text_bytes:], INTEGER).reshape(COLUMNS, count).T.tolist()
    headings = [tuple(_strings(path)) for path in _list(header, "headings")]
    tables = _strings(_list(header, "tables"))
    _check(rows, len(text), len(headings), len(tables), chunking, limits)
    chunk_title = _string(header.get("chunk_title"))
    place_kind = header.get("place_kind")
    blocks = header.get("blocks")
    if not isinstance(blocks, dict) or not blocks.keys() <= BLOCK_KINDS:
        raise Garbled("blocks of no known kind")
    if place_kind is not None and place_kind not in PLACE_KINDS:
        raise Garbled("places of no known kind")
    return Prepared(
        text=text,
        media_type=_string(header.get("media_type")),
        title=_string(header.get("title")),
        place_kind=None if place_kind is None else PlaceKind(str(place_kind)),
        place_count=_count(header, "place_count"),
        blocks=tuple((kind, _count(blocks, kind)) for kind in BlockKind if kind in blocks),
        chunks=tuple(
            Chunk(
                ordinal=ordinal,
                start=start,
                end=end,
                text=text[start:end],
                tokens=tokens,
                place=None if place < 0 else place,
                title=chunk_title,
                heading_path=headings[heading],
                table_header=tables[table],
            )
            for ordinal, (start, end, tokens, place, heading, table) in enumerate(rows)
        ),
        warnings=tuple(_strings(_list(header, "warnings"))),
    )


def _check(
    rows: Sequence[Sequence[int]], characters: int, headings: int, tables: int, chunking: ChunkLimits, limits: Limits
) -> None:
    start_before, end_before, covered, counted = 0, 0, 0, 0
    for start, end, tokens, place, heading, table in rows:
        sound = (
            start_before <= start < end <= characters
            and end_before <= end
            and 1 <= tokens <= chunking.max_tokens
            and place >= -1
            and 0 <= heading < headings
            and 0 <= table < tables
        )
        if not sound:
            raise Garbled("chunks that cannot be")
        start_before, end_before, covered, counted = start, end, covered + end - start, counted + tokens
    # Chunks of `static` overlap by half at most, so no text is repeated more than a few times.
    if covered > 4 * characters + 4 or counted > 4 * limits.tokens:
        raise Garbled("chunks that cannot be")


def _count(header: Mapping[str, object], name: str) -> int:
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise Garbled(f"{name} is no count")
    return value


def _list(header: Header, name: str) -> list[object]:
    value = header.get(name)
    if not isinstance(value, list):
        raise Garbled(f"{name} is no list")
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Garbled("a string is missing")
    return _text(value.encode("utf-8", "surrogatepass"))


def _strings(values: object) -> list[str]:
    if not isinstance(values, list):
        raise Garbled("a list is missing")
    return [_string(value) for value in values]


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Garbled("text that is no UTF-8") from error
