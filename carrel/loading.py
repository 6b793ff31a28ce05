"""Files of this machine into a store: hash, upload what is new or changed, attach in batches, wait, replace, report.

What is in the store is known by two attributes of its files, `path` and `sha256`. A changed file is uploaded and
attached beside its old form, which is taken out of the store once the new one is searchable; if the new one fails, the
old one stays.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.ledger import Ledger
from carrel.remote import Json, Remote
from carrel.walking import Found, found_at

PATH, HASH = "path", "sha256"
BATCH_FILES: Final = 500
FLUSH_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 300.0
_PIECE_BYTES: Final = 1 << 20
_FATAL: Final = frozenset({Exit.NO_PERMISSION, Exit.UNAVAILABLE, Exit.NOT_CARREL})


class Became(StrEnum):
    ADDED = "added"
    REPLACED = "replaced"
    UPDATED = "updated"  # only its attributes
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One of the store's files, as the server has it."""

    file_id: str
    sha256: str
    status: str
    attributes: Mapping[str, Any]
    error: Mapping[str, str] | None
    older: tuple[str, ...] = ()  # files with the same path, which a run that was interrupted left behind


@dataclass(slots=True)
class Report:
    store_id: str
    became: dict[Became, int] = field(default_factory=lambda: dict.fromkeys(Became, 0))
    bytes_uploaded: int = 0
    batches: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def fail(self, path: str, code: str, message: str) -> None:
        self.became[Became.FAILED] += 1
        self.failures.append(Failure(path, code, message))


@dataclass(frozen=True, slots=True)
class Ready:
    """Uploaded, or known to be; to be attached."""

    found: Found
    sha256: str
    file_id: str
    sent: bool  # in this run


class Interrupted(Exception):
    """Raised in threads that upload, once nobody waits for them."""


@dataclass(slots=True)
class Watch:
    """What whoever displays it wants to hear; each is called from the main thread, but `moved`."""

    moved: Callable[[int], None]
    seen: Callable[[Found], None]
    progress: Callable[[Json], None]


