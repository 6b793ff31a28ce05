"""Refresh: what a source holds now, compared with what its store got from it; the difference made good; a report.

A run lists the source, compares stamps, reads only what may have changed, and lets content decide by its hash. Steps
of some dozen items are transactions of their own (`source_steps`), so a run that is killed is taken up by comparing
again. Nothing is removed before everything else is done, and nothing at all if too much has vanished. What is new
is attached like any upload; the old form of a document is found until the new one is. Knows no Celery.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urlsplit

from ingest.errors import ModelMissing
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.source_rows import (
    Change,
    Found,
    ItemRow,
    Outcome,
    RunStatus,
    SourceClaim,
    SourceKind,
    SourceRow,
)
from retrieval.errors import CatalogError, LeaseLost, NotAllowedNow, NotFound, TooLarge
from retrieval.ids import SourceId, StoreId, new_file_id, new_lease_token, new_run_id
from retrieval.sources.permits import Permits
from retrieval.sources.schedule import next_time
from retrieval.sources.templates import (
    FRONT_BYTES,
    Facts,
    attributes_of,
    front_matter,
    needs_front_matter,
    needs_modified,
)
from retrieval.storage.blobs import Blobs
from workers.comparing import Plan, compare, recipe_of, too_much_vanished, worth_another_try
from workers.leases import RunLease
from workers.resources import WorkerResources
from workers.sources.opening import open_lister
from workers.sources.port import (
    ItemChanged,
    ItemUnreadable,
    Listed,
    Lister,
    SourceUnavailable,
)

STEP_ITEMS: Final = 64
DROP_ITEMS: Final = 200
READERS: Final = 8
TRIES: Final = 3  # to read an item that changes meanwhile; then it is taken next time
SHIFT_SECONDS: Final = 120  # after so long a run gives way to others, and goes on when they have had their turn
PAUSE_SECONDS: Final = 30  # before a run that met trouble of ours is tried again
LOOK_AGAIN_SECONDS: Final = 2
MOST_SOURCES: Final = 100

_T = TypeVar("_T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RefreshParts:
    resources: WorkerResources
    permits: Permits
    ring: Callable[[StoreId], None]  # files wait in this store
    lease_seconds: int = 30
    largest_bytes: int = 512 << 20
    shift_seconds: float = SHIFT_SECONDS
    step_items: int = STEP_ITEMS

    @property
    def blobs(self) -> Blobs:
        return Blobs(self.resources.storage)


def begin_due(parts: RefreshParts) -> int:
    """Begin every run whose time has come, whichever scheduler is first; how many this one began."""
    catalog, begun = parts.resources.catalog, 0
    now = parts.resources.now()
    with catalog.reading() as tx:
        due = tx.source_runs.due(now, MOST_SOURCES)
    for source in due:
        wish = source.wish
        following = None if wish.cron is None else next_time(wish.cron, wish.time_zone, now)
        with catalog.transaction() as tx:
            begun += tx.source_runs.begin_due(source, new_run_id(), following, now)
    return begun


def waiting(parts: RefreshParts) -> list[SourceId]:
    """Sources whose run nobody is at: asked for, left by a worker that died, or waiting for its report."""
    with parts.resources.catalog.reading() as tx:
        return [source.id for source in tx.source_runs.waiting(parts.resources.now(), MOST_SOURCES)]


def refresh(source: SourceId, parts: RefreshParts) -> RunStatus | None:
    """Carry the source's run on as far as it goes now. None: there is none, or somebody else is at it."""
    resources, token = parts.resources, new_lease_token()
    with resources.catalog.transaction() as tx:
        claim = tx.source_runs.claim(source, token, resources.now(), parts.lease_seconds)
    if claim is None:
        return None
    pause = PAUSE_SECONDS
    try:
        with RunLease(claim, resources.catalog, parts.lease_seconds) as lease:
            if claim.run.status is RunStatus.INDEXING:
                status, pause = _conclude(claim, parts), LOOK_AGAIN_SECONDS
            else:
                status = _Run(claim, parts, lease).carry_out()
                pause = 0
    except LeaseLost:
        log.warning("refresh taken over", extra={"source": source, "run": claim.run.id})
        return None
    finally:
        try:
            with resources.catalog.transaction() as tx:
                tx.source_runs.release(source, token, resources.now() + pause if pause else 0)
        except CatalogError as error:  # the lease runs out by itself
            log.warning("refresh not given back", extra={"source": source, "why": type(error).__name__})
    return status


