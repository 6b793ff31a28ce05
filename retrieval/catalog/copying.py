"""A catalog in one file, copied while it is in use, and every stored object that such a copy names.

For backups: by the driver alone, because a copy is not opened as a catalog, which would bring its schema up to date.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from retrieval.catalog.rows import IndexRow, SegmentRow
from retrieval.ids import SegmentId, StoreId


@dataclass(frozen=True, slots=True)
class NamedBlob:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NamedObjects:
    """Without any of these a search or a download would fail."""

    blobs: tuple[NamedBlob, ...]
    segments: tuple[SegmentRow, ...]
    indexes: tuple[tuple[StoreId, IndexRow], ...]
    codebooks: tuple[tuple[StoreId, int, int, int], ...]  # store, version, bytes, checksum


def copy_catalog(source: Path, copy: Path) -> None:
    """One consistent state, written page by page while others write; then without what another machine cannot use."""
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live, closing(sqlite3.connect(copy)) as made:
        live.backup(made, pages=4096)
        made.execute("PRAGMA journal_mode=DELETE")
        made.execute("DELETE FROM parts")  # of unfinished uploads: they would have to be sent within the hour
        made.execute("UPDATE uploads SET status = 'expired' WHERE status = 'pending'")
        made.execute("DELETE FROM holds")
        made.commit()


def objects_named_in(catalog: Path) -> NamedObjects:
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as db:
        blobs = db.execute("SELECT name, bytes, sha256 FROM blobs WHERE orphaned_at IS NULL ORDER BY serial")
        segments = db.execute(
            "SELECT id, store_id, rows, width, bytes, checksum, created_at FROM segments"
            " WHERE removed_at IS NULL ORDER BY serial"
        )
        indexes = db.execute(
            "SELECT store_id, segment_id, codebook, bytes, checksum FROM indexes WHERE removed_at IS NULL"
        )
        books = db.execute("SELECT store_id, version, bytes, checksum FROM codebooks WHERE removed_at IS NULL")
        return NamedObjects(
            blobs=tuple(NamedBlob(*row) for row in blobs),
            segments=tuple(SegmentRow(SegmentId(row[0]), StoreId(row[1]), *row[2:]) for row in segments),
            indexes=tuple((StoreId(row[0]), IndexRow(SegmentId(row[1]), *row[2:])) for row in indexes),
            codebooks=tuple((StoreId(row[0]), *row[1:]) for row in books),
        )