class Loader:
    """One run."""

    def __init__(
        self,
        remote: Remote,
        store_id: str,
        ledger: Ledger,
        *,
        attributes: Mapping[str, object],
        chunking: Mapping[str, object] | None,
        concurrency: int,
        retry_failed: bool,
        watch: Watch,
    ) -> None:
        self._remote, self._ledger, self._watch = remote, ledger, watch
        self._path = f"vector_stores/{store_id}"
        self._attributes, self._chunking = dict(attributes), chunking
        self._concurrency, self._retry_failed = concurrency, retry_failed
        self.report = Report(store_id)
        self._stored = stored_in(remote, store_id)
        self._names: dict[str, str] = {}  # by file id: the path of what was attached in this run
        self._replaced: dict[str, tuple[str, ...]] = {}  # by a file's id: those that it takes the place of
        self._pending: dict[str, str] = {}  # by file id: the path of what an earlier run attached, and is not done
        self._counted: dict[str, Became] = {}  # as what those are counted until they fail
        self._waiting: list[Ready] = []
        self._flushed = self._looked = time.monotonic()
        self._stop = threading.Event()

    def run(self, files: Iterable[Found]) -> Report:
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="upload")
        try:
            for found, outcome in self._outcomes(pool, iter(files)):
                self._take(found, outcome)
            self._flush()
            self._settle()
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return self.report

    def _outcomes(
        self, pool: ThreadPoolExecutor, files: Iterator[Found]
    ) -> Iterator[tuple[Found, Ready | Became | ServerError]]:
        """As they come; no more are under way than keep the threads busy."""
        running: dict[Future[Ready | Became | ServerError], Found] = {}
        more = True
        while more or running:
            while more and len(running) < 4 * self._concurrency:
                found = next(files, None)
                if found is None:
                    more = False
                    break
                running[pool.submit(self._upload, found)] = found
            done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
            self._look()

    def _upload(self, found: Found) -> Ready | Became | ServerError:
        """In a thread."""
        try:
            known = self._ledger.known(found)
            sha256 = known.sha256 if known is not None else self._hashed(found)
            stored = self._stored.get(found.name)
            if stored is not None and stored.sha256 == sha256:
                self._ledger.add(found, sha256)
                self._watch.moved(found.bytes)
                return self._kept(found, stored)
            if known is not None and known.file_id and self._exists(known.file_id):
                self._watch.moved(found.bytes)
                return Ready(found, sha256, known.file_id, sent=False)
            with found.path.open("rb") as file:
                made = self._remote.upload("files", file, found.path.name, {"purpose": "assistants"}, moved=self._moved)
            now = found_at(found.path, found.path.parent)
            if now is None or (now.bytes, now.modified_ns) != (found.bytes, found.modified_ns):
                return ServerError("It changed while it was read.", exit_code=Exit.TRY_LATER, code="changed")
            self._ledger.add(found, sha256, made["id"])
        except OSError as error:
            return ServerError(f"It cannot be read: {error.strerror}.", exit_code=Exit.NOT_FOUND, code="unreadable")
        except ServerError as error:
            if error.exit_code in _FATAL:
                raise
            return error
        return Ready(found, sha256, made["id"], sent=True)

    def _kept(self, found: Found, stored: Stored) -> Became | ServerError:
        """The same content is in the store."""
        if stored.status in {"failed", "cancelled"}:
            if self._retry_failed:
                self._remote.post(f"{self._path}/files/{stored.file_id}/retry")
                return self._awaited(found, stored, Became.UPDATED)
            error = stored.error or {}
            return ServerError(
                error.get("message", f"It was {stored.status} before. Say --retry to try again."),
                exit_code=Exit.REFUSED,
                code=error.get("code", stored.status),
            )
        became, wished = Became.UNCHANGED, self._described(found, stored.sha256)
        if dict(stored.attributes) != wished:
            self._remote.post(f"{self._path}/files/{stored.file_id}", {"attributes": wished})
            became = Became.UPDATED
        if stored.status == "in_progress" or stored.older:
            return self._awaited(found, stored, became)
        return became

    def _awaited(self, found: Found, stored: Stored, became: Became) -> Became:
        """Not done yet: what comes of it belongs into the report."""
        if stored.older:
            self._replaced[stored.file_id] = stored.older
        self._counted[stored.file_id] = became
        self._pending[stored.file_id] = found.name
        return became

    def _exists(self, file_id: str) -> bool:
        try:
            self._remote.get(f"files/{file_id}")
        except ServerError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _hashed(self, found: Found) -> str:
        digest = hashlib.sha256()
        with found.path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                if self._stop.is_set():
                    raise Interrupted
                digest.update(piece)
        return digest.hexdigest()

    def _moved(self, count: int) -> None:
        if self._stop.is_set():
            raise Interrupted
        self._watch.moved(count)

    def _take(self, found: Found, outcome: Ready | Became | ServerError) -> None:
        self._watch.seen(found)
        match outcome:
            case Ready():
                self.report.bytes_uploaded += found.bytes if outcome.sent else 0
                self._waiting.append(outcome)
                if len(self._waiting) >= BATCH_FILES or time.monotonic() - self._flushed >= FLUSH_SECONDS:
                    self._flush()
            case ServerError():
                self.report.fail(found.name, outcome.code or "error", outcome.message)
            case _:
                self.report.became[outcome] += 1

    def _flush(self) -> None:
        """Attach what has been uploaded."""
        self._flushed = time.monotonic()
        if not self._waiting:
            return
        ready, self._waiting = self._waiting, []
        wishes = []
        for one in ready:
            wish: Json = {"file_id": one.file_id, "attributes": self._described(one.found, one.sha256)}
            if self._chunking is not None:
                wish["chunking_strategy"] = dict(self._chunking)
            wishes.append(wish)
            self._names[one.file_id] = one.found.name
            old = self._stored.get(one.found.name)
            if old is not None:
                self._replaced[one.file_id] = tuple({old.file_id, *old.older} - {one.file_id})
        self.report.batches.append(self._remote.post(f"{self._path}/file_batches", {"files": wishes})["id"])

    def _described(self, found: Found, sha256: str) -> dict[str, object]:
        return {**self._attributes, PATH: found.name, HASH: sha256}

    def _look(self) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS and self.report.batches:
            self._looked = time.monotonic()
            self._watch.progress(self._remote.get(f"{self._path}/progress"))

    def _settle(self) -> None:
        """Wait for what was attached, batch after batch; then let the new replace the old."""
        for batch in self.report.batches:
            path = f"{self._path}/file_batches/{batch}"
            while (found := self._remote.get(path))["file_counts"]["in_progress"]:
                self._pause()
            for status in ("failed", "cancelled"):
                if found["file_counts"][status]:
                    self._failures(f"{path}/files", status, self._names)
        self._settle_pending()
        if self.report.batches:
            self._watch.progress(self._remote.get(f"{self._path}/progress"))
        for new in (*self._names, *self._pending):
            for old in self._replaced.get(new, ()):
                self._remove(old)
        replaced = sum(bool(self._replaced.get(new)) for new in self._names)
        self.report.became[Became.REPLACED] += replaced
        self.report.became[Became.ADDED] += len(self._names) - replaced

    def _settle_pending(self) -> None:
        if not self._pending:
            return
        files = f"{self._path}/files"
        while any(one["id"] in self._pending for one in self._remote.pages(files, filter="in_progress")):
            self._pause()
        for status in ("failed", "cancelled"):
            for file_id in self._failures(files, status, self._pending):
                self.report.became[self._counted[file_id]] -= 1

    def _pause(self) -> None:
        self._watch.progress(self._remote.get(f"{self._path}/progress"))
        time.sleep(LOOK_SECONDS if len(self._names) > 20 else LOOK_SECONDS / 4)

    def _failures(self, path: str, status: str, names: dict[str, str]) -> list[str]:
        """Moves those that failed from `names` to the report; their ids."""
        moved = []
        for one in self._remote.pages(path, filter=status):
            name = names.pop(one["id"], None)
            if name is not None:
                error = one["last_error"] or {}
                message = error.get("message", f"The file was {status}.")
                self.report.fail(name, error.get("code", status), message)
                moved.append(one["id"])
        return moved

    def _remove(self, file_id: str) -> None:
        try:
            self._remote.delete(f"{self._path}/files/{file_id}")
        except ServerError as error:
            if error.status != 404:
                raise


def stored_in(remote: Remote, store_id: str) -> dict[str, Stored]:
    """By path: what was attached last, and the older ones beside it."""
    found: dict[str, Stored] = {}
    for one in remote.pages(f"vector_stores/{store_id}/files", order="desc"):
        attributes = one["attributes"] or {}
        name = attributes.get(PATH)
        if not isinstance(name, str):
            continue
        if name in found:
            newest = found[name]
            found[name] = replace(newest, older=(*newest.older, one["id"]))
        else:
            sha256 = str(attributes.get(HASH, ""))
            found[name] = Stored(one["id"], sha256, one["status"], attributes, one["last_error"])
    return found
