"""The manifest: which segments, indexes and documents make up a store at its present generation.

A reader that has generation G asks for what changed after it. Documents that are dead and whose rows no live segment
holds are purged in time; a reader older than the last purge is given everything anew (`Manifest.since` is then 0).
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from retrieval.catalog.editions import active_reindex
from retrieval.catalog.reindex_tables import reindexes
from retrieval.catalog.rows import (
    CodebookRow,
    DocumentRow,
    IndexRow,
    Manifest,
    SegmentLoad,
    SegmentRow,
)
from retrieval.catalog.tables import codebooks, documents, indexes, segments, stores
from retrieval.catalog.tally import slices
from retrieval.catalog.values import many_attributes_from_json
from retrieval.catalog.vector_stores import locked, next_generation, no_such_store
from retrieval.errors import NotFound
from retrieval.ids import SegmentId, StoreId, well_formed

# Built once: building a statement costs more than executing it.
_STORE: Final = select(stores).where(stores.c.id == bindparam("whose"), stores.c.deleted_at.is_(None))
_PRESENT: Final = (  # the edition that searches find
    select(stores.c.edition).where(stores.c.id == bindparam("whose")).scalar_subquery()
)
_SEGMENTS: Final = (
    select(segments)
    .where(segments.c.store_id == bindparam("whose"), segments.c.removed_at.is_(None))
    .order_by(segments.c.serial)
)
_SEGMENTS_SEARCHED: Final = _SEGMENTS.where(segments.c.edition == _PRESENT)
_SEGMENTS_OF: Final = _SEGMENTS.where(segments.c.edition == bindparam("which"))
_INSERT_SEGMENT: Final = insert(segments)
_INDEXES: Final = (
    select(indexes.c.segment_id, indexes.c.codebook, indexes.c.bytes, indexes.c.checksum)
    .where(indexes.c.store_id == bindparam("whose"), indexes.c.codebook == bindparam("which"))
    .where(indexes.c.removed_at.is_(None))
    .order_by(indexes.c.segment_id)
)
_CODEBOOK: Final = select(codebooks).where(
    codebooks.c.store_id == bindparam("whose"), codebooks.c.version == bindparam("which")
)
_DOCUMENTS_SINCE: Final = (
    select(
        documents.c.number,
        documents.c.file_id,
        documents.c.filename,
        documents.c.attributes,
        documents.c.living,
        documents.c.changed,
    )
    .where(documents.c.store_id == bindparam("whose"), documents.c.edition == bindparam("which"))
    .where(documents.c.changed > bindparam("after"))
    .order_by(documents.c.number)
)
_DOCUMENTS_LIVING: Final = _DOCUMENTS_SINCE.where(documents.c.living)


def _segment(row: Row[Any]) -> SegmentRow:
    return SegmentRow(
        SegmentId(row.id), StoreId(row.store_id), row.rows, row.width, row.bytes, row.checksum, row.created_at
    )


def _codebook(row: Row[Any]) -> CodebookRow:
    return CodebookRow(
        store_id=StoreId(row.store_id),
        version=row.version,
        trained_rows=row.trained_rows,
        measured_rows=row.measured_rows,
        candidates=row.candidates,
        probes=row.probes,
        recall=row.recall,
        bytes=row.bytes,
        checksum=row.checksum,
    )


def insert_segment(connection: Connection, project: str, segment: SegmentRow, edition: int) -> None:
    connection.execute(
        _INSERT_SEGMENT,
        {
            "id": segment.id,
            "store_id": segment.store_id,
            "project_id": project,
            "rows": segment.rows,
            "width": segment.width,
            "bytes": segment.bytes,
            "checksum": segment.checksum,
            "created_at": segment.created_at,
            "edition": edition,
        },
    )


class Manifests:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, store: StoreId, since: int = 0, edition: int | None = None) -> Manifest:
        """The store as it is; documents only as far as they changed after generation `since`. Of everything (since 0)
        only the living are listed, otherwise the dead too. With `edition`, not what searches find but that edition."""
        row = None
        if well_formed(store):
            row = self._connection.execute(_STORE, {"whose": store}).first()
        if row is None:
            raise no_such_store(store)
        if since < row.purged_generation or since > row.generation:
            since = 0
        model, width, codebook = row.model, row.width, row.codebook
        if edition not in {None, row.edition}:
            job = active_reindex(self._connection, store)
            if job is None or job.edition != edition:
                raise NotFound(f"vector store {store} has no edition {edition}")
            model, width, codebook = job.edition_model, job.edition_width, job.codebook
        edition = row.edition if edition is None else edition
        return Manifest(
            store_id=store,
            generation=row.generation,
            model=model,
            width=width,
            segments=self.segments(store, edition),
            indexes=() if codebook is None else self._indexes(store, codebook),
            codebook=None if codebook is None else self._codebook(store, codebook),
            documents=() if since == row.generation else self._documents(store, since, edition),
            since=since,
            edition=edition,
        )

    def model(self, store: StoreId) -> str | None:
        """The embedding model of a store; None once nothing of the store is left."""
        model: str | None = self._connection.execute(select(stores.c.model).where(stores.c.id == store)).scalar()
        return model

    def serving_edition(self, store: StoreId) -> int | None:
        """The edition that searches find; None once nothing of the store is left."""
        found: int | None = self._connection.execute(select(stores.c.edition).where(stores.c.id == store)).scalar()
        return found

    def segments(self, store: StoreId, edition: int | None = None) -> tuple[SegmentRow, ...]:
        """Of an edition; None: of the one that searches find."""
        live = _SEGMENTS_SEARCHED if edition is None else _SEGMENTS_OF
        found = self._connection.execute(live, {"whose": store, "which": edition})
        return tuple(_segment(row) for row in found)

    def _indexes(self, store: StoreId, version: int) -> tuple[IndexRow, ...]:
        found = self._connection.execute(_INDEXES, {"whose": store, "which": version})
        return tuple(IndexRow(SegmentId(row[0]), row[1], row[2], row[3]) for row in found)

    def _codebook(self, store: StoreId, version: int) -> CodebookRow:
        return _codebook(self._connection.execute(_CODEBOOK, {"whose": store, "which": version}).one())

    def codebook(self, store: StoreId, edition: int | None = None) -> CodebookRow | None:
        """An edition's present codebook, if it has one; None: of the edition that searches find."""
        row = self._connection.execute(select(stores).where(stores.c.id == store)).first()
        versions = {} if row is None else self._codebooks(row)
        version = versions.get(row.edition if edition is None and row is not None else edition)
        return None if version is None else self._codebook(store, version)

    def _codebooks(self, store: Row[Any]) -> dict[int | None, int | None]:
        """By edition, the version of its codebook."""
        job = active_reindex(self._connection, StoreId(store.id))
        return {store.edition: store.codebook} | ({} if job is None else {job.edition: job.codebook})

    def _documents(self, store: StoreId, since: int, edition: int) -> tuple[DocumentRow, ...]:
        wanted = _DOCUMENTS_SINCE if since else _DOCUMENTS_LIVING
        found = self._connection.execute(wanted, {"whose": store, "which": edition, "after": since}).all()
        attributes = many_attributes_from_json([text or "{}" for _, _, _, text, _, _ in found])
        make = tuple.__new__  # thousands: a named tuple's own way there takes twice as long, and a generator too
        return tuple(
            [
                make(DocumentRow, (number, file, name, values, living, changed))
                for (number, file, name, _, living, changed), values in zip(found, attributes, strict=True)
            ]
        )

    def loads(self, store: StoreId, edition: int | None = None) -> tuple[SegmentLoad, ...]:
        """For each live segment of an edition (None: of the one that searches find) how many documents and chunks of
        it live: what a merge would keep."""
        mine = segments.c.edition == (_PRESENT if edition is None else edition)
        living = (documents.c.segment_id == segments.c.id) & (documents.c.store_id == store) & documents.c.living
        wanted = (
            select(
                segments.c.id,
                segments.c.rows,
                func.count(documents.c.number),
                func.coalesce(func.sum(documents.c.chunks), 0),
            )
            .join_from(segments, documents, living, isouter=True)
            .where(segments.c.store_id == store, segments.c.removed_at.is_(None), mine)
            .group_by(segments.c.id, segments.c.rows, segments.c.serial)
            .order_by(segments.c.serial)
        )
        return tuple(
            SegmentLoad(SegmentId(segment), rows, int(living_documents), int(chunks))
            for segment, rows, living_documents, chunks in self._connection.execute(wanted, {"whose": store})
        )

    def lives(self, store: StoreId, held_by: Collection[SegmentId]) -> tuple[list[int], list[int]]:
        """The documents whose rows these segments hold: numbers of the living, numbers of the dead. Rows of a number
        in neither list belong to claims that were refused."""
        living: list[int] = []
        dead: list[int] = []
        for some in slices(sorted(held_by)):
            wanted = select(documents.c.number, documents.c.living).where(
                documents.c.store_id == store, documents.c.segment_id.in_(some)
            )
            for number, lives in self._connection.execute(wanted):
                (living if lives else dead).append(number)
        return living, dead

    # Changes

    def add_index(self, store: StoreId, index: IndexRow) -> bool:
        """Show readers the codes of a live segment under its edition's codebook; False if either is no longer so."""
        row = locked(self._connection, store)
        if row is None or index.codebook not in self._codebooks(row).values():
            return False
        if not self._live(store, [index.segment_id]):
            return False
        return self._insert_indexes(store, row.project_id, [index]) > 0

    def _live(self, store: StoreId, wanted: Collection[SegmentId]) -> bool:
        there = 0
        for some in slices(sorted(set(wanted))):
            live = select(func.count()).where(
                segments.c.store_id == store, segments.c.id.in_(some), segments.c.removed_at.is_(None)
            )
            there += self._connection.execute(live).scalar_one()
        return there == len(set(wanted))

    def _insert_indexes(self, store: StoreId, project: str, rows: Sequence[IndexRow]) -> int:
        if not rows:
            return 0
        for row in rows:  # rebuilt under the same name: the new checksum counts
            self._connection.execute(
                delete(indexes).where(indexes.c.segment_id == row.segment_id, indexes.c.codebook == row.codebook)
            )
        self._connection.execute(
            insert(indexes),
            [
                {
                    "segment_id": row.segment_id,
                    "codebook": row.codebook,
                    "store_id": store,
                    "project_id": project,
                    "bytes": row.bytes,
                    "checksum": row.checksum,
                    "removed_at": None,
                }
                for row in rows
            ],
        )
        return next_generation(self._connection, store)

    def drop_index(self, store: StoreId, segment: SegmentId, codebook: int, now: int) -> bool:
        """Hide an index, damaged or outgrown; searches scan the segment exactly until it is built anew."""
        if locked(self._connection, store) is None:
            return False
        gone = self._connection.execute(
            update(indexes)
            .where(indexes.c.store_id == store, indexes.c.segment_id == segment, indexes.c.codebook == codebook)
            .where(indexes.c.removed_at.is_(None))
            .values(removed_at=now)
        )
        if gone.rowcount:
            next_generation(self._connection, store)
        return gone.rowcount > 0

    def set_codebook(
        self, codebook: CodebookRow, coded: Sequence[IndexRow], now: int, edition: int | None = None
    ) -> bool:
        """Make a new codebook an edition's (None: of the one that searches find), together with the segments coded
        under it; codes under the old one go.

        Codes of segments that are no longer live are passed over. False: store or edition is gone, or the version is
        not newer than its present one (somebody else was quicker).
        """
        store = codebook.store_id
        row = locked(self._connection, store)
        books = {} if row is None else self._codebooks(row)
        if row is None or (edition is not None and edition not in books):
            return False
        edition = row.edition if edition is None else edition
        present = books[edition]
        if present is not None and codebook.version <= present:
            return False
        for version in (indexes.c.codebook, codebooks.c.version):
            table = version.table
            here = (table.c.store_id == store) & (version == present) & table.c.removed_at.is_(None)
            self._connection.execute(update(table).where(here).values(removed_at=now))
        self._connection.execute(
            insert(codebooks).values(
                store_id=store,
                version=codebook.version,
                project_id=row.project_id,
                trained_rows=codebook.trained_rows,
                measured_rows=codebook.measured_rows,
                candidates=codebook.candidates,
                probes=codebook.probes,
                recall=codebook.recall,
                bytes=codebook.bytes,
                checksum=codebook.checksum,
            )
        )
        if edition == row.edition:
            self._connection.execute(update(stores).where(stores.c.id == store).values(codebook=codebook.version))
        else:
            mine = (reindexes.c.store_id == store) & reindexes.c.active
            self._connection.execute(update(reindexes).where(mine).values(codebook=codebook.version))
        live = [
            index for index in coded if index.codebook == codebook.version and self._live(store, [index.segment_id])
        ]
        if not self._insert_indexes(store, row.project_id, live):
            next_generation(self._connection, store)
        return True

    def next_codebook(self, store: StoreId) -> int:
        """A version number for a new codebook of this store that none has had."""
        highest = select(func.coalesce(func.max(codebooks.c.version), 0)).where(codebooks.c.store_id == store)
        return int(self._connection.execute(highest).scalar_one()) + 1

    def calibrate(
        self, store: StoreId, version: int, *, rows: int, candidates: int, probes: int, recall: float
    ) -> bool:
        """Keep what was measured anew on the store's `rows` vectors; False if the codebook is no longer the store's."""
        row = locked(self._connection, store)
        if row is None or version not in self._codebooks(row).values():
            return False
        here = (codebooks.c.store_id == store) & (codebooks.c.version == version)
        self._connection.execute(
            update(codebooks)
            .where(here)
            .values(measured_rows=rows, candidates=candidates, probes=probes, recall=recall)
        )
        next_generation(self._connection, store)
        return True