def _conclude(claim: SourceClaim, parts: RefreshParts) -> RunStatus:
    resources, source = parts.resources, claim.source
    with resources.catalog.reading() as tx:
        model = tx.manifests.model(source.store_id)
    price = 0.0
    with suppress(ModelMissing):  # taken out of the settings meanwhile: what it cost is not known any more
        price = 0.0 if model is None else resources.embedder_of(model).spec.dollars_per_million_tokens / 1e6
    clear_leftovers(source, parts)  # before the run ends: once it has, nobody comes for them until the next
    with resources.catalog.transaction() as tx:
        if not tx.source_steps.conclude(claim, resources.now(), dollars_per_token=price):
            return RunStatus.INDEXING
        tx.source_runs.forget_old(source.id, parts.permits.runs_kept)
    return RunStatus.COMPLETED


def clear_leftovers(source: SourceRow, parts: RefreshParts) -> int:
    """Delete the files of documents that have gone or been replaced."""
    cleared = 0
    while True:
        with parts.resources.catalog.reading() as tx:
            gone = tx.source_steps.leftovers(source.id, DROP_ITEMS)
        if not gone:
            return cleared
        with parts.resources.catalog.transaction() as tx:
            cleared += tx.source_steps.clear_leftovers(source, gone, parts.resources.now())


