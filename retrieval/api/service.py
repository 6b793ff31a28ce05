"""Opens one API process: the parts, the gate with its pepper and first key, and the doorbell."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from configs.settings import Settings
from retrieval.api.auth import Gate
from retrieval.api.dependencies import Service, Wire
from retrieval.api.errors import sentence_of
from retrieval.api.first_key import ensure_key, first_project, pepper_of
from retrieval.api.limits import Counters, Limiter, LocalCounters
from retrieval.api.metrics import BUCKETS, Facts, Metrics, Totals
from retrieval.api.readiness import Readiness
from retrieval.api.shared_limits import SharedCounters, shareable
from retrieval.errors import CatalogError
from retrieval.jobs import BULK, INTERACTIVE, UPKEEP, CeleryDoorbell, Doorbell, messenger
from retrieval.ledger import Ledger, Scribe
from retrieval.resources import Resources, open_resources
from retrieval.tallies import Tallies

TALLIES: Final = "tallies"


@contextmanager
def open_service(settings: Settings) -> Iterator[Service]:
    with ExitStack() as stack:
        resources = stack.enter_context(open_resources(settings))
        pepper = pepper_of(settings.access.pepper, settings.data_dir)
        project = first_project(resources.catalog)
        required = settings.access.require_keys
        ensure_key(settings.api_key, settings.data_dir, resources.catalog, project, pepper, required=required)
        gate = Gate(resources.catalog, pepper, open_project=None if required else project)
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
