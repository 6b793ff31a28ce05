"""Rows as the rest of the house sees them: frozen, typed, without SQL.

A *document* is one ingestion of one file into one store, and has a number that is never used again in that
store. Segment rows name documents by number; a document's row says whether it lives. Every change of a
document (published, attributes changed, superseded, deleted) is stamped with the store's new generation, so
that a reader at generation G reads only what changed after G.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from retrieval.ids import FileId, SegmentId, StoreId

AttributeValue = str | float | bool
Attributes = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One live segment of a store: enough to open it and to know that it is whole."""

    id: SegmentId
    store_id: StoreId
    rows: int
    width: int
    bytes: int  # of the file
    checksum: int  # of the header, which in turn holds checksums of everything after it; see docs/formats/segment.md
    created_at: int


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Vector codes of one segment under one codebook. Derived: dropping it makes a search slower, never wrong."""

    segment_id: SegmentId
    codebook: int  # version of the store's codebook
    bytes: int
    checksum: int


@dataclass(frozen=True, slots=True)
class CodebookRow:
    """What all coded segments of a store share, and what was measured when it was made."""

    store_id: StoreId
    version: int
    trained_rows: int
    candidates: int  # how many are re-scored so that recall holds
    recall: float  # at ten, against the exact scan, on the store's own vectors
    bytes: int
    checksum: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    number: int
    file_id: FileId
    filename: str
    attributes: Attributes
    living: bool
    changed: int  # the generation that changed it last


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of a store: everything a snapshot opens. `documents` holds what changed since `since`."""

    store_id: StoreId
    generation: int
    model: str
    width: int
    segments: tuple[SegmentRow, ...]
    indexes: tuple[IndexRow, ...]
    codebook: CodebookRow | None
    documents: tuple[DocumentRow, ...]
    since: int  # the generation that the reader already had; 0 for all
