"""Opens one API process: the parts, the gate with its pepper and first key, and the doorbell."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from configs.settings import Settings
from retrieval.api.auth import Gate
from retrieval.api.dependencies import Service, Wire
from retrieval.api.errors import sentence_of
from retrieval.api.limits import Counters, Limiter, LocalCounters
from retrieval.api.metrics import BUCKETS, Facts, Metrics, Totals
from retrieval.api.readiness import Readiness
from retrieval.api.secret_files import KEY_FILE, PEPPER_FILE
from retrieval.api.shared_limits import SharedCounters, shareable
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError
from retrieval.ids import ProjectId, new_key_id, new_project_id
from retrieval.jobs import BULK, INTERACTIVE, UPKEEP, CeleryDoorbell, Doorbell, messenger
from retrieval.ledger import Ledger, Scribe
from retrieval.resources import Resources, open_resources
from retrieval.tallies import Tallies

DEFAULT_PROJECT: Final = "default"
TALLIES: Final = "tallies"
ALL_SCOPES: Final = (Scope.READ, Scope.WRITE, Scope.ADMIN)


@contextmanager
def open_service(settings: Settings) -> Iterator[Service]:
    with ExitStack() as stack:
        resources = stack.enter_context(open_resources(settings))
        pepper = pepper_of(settings)
        project = first_project(resources.catalog)
        ensure_key(settings, resources.catalog, project, pepper)
        gate = Gate(resources.catalog, pepper, open_project=None if settings.access.require_keys else project)
        app = messenger(settings.broker.url, settings.data_dir / "queue", poll_seconds=settings.broker.poll_seconds)
        wire = Wire(settings.search.most_results, settings.search.keyword_weight, settings.reindex.keep_seconds)
        stack.callback(app.close)
        limiter = Limiter(_counters(settings, stack), settings.limits.model_dump(exclude={"url"}))
        ledger = Ledger(resources.catalog)
        stack.callback(Scribe(ledger).close)
        doorbell = CeleryDoorbell(app)
        readiness = readiness_of(resources, doorbell)
        tallies = Tallies(BUCKETS, settings.data_dir / TALLIES)
        stack.callback(tallies.close)
        metrics = Metrics(tallies, looking(resources, doorbell, readiness, settings.storage.reserve_bytes))
        yield Service(resources, gate, doorbell, wire, limiter, ledger, readiness, metrics)


def readiness_of(resources: Resources, doorbell: Doorbell) -> Readiness:
    return Readiness(resources.catalog, resources.storage, resources.embedders, doorbell, why=sentence_of)


def looking(
    resources: Resources, doorbell: Doorbell, readiness: Readiness, reserve_bytes: int
) -> Callable[[], Facts | None]:
    totals = Totals(resources.catalog)

    def look() -> Facts | None:
        report = readiness.report()
        try:
            now = resources.catalog.now()
            with resources.catalog.reading() as tx:
                overview = tx.overviews.read(now)
            usage = totals.read(now)
        except CatalogError:
            return None
        heard = not report.parts["broker"]
        rings = {queue: doorbell.waiting(queue) if heard else 0 for queue in (INTERACTIVE, BULK, UPKEEP)}
        parts = {part: not wrong for part, wrong in report.parts.items()}
        return Facts(overview, usage, rings, parts, report.free_bytes, reserve_bytes)

    return look


def _counters(settings: Settings, stack: ExitStack) -> Counters:
    """Shared by all nodes where there is a Redis to share them in."""
    url = settings.limits.url or (settings.broker.url if shareable(settings.broker.url) else "")
    if not url:
        return LocalCounters()
    counters = SharedCounters(url)
    stack.callback(counters.close)
    return counters


def pepper_of(settings: Settings) -> bytes:
    """The installation's own secret; without it stored hashes cannot be tried against guessed keys."""
    if settings.access.pepper:
        return settings.access.pepper.encode()
    return _kept_once(settings.data_dir / PEPPER_FILE, secrets.token_hex(32)).encode()


def first_project(catalog: Catalog) -> ProjectId:
    with catalog.transaction() as tx:
        known = tx.projects.named(DEFAULT_PROJECT)
        if known is not None:
            return known.id
        return tx.projects.add(new_project_id(), DEFAULT_PROJECT, catalog.now()).id


def ensure_key(settings: Settings, catalog: Catalog, project: ProjectId, pepper: bytes) -> str | None:
    """The first key: the one that the settings give, else one minted at the first start and kept in the data folder.
    Returns it when it was minted just now, to be shown once."""
    minted = None
    secret = settings.api_key
    if not secret:
        if not settings.access.require_keys:
            return None
        path = settings.data_dir / KEY_FILE
        fresh = f"sk-carrel-{secrets.token_urlsafe(32)}"
        secret = _kept_once(path, fresh)
        minted = secret if secret == fresh else None
    hashed = hash_of(secret, pepper)
    with catalog.transaction() as tx:
        if tx.keys.find(hashed) is None:
            tx.keys.add(NewKey(new_key_id(), project, "first key", hashed, hint_of(secret), ALL_SCOPES), catalog.now())
    return minted


def _kept_once(path: Path, fresh: str) -> str:
    """The file's content; the first of several processes that start at once writes it, whole, for its owner's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(fresh)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_text().strip()
        return fresh
    finally:
        temporary.unlink()
