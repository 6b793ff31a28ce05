"""Files of a store by an attribute filter, outside any search: found, counted, taken out.

Decided by the very code that decides for searches, over the attributes as they were wished: also files that are not
searchable yet, or failed, are matched.
"""

from collections.abc import Sequence
from typing import Final

from retrieval import audit
from retrieval.catalog.rows import Attributes, DocumentRow
from retrieval.catalog.transaction import Catalog
from retrieval.ids import FileId, ProjectId, StoreId
from retrieval.index.documents import Documents
from retrieval.search.filters import Filter

READ_AT_ONCE: Final = 5_000
DELETED_AT_ONCE: Final = 1_000  # of one transaction: other writers of the catalog wait for no longer


def decided(wanted: Filter, attributes: Sequence[Attributes]) -> list[bool]:
    """For each map of attributes, whether the filter allows it."""
    rows = [DocumentRow(number, FileId(""), "", one, True, 0) for number, one in enumerate(attributes)]
    table = Documents.none().updated(rows)
    return wanted.decide(table).tolist() if rows else []


def files_matching(catalog: Catalog, project: ProjectId, store: StoreId, wanted: Filter) -> list[FileId]:
    found: list[FileId] = []
    after = 0
    while True:
        with catalog.reading() as tx:
            rows = tx.store_files.wished_attributes(project, store, after, READ_AT_ONCE)
        passed = decided(wanted, [attributes for _, _, attributes in rows])
        found += [file for (_, file, _), passes in zip(rows, passed, strict=True) if passes]
        if len(rows) < READ_AT_ONCE:
            return found
        after = rows[-1][0]


def delete_matching(
    catalog: Catalog, project: ProjectId, store: StoreId, wanted: Filter, files: Sequence[FileId]
) -> int:
    """Take `files` out of the store as far as the filter still allows them; how many went."""
    gone = 0
    for start in range(0, len(files), DELETED_AT_ONCE):
        some = files[start : start + DELETED_AT_ONCE]
        with catalog.transaction() as tx:
            left = tx.store_files.delete_where(
                project, store, some, lambda found: decided(wanted, found), catalog.now()
            )
        for file in left:
            audit.purged(audit.FILE_DETACHED, "filter", project=project, store=store, file=file)
        gone += len(left)
    return gone