def _steps(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class _Run:
    def __init__(self, claim: SourceClaim, parts: RefreshParts, lease: RunLease) -> None:
        self._claim = claim
        self._source = claim.source
        self._parts = parts
        self._lease = lease
        self._recipe = recipe_of(claim.source)
        self._ends_at = time.monotonic() + parts.shift_seconds

    def carry_out(self) -> RunStatus:
        try:
            lister = open_lister(self._source.wish, self._parts.permits)
            try:
                return self._with(lister)
            finally:
                lister.close()
        except SourceUnavailable as error:
            return self._end(RunStatus.FAILED, str(error))
        except (NotFound, NotAllowedNow) as error:  # the store has expired or gone
            return self._end(RunStatus.FAILED, str(error))

    def _with(self, lister: Lister) -> RunStatus:
        with self._parts.resources.catalog.reading() as tx:
            known = tx.source_steps.items(self._source)
        plan = compare(lister.items(), known, self._claim.run, self._recipe)
        refusal = too_much_vanished(plan, known, self._claim.run, self._source.wish.max_removed_share)
        if refusal is not None:
            return self._end(RunStatus.STOPPED, refusal)
        if self._claim.run.dry_run:
            return self._foresee(lister, plan)
        for some in _steps(plan.to_read, self._parts.step_items):
            if self._gives_way():
                return RunStatus.RUNNING
            found, failures = self._read_all(lister, some)
            plan.failures += failures
            plan.unchanged += sum(one.outcome is None for one in found)
            self._take_in(found)
        for keys in _steps(plan.gone, DROP_ITEMS):
            if self._gives_way():
                return RunStatus.RUNNING
            with self._parts.resources.catalog.transaction() as tx:
                tx.source_steps.drop(self._claim, keys, self._parts.resources.now())
        with self._parts.resources.catalog.transaction() as tx:
            tx.source_steps.finish_listing(
                self._claim,
                listed=plan.listed,
                unchanged=plan.unchanged,
                failures=plan.failures,
            )
        clear_leftovers(self._source, self._parts)
        return RunStatus.INDEXING

    def _gives_way(self) -> bool:
        self._lease.check()
        return self._parts.resources.stopping() or time.monotonic() > self._ends_at

    # Reading

    def _read_all(
        self, lister: Lister, items: Sequence[tuple[Listed, ItemRow | None]]
    ) -> tuple[list[Found], list[Change]]:
        found: list[Found] = []
        failures: list[Change] = []
        with ThreadPoolExecutor(min(READERS, len(items)), thread_name_prefix="refresh") as pool:
            for one in pool.map(lambda item: self._read(lister, *item), items):
                if isinstance(one, Change):
                    failures.append(one)
                else:
                    found.append(one)
        return found, failures

    def _read(self, lister: Lister, listed: Listed, old: ItemRow | None) -> Found | Change:
        for attempt in range(TRIES):
            try:
                return self._read_once(lister, listed, old)
            except ItemChanged as error:
                again = lister.look(listed.key) if attempt + 1 < TRIES else None
                if again is None:
                    return Change(listed.key, Outcome.FAILED, f"{error}; the next run takes it.")
                listed = again
            except TooLarge:
                most = self._parts.largest_bytes
                return Change(listed.key, Outcome.FAILED, f"Larger than the {most} bytes that a file may have.")
            except ItemUnreadable as error:
                return Change(listed.key, Outcome.FAILED, str(error))
        raise AssertionError("unreachable")

    def _read_once(self, lister: Lister, listed: Listed, old: ItemRow | None) -> Found:
        """Durable when this returns, unless the content is the one known."""
        project = self._source.project_id
        beginning = bytearray()
        with self._parts.blobs.incoming(project, most_bytes=self._parts.largest_bytes) as incoming:
            for piece in lister.read(listed):
                incoming.write(piece)
                if len(beginning) < FRONT_BYTES:
                    beginning += piece[: FRONT_BYTES - len(beginning)]
            facts = incoming.facts
            same = old is not None and old.status is not None and old.sha256 == facts.sha256
            file = None
            if not same and not self._claim.run.dry_run:
                facts = incoming.finish()
                name = filename_of(listed.key, self._source.wish.kind)
                file = NewFile(new_file_id(), name, "assistants", facts.bytes, facts.sha256, facts.name)
        templates = self._source.wish.attributes
        front = front_matter(bytes(beginning)) if needs_front_matter(templates) else {}
        modified = listed.stamp.modified_ns
        seconds = None if modified is None else modified // 10**9
        outcome: Outcome | None = Outcome.CHANGED
        if old is None or old.status is None:
            outcome = Outcome.ADDED
        elif same and old.recipe == self._recipe and not worth_another_try(old) and not needs_modified(templates):
            outcome = None
        return Found(
            key=listed.key,
            stamp=listed.stamp,
            sha256=facts.sha256,
            bytes=facts.bytes,
            recipe=self._recipe,
            attributes=attributes_of(templates, Facts(listed.key, facts.bytes, seconds), front),
            file=file,
            outcome=outcome,
        )

    # Making good

    def _take_in(self, found: Sequence[Found]) -> None:
        if not found:
            return
        resources = self._parts.resources
        with resources.catalog.transaction() as tx:
            spare = tx.source_steps.take_in(self._claim, found, resources.now())
        for name in spare:
            resources.storage.delete(name)
        if any(one.outcome is not None for one in found):
            self._parts.ring(self._source.store_id)

    def _foresee(self, lister: Lister, plan: Plan) -> RunStatus:
        """Read what may have changed, for its hash; store nothing of it."""
        changes = [Change(item.key, Outcome.ADDED) for item, old in plan.to_read if old is None or old.status is None]
        maybe = [(item, old) for item, old in plan.to_read if old is not None and old.status is not None]
        read = 0
        for some in _steps(maybe, self._parts.step_items):
            self._lease.check()
            found, failures = self._read_all(lister, some)
            plan.failures += failures
            read += sum(one.bytes for one in found)
            plan.unchanged += sum(one.outcome is None for one in found)
            changes += [Change(one.key, one.outcome) for one in found if one.outcome is not None]
        changes += [Change(key, Outcome.REMOVED) for key in plan.gone]
        resources = self._parts.resources
        with resources.catalog.transaction() as tx:
            tx.source_steps.foresee(
                self._claim,
                changes,
                plan.failures,
                listed=plan.listed,
                unchanged=plan.unchanged,
                bytes_read=read,
                now=resources.now(),
            )
            tx.source_runs.forget_old(self._source.id, self._parts.permits.runs_kept)
        return RunStatus.COMPLETED

    def _end(self, status: RunStatus, message: str) -> RunStatus:
        resources = self._parts.resources
        log.warning(
            "refresh ended", extra={"source": self._source.id, "run": self._claim.run.id, "status": status.value}
        )
        with resources.catalog.transaction() as tx:
            tx.source_steps.end(self._claim, status, message, resources.now())
            tx.source_runs.forget_old(self._source.id, self._parts.permits.runs_kept)
        return status


def filename_of(key: str, kind: SourceKind) -> str:
    """The last part of the path; what the web names without an ending is a page."""
    if kind is not SourceKind.URLS:
        return PurePosixPath(key).name
    parts = urlsplit(key)
    name = PurePosixPath(parts.path).name or parts.hostname or "page"
    return name if PurePosixPath(parts.path).suffix else f"{name}.html"
