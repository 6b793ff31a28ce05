"""Bucket: objects in an S3-compatible bucket, through obstore, with a cache on this machine.

Importing this module needs the extra `cluster`, so only whoever opens a bucket imports it. An object is created
conditionally: small ones by one conditional put; large ones arrive in parts under a hidden name and are copied
conditionally on the server. Reading resumes where a connection broke.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import obstore
from obstore import exceptions as s3
from obstore.store import S3Store

from retrieval.errors import ObjectExists, ObjectMissing, StorageError, StorageFull, StorageUnavailable
from retrieval.storage.cache import Cache
from retrieval.storage.directory import FileDraft
from retrieval.storage.objects import READ_BYTES, Health, Piece, StoredObject, checked_name, checked_range

INCOMING = ".incoming"

_AT_ONCE_BYTES = 16 << 20  # up to here one conditional put
_PART_BYTES = 16 << 20
_PARTS_IN_FLIGHT = 4
_READ_ATTEMPTS = 5

ABANDONED_SECONDS = 24 * 3600  # how long an upload in parts may take before a sweep takes it for abandoned


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Where a bucket is. Without keys, the machine's own credentials (environment, instance role) are used."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    retries: int = 8
    retry_seconds: int = 60


@contextmanager
def bucket_errors(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"{what}: no such object") from error
    except s3.AlreadyExistsError as error:
        raise ObjectExists(f"{what}: exists already") from error
    except s3.BaseError as error:
        reason = str(error).splitlines()[0]
        if "507 Insufficient Storage" in reason or "StorageFull" in str(error):
            raise StorageFull(f"{what}: {reason}") from error
        raise StorageUnavailable(f"{what}: {reason}") from error


class Bucket:
    def __init__(self, address: BucketAddress, cache: Cache, *, abandoned_seconds: int = ABANDONED_SECONDS) -> None:
        self._cache = cache
        self._abandoned_seconds = abandoned_seconds
        self._store = _opened(address)

    def draft(self) -> "BucketDraft":
        return BucketDraft(self)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        position, end = checked_range(name, self.size(name), start, stop)
        return self._pieces(name, position, end)

    def local(self, name: str) -> AbstractContextManager[Path]:
        def fill(draft: FileDraft) -> int:
            size = self.size(name)
            for piece in self._pieces(name, 0, size):
                draft.write(piece)
            return size

        return self._cache.held(checked_name(name), fill)

    def size(self, name: str) -> int:
        with bucket_errors(name):
            return obstore.head(self._store, checked_name(name))["size"]

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    def delete(self, name: str) -> None:
        try:
            with bucket_errors(name):
                obstore.delete(self._store, checked_name(name))
        except ObjectMissing:
            pass  # removed already: some servers say so
        self._cache.forget(name)

    def list(self, folder: str = "") -> Iterator[StoredObject]:
        for found in self._listed(f"{checked_name(folder)}/" if folder else None):
            if not found.name.startswith(f"{INCOMING}/"):
                yield found

    def forget_local(self, name: str) -> None:
        self._cache.forget(name)

    def check(self) -> Health:
        with self._cache.draft() as draft:
            draft.write(b"\0")
        name = f"{INCOMING}/check-{secrets.token_hex(8)}"
        with bucket_errors("the bucket"):
            obstore.put(self._store, name, b"\0")
            obstore.delete(self._store, name)
        return Health(free_bytes=None)

    def sweep(self) -> int:
        since = time.time() - self._abandoned_seconds
        abandoned = [found.name for found in self._listed(f"{INCOMING}/") if found.modified_at <= since]
        for name in abandoned:
            with bucket_errors(name):
                obstore.delete(self._store, name)
        return len(abandoned) + self._cache.sweep()

    def close(self) -> None:
        """Connections end with the object."""

    def scratch(self) -> FileDraft:
        return self._cache.draft()

    def upload(self, draft: FileDraft, name: str, *, replace: bool) -> None:
        """Send a finished draft, and check what arrived before anyone hears of it."""
        checked_name(name)
        with bucket_errors(name):
            if draft.bytes <= _AT_ONCE_BYTES:
                content = draft.path.read_bytes()
                obstore.put(self._store, name, content, mode="overwrite" if replace else "create", use_multipart=False)
            elif replace:
                self._send_parts(draft.path, name)
            else:
                self._send_large(draft.path, name)
        arrived = self.size(name)
        if arrived != draft.bytes:
            raise StorageUnavailable(f"{name}: {arrived} of {draft.bytes} bytes arrived")
        self._cache.forget(name)
        with suppress(StorageError):  # it is safe in the bucket; a full disk here must not undo that
            self._cache.keep(draft, name)

    def _send_large(self, path: Path, name: str) -> None:
        hidden = f"{INCOMING}/{secrets.token_hex(16)}"
        try:
            self._send_parts(path, hidden)
            obstore.copy(self._store, hidden, name, overwrite=False)
        finally:
            with suppress(s3.BaseError, FileNotFoundError):  # a sweep follows
                obstore.delete(self._store, hidden)

    def _send_parts(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            obstore.put(self._store, name, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_IN_FLIGHT)

    def _pieces(self, name: str, position: int, end: int) -> Iterator[bytes]:
        """Stream a range; a connection that breaks is taken up again where it broke."""
        failures = 0
        while position < end:
            try:
                with bucket_errors(name):
                    answer = obstore.get(self._store, checked_name(name), options={"range": (position, end)})
                    for piece in answer.stream(min_chunk_size=READ_BYTES):
                        yield bytes(piece)
                        position += len(piece)
                        failures = 0
                if position < end:
                    raise StorageUnavailable(f"{name}: ends at {position}, not at {end}")
            except StorageUnavailable:
                failures += 1
                if failures == _READ_ATTEMPTS:
                    raise

    def _listed(self, prefix: str | None) -> Iterator[StoredObject]:
        with bucket_errors(prefix or "the bucket"):
            for page in obstore.list(self._store, prefix):
                for meta in page:
                    yield StoredObject(meta["path"], meta["size"], int(meta["last_modified"].timestamp()))


class BucketDraft:
    """A draft is a local file until it is whole: its hash and its header are known before the first byte is sent."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._file = bucket.scratch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.discard()

    @property
    def bytes(self) -> int:
        return self._file.bytes

    def write(self, piece: Piece) -> None:
        self._file.write(piece)

    def write_at(self, position: int, piece: Piece) -> None:
        self._file.write_at(position, piece)

    def create(self, name: str, *, replace: bool = False) -> None:
        self._bucket.upload(self._file, name, replace=replace)


def _opened(address: BucketAddress) -> S3Store:
    with bucket_errors(address.bucket):
        return S3Store(
            address.bucket,
            prefix=address.prefix or None,
            endpoint=address.endpoint,
            region=address.region,
            access_key_id=address.access_key,
            secret_access_key=address.secret_key,
            copy_if_not_exists="multipart",
            client_options={
                "allow_http": (address.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=120),  # of one request: a part sent, or a stream that is then resumed
            },
            retry_config={
                "max_retries": address.retries,
                "retry_timeout": timedelta(seconds=address.retry_seconds),
            },
        )
