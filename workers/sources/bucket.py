"""Objects below a prefix of an S3-compatible bucket. Importing this needs the extra `cluster`."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions as s3
from obstore.store import S3Store

from retrieval.catalog.source_rows import Location, Stamp
from retrieval.sources.permits import BucketAccess
from retrieval.sources.selection import Selection
from workers.sources.port import ItemChanged, ItemUnreadable, Listed, SourceUnavailable, Trouble

if TYPE_CHECKING:
    from obstore import ObjectMeta  # exists in its stubs only

PIECE_BYTES = 1 << 20


class BucketLister:
    def __init__(self, location: Location, access: BucketAccess, selection: Selection) -> None:
        self._selection = selection
        self._prefix = location.prefix.strip("/")
        self._name = f"s3://{location.bucket}/{self._prefix}".rstrip("/")
        self._store = S3Store(
            location.bucket,
            prefix=self._prefix or None,
            endpoint=access.endpoint or None,
            region=access.region,
            access_key_id=access.access_key or None,
            secret_access_key=access.secret_key or None,
            client_options={
                "allow_http": access.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=120),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )

    def items(self) -> Iterator[Listed | Trouble]:
        try:
            for page in obstore.list(self._store):
                for found in page:
                    if self._selection.takes(found["path"]):
                        yield _listed(found)
        except (s3.BaseError, FileNotFoundError, PermissionError) as error:
            raise SourceUnavailable(f"{self._name} cannot be listed: {_first_line(error)}") from error

    def read(self, item: Listed) -> Iterator[bytes]:
        size = 0
        try:
            wanted = {"if_match": item.stamp.etag} if item.stamp.etag else {}
            answer = obstore.get(self._store, item.key, options=wanted)  # type: ignore[arg-type]  # a TypedDict
            for piece in answer.stream(min_chunk_size=PIECE_BYTES):
                size += len(piece)
                yield bytes(piece)
        except (FileNotFoundError, s3.PreconditionError) as error:
            raise ItemChanged(f"{item.key} has changed or gone since it was listed") from error
        except (s3.BaseError, PermissionError) as error:
            raise ItemUnreadable(f"The object cannot be read: {_first_line(error)}") from error
        if size != item.stamp.bytes:
            raise ItemUnreadable(f"The object broke off at {size} of {item.stamp.bytes} bytes.")

    def look(self, key: str) -> Listed | None:
        try:
            return _listed(obstore.head(self._store, key))
        except (s3.BaseError, FileNotFoundError, PermissionError):
            return None

    def close(self) -> None:
        """Connections end with the object."""


def _listed(found: "ObjectMeta") -> Listed:
    modified = int(found["last_modified"].timestamp())
    return Listed(found["path"], Stamp(found["size"], modified * 10**9, found["e_tag"]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
