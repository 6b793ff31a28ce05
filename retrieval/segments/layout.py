"""Names, order and version of everything in a segment file: here, in docs/formats/segment.md, and nowhere else.

A segment is one safetensors file: a head of fixed length (the length word and JSON padded with spaces), tensors that
each start at a multiple of 64 bytes, and last a table with the checksum of every block of 16 KiB between the two. The
head holds the checksum of that table; the head's own stands in the catalog. So every byte of the file is vouched for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from retrieval.ids import SegmentId, StoreId

FORMAT: Final = "carrel.segment"
VERSION: Final = 1

SEGMENTS: Final = "segments"
SUFFIX: Final = ".safetensors"

HEAD_BYTES: Final = 8192  # of which the first 8 are the length of the rest
BLOCK_BYTES: Final = 1 << 14  # what one checksum covers in what is written now; a file's head says it for that file
BLOCK_BYTES_KNOWN: Final = frozenset({BLOCK_BYTES, 1 << 16})
ALIGNMENT: Final = 64
MOST_ROWS: Final = 1 << 24  # a posting has 24 bits for the row
MOST_FREQUENCY: Final = 255  # and 8 for how often; more counts as this

VECTORS: Final = "vectors"
ROWS: Final = "rows"
RUN_NUMBERS: Final = "runs.numbers"
RUN_STARTS: Final = "runs.starts"
TEXT: Final = "text"
TEXT_OFFSETS: Final = "text.offsets"
STRINGS: Final = "strings"
STRING_OFFSETS: Final = "strings.offsets"
PATHS: Final = "paths"
PATH_OFFSETS: Final = "paths.offsets"
WORD_LENGTHS: Final = "words.lengths"
WORD_POSTINGS: Final = "words.postings"
WORD_TERMS: Final = "words.terms"
WORD_OFFSETS: Final = "words.offsets"
CHECKSUMS: Final = "checksums"
PADDING: Final = "padding"  # padding.0, padding.1, …: safetensors allows no holes

DTYPES: Final[Mapping[str, str]] = {
    VECTORS: "F32",
    ROWS: "U32",
    RUN_NUMBERS: "I64",
    RUN_STARTS: "I64",
    TEXT: "U8",
    TEXT_OFFSETS: "I64",
    STRINGS: "U8",
    STRING_OFFSETS: "I64",
    PATHS: "U32",
    PATH_OFFSETS: "I64",
    WORD_LENGTHS: "U32",
    WORD_POSTINGS: "U32",
    WORD_TERMS: "U64",
    WORD_OFFSETS: "I64",
    CHECKSUMS: "U64",
}
NUMPY_DTYPES: Final[Mapping[str, np.dtype[np.generic]]] = {
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}

# Columns of the tensor `rows`. Place 0 is no place; title and table header are strings, path is a path; 0 is empty.
ORDINAL, START, END, PLACE, TOKENS, TITLE, PATH, TABLE_HEADER = range(8)
ROW_COLUMNS: Final = ("ordinal", "start", "end", "place", "tokens", "title", "path", "table_header")

_METADATA: Final = "__metadata__"


class NotASegment(ValueError):
    """A head that this version does not understand; the reader says of which segment."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int  # from the end of the head
    stop: int


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    segment: SegmentId
    store: StoreId
    created_at: int
    total_length: int  # of all rows, in terms: the sum of `words.lengths`


@dataclass(frozen=True, slots=True)
class Head:
    facts: SegmentFacts
    tensors: Mapping[str, TensorPlace]
    table_checksum: int
    block_bytes: int


def segment_name(store: StoreId, segment: SegmentId) -> str:
    return f"{segments_folder(store)}/{segment}{SUFFIX}"


def segments_folder(store: StoreId) -> str:
    return f"{SEGMENTS}/{store}"


def segment_of(name: str) -> tuple[StoreId, SegmentId] | None:
    """What a segment file's name says; None for any other name."""
    parts = name.removesuffix(SUFFIX).split("/")
    if not name.endswith(SUFFIX) or len(parts) != 3 or parts[0] != SEGMENTS:
        return None
    return StoreId(parts[1]), SegmentId(parts[2])


def checksum(content: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(content)


def head_checksum(head: bytes) -> int:
    """What the catalog keeps: 63 bits, since SQL's integers have a sign."""
    return checksum(head) & ((1 << 63) - 1)


def encode_head(head: Head) -> bytes:
    facts = head.facts
    entries: dict[str, object] = {
        _METADATA: {
            "format": FORMAT,
            "version": str(VERSION),
            "segment": facts.segment,
            "store": facts.store,
            "created_at": str(facts.created_at),
            "total_length": str(facts.total_length),
            "row_columns": ",".join(ROW_COLUMNS),
            "block_bytes": str(head.block_bytes),
            "checksums": f"{head.table_checksum:016x}",
        }
    }
    for place in head.tensors.values():
        entries[place.name] = {
            "dtype": place.dtype,
            "shape": list(place.shape),
            "data_offsets": [place.start, place.stop],
        }
    written = json.dumps(entries, separators=(",", ":")).encode("ascii")
    room = HEAD_BYTES - 8
    if len(written) > room:
        raise ValueError(f"a head of {len(written)} bytes does not fit into {room}")
    return room.to_bytes(8, "little") + written.ljust(room)


def decode_head(head: bytes) -> Head:
    """Read a head whose checksum was right; what is wrong then was written by another release, or is no segment."""
    try:
        entries = json.loads(head[8:])
        metadata = entries.pop(_METADATA)
        if metadata["format"] != FORMAT:
            raise NotASegment(f"its format is {metadata['format']!r}")
        if metadata["version"] != str(VERSION):
            raise NotASegment(f"its version is {metadata['version']}, this release reads {VERSION}")
        tensors = {
            name: TensorPlace(name, entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])
            for name, entry in entries.items()
        }
        facts = SegmentFacts(
            SegmentId(metadata["segment"]),
            StoreId(metadata["store"]),
            int(metadata["created_at"]),
            int(metadata["total_length"]),
        )
        block_bytes = int(metadata["block_bytes"])
        if block_bytes not in BLOCK_BYTES_KNOWN:
            raise NotASegment(f"its blocks have {block_bytes} bytes")
        return Head(facts, tensors, int(metadata["checksums"], 16), block_bytes)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotASegment(f"its head lacks {error}") from error
    except ValueError as error:
        raise error if isinstance(error, NotASegment) else NotASegment("its head is not JSON") from error
