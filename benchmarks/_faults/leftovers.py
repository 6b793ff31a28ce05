"""What an installation holds after everything has settled and been swept: exactly the objects that its catalog names.

The service must have ended. The names are read by plain SQL, so that a sweeper that errs is not its own judge. What a
bucket keeps of an upload in parts that was cut off does not show in its list, and is a day's sweep's.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from sqlalchemy import create_engine, text

from configs.settings import load_settings
from retrieval.catalog.rows import SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import StorageError
from retrieval.ids import SegmentId, StoreId
from retrieval.index.files import codebook_name, codes_name
from retrieval.resources import catalog_url, open_storage
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import open_stored
from retrieval.storage.directory import INCOMING, Directory
from retrieval.storage.objects import Storage
from workers.sweeping import Grace, expire, sweep_removed, sweep_unknown

NO_GRACE: Final = Grace(0, 0, 0)
ROUNDS: Final = 3  # rows go before files and files before rows: what one sweep leaves is the next one's


@dataclass(frozen=True, slots=True)
class Left:
    swept: int  # objects that a killed writer left and a sweep took
    unnamed: int  # objects that are still there and that no row names
    missing: int  # objects that a row names and that are not there
    drafts: int
    untruths: int  # counts that differ from what they count
    corrupt: int  # segments whose bytes differ from their checksums, and pages of SQLite that are damaged


def after_sweep(variables: Mapping[str, str]) -> Left:
    """`variables`: the environment in which the service ran."""
    settings = load_settings(variables)
    url = catalog_url(settings)
    with Catalog.open(url) as catalog, closing(open_storage(settings)) as storage:
        swept = 0
        for _ in range(ROUNDS):
            now = catalog.now() + 2
            expire(catalog, now, NO_GRACE)
            sweep_removed(catalog, storage, now, NO_GRACE)
            swept += sweep_unknown(catalog, storage, now, NO_GRACE)
            swept += storage.sweep()
        with catalog.reading() as tx:
            untruths = len(tx.untruths())
        named, found = _named(url), {stored.name for stored in storage.list()}
        unnamed, missing = len(found - named), len(named - found)
        return Left(swept, unnamed, missing, _drafts(storage), untruths, _corrupt(url, storage))


def _drafts(storage: Storage) -> int:
    return sum(1 for _ in (storage.root / INCOMING).iterdir()) if isinstance(storage, Directory) else 0


def _named(url: str) -> set[str]:
    named: set[str] = set()
    engine = create_engine(_driver(url))
    with engine.connect() as connection:
        for query in ("SELECT name FROM blobs", "SELECT blob FROM parts"):
            named |= set(connection.execute(text(query)).scalars())
        for store, segment in connection.execute(text("SELECT store_id, id FROM segments")):
            named.add(segment_name(StoreId(store), SegmentId(segment)))
        for store, segment, version in connection.execute(text("SELECT store_id, segment_id, codebook FROM indexes")):
            named.add(codes_name(StoreId(store), SegmentId(segment), version))
        for store, version in connection.execute(text("SELECT store_id, version FROM codebooks")):
            named.add(codebook_name(StoreId(store), version))
    engine.dispose()
    return named


def _corrupt(url: str, storage: Storage) -> int:
    corrupt = 0
    with Catalog.open(url) as catalog:
        after, stores = "", list[StoreId]()
        with catalog.reading() as tx:
            while found := tx.sweeps.stores_in_use(after, 500):
                stores += [store for store, _ in found]
                after = found[-1][0]
        for store in stores:
            with catalog.reading() as tx:
                rows = tx.manifests.segments(store)
            for row in rows:
                corrupt += not _whole(storage, row)
    if url.startswith("sqlite"):
        engine = create_engine(url)
        with engine.connect() as connection:
            corrupt += connection.execute(text("PRAGMA integrity_check")).scalar() != "ok"
        engine.dispose()
    return corrupt


def _whole(storage: Storage, row: SegmentRow) -> bool:
    try:
        with open_stored(storage, row) as segment:
            segment.verify_all()
    except StorageError:
        return False
    return True


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
