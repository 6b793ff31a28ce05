"""Names and checksums of index files: codes of segments, and the codebook they share.

Derived objects lie beside the segments; their names hold the codebook's version, so a name has one content only
and a new codebook never overwrites what a snapshot may be reading.
"""

import mmap
import re
from typing import Final

import xxhash

from retrieval.errors import IndexDamaged, ObjectMissing
from retrieval.ids import SegmentId, StoreId
from retrieval.index.vectors import Codebook, SegmentCodes, load_codebook, load_codes
from retrieval.storage.objects import Storage, put

INDEXES: Final = "indexes"

_NAME: Final = re.compile(
    r"indexes/(?P<store>[^/]+)/(?:(?P<segment>[^/.]+)\.(?P<version>\d{1,18})\.codes|(?P<book>\d{1,18})\.codebook)\Z"
)
_CATALOG_BITS: Final = (1 << 63) - 1  # SQL's integers have a sign


def indexes_folder(store: StoreId) -> str:
    return f"{INDEXES}/{store}"


def codes_name(store: StoreId, segment: SegmentId, codebook: int) -> str:
    return f"{indexes_folder(store)}/{segment}.{codebook}.codes"


def codebook_name(store: StoreId, version: int) -> str:
    return f"{indexes_folder(store)}/{version}.codebook"


def indexed_by(name: str) -> tuple[StoreId, SegmentId | None, int] | None:
    """What an index file's name says: store, segment (None: a codebook) and version; None for any other name."""
    found = _NAME.match(name)
    if found is None:
        return None
    store, segment, version = found["store"], found["segment"], int(found["version"] or found["book"])
    return StoreId(store), None if segment is None else SegmentId(segment), version


def write_index(storage: Storage, name: str, content: bytes) -> tuple[int, int]:
    """Store one index file durably; its size and the checksum for its row. Writing the same anew is no error."""
    put(storage, name, [content], replace=True)
    return len(content), index_checksum(content)


def index_checksum(content: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(content) & _CATALOG_BITS


def read_codebook(storage: Storage, store: StoreId, version: int, checksum: int) -> Codebook:
    return load_codebook(_read(storage, codebook_name(store, version), checksum))


def read_codes(storage: Storage, store: StoreId, segment: SegmentId, codebook: Codebook, checksum: int) -> SegmentCodes:
    return load_codes(_read(storage, codes_name(store, segment, codebook.version), checksum), codebook)


def _read(storage: Storage, name: str, checksum: int) -> memoryview:
    """A copy on this machine may be damaged, or of codes that were made anew since: then it is fetched once more."""
    content = _mapped(storage, name)
    if index_checksum(content) != checksum:
        storage.forget_local(name)
        content = _mapped(storage, name)
        if index_checksum(content) != checksum:
            raise IndexDamaged(f"{name}: its checksum differs from its row's")
    return content


def _mapped(storage: Storage, name: str) -> memoryview:
    """Mapped, so that what stays in use of it is shared by all processes of the machine."""
    try:
        with storage.local(name) as path, path.open("rb") as file:
            empty = path.stat().st_size == 0
            content = memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (ObjectMissing, FileNotFoundError) as error:
        raise IndexDamaged(f"{name}: is not there") from error
    return content
