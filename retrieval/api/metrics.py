"""Metrics: what Prometheus is told. docs/metrics.md explains each, and how those of several nodes are put together.

Two sorts. What this data folder's API processes have done is counted by them (`Tallies`). What is true of the whole
installation, and what its workers have done, is read from the catalog, at most every few seconds, so that every node
tells the same.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from retrieval import ledger
from retrieval.catalog.overview import Overview
from retrieval.catalog.transaction import Catalog
from retrieval.search.query import Answer
from retrieval.tallies import Counts, Tallies

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LOOK_SECONDS: Final = 5.0

REQUESTS: Final = "carrel_http_requests"
REQUEST_SECONDS: Final = "carrel_http_request_seconds"
SEARCHES: Final = "carrel_searches"
STAGE_SECONDS: Final = "carrel_search_stage_seconds"

# Of API processes: name -> help, labels
COUNTED: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    REQUESTS: ("Requests answered, by route, method and status.", ("route", "method", "status")),
    SEARCHES: (
        "Searches: whether the answer was remembered or made, and its questions remembered or embedded.",
        ("answer", "questions"),
    ),
    REQUEST_SECONDS: ("Seconds from a request's head to its answer's end.", ("route", "method")),
    STAGE_SECONDS: ("Seconds of searches that were not remembered, by stage.", ("stage",)),
}
BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    REQUEST_SECONDS: (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    STAGE_SECONDS: (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5),
}


@dataclass(frozen=True, slots=True)
class Read:
    """What is read from the ledger or the overview: a metric's help, its label, and where its values are."""

    help: str
    label: str | None
    values: Callable[["Facts"], Iterable[tuple[str, float]]]
    kind: str = "counter"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a look at the catalog, the broker and the storage has shown."""

    overview: Overview
    usage: Mapping[str, int]
    rings: Mapping[str, int]
    parts: Mapping[str, bool]
    free_bytes: int | None
    reserve_bytes: int


def _of(*kinds: str, per: float = 1) -> Callable[[Facts], Iterator[tuple[str, float]]]:
    """Kinds of usage; a label, if there is one, is the kind's first word."""

    def values(facts: Facts) -> Iterator[tuple[str, float]]:
        for kind in kinds:
            yield kind.split("_")[0], facts.usage.get(kind, 0) / per

    return values


def _failures(facts: Facts) -> Iterator[tuple[str, float]]:
    for code in ("unsupported_file", "invalid_file", "server_error"):
        yield code, facts.usage.get(ledger.FAILED + code, 0)


def _one(value: Callable[[Facts], float | None]) -> Callable[[Facts], Iterator[tuple[str, float]]]:
    def values(facts: Facts) -> Iterator[tuple[str, float]]:
        found = value(facts)
        if found is not None:
            yield "", found

    return values


def _gauge(text: str, value: Callable[[Facts], float | None]) -> Read:
    return Read(text, None, _one(value), "gauge")


READ: Final[Mapping[str, Read]] = {
    "carrel_files_ingested": Read("Files made searchable.", None, _of(ledger.INGESTED_FILES)),
    "carrel_files_failed": Read("Files that failed for good, by code.", "code", _failures),
    "carrel_files_put_off": Read("Tries that were put off, to be made again.", None, _of(ledger.PUT_OFF)),
    "carrel_ingested_bytes": Read("Bytes of the files made searchable.", None, _of(ledger.INGESTED_BYTES)),
    "carrel_ingested_chunks": Read("Chunks made searchable.", None, _of(ledger.INGESTED_CHUNKS)),
    "carrel_ingest_calls": Read("Embedding calls of workers.", None, _of(ledger.INGEST_CALLS)),
    "carrel_ingest_seconds": Read(
        "Seconds that workers spent, by stage.",
        "stage",
        _of(ledger.READING, ledger.EMBEDDING, ledger.PUBLISHING, per=1000),
    ),
    "carrel_tokens": Read(
        "Tokens embedded: for ingestion, for searches, for callers.",
        "purpose",
        _of(ledger.INGEST_TOKENS, ledger.SEARCH_TOKENS, ledger.EMBEDDING_TOKENS),
    ),
    "carrel_uploaded_bytes": Read("Bytes of files and parts taken in.", None, _of(ledger.UPLOADED_BYTES)),
    "carrel_cost_dollars": Read("Dollars, by the price table.", None, _of(ledger.MICRODOLLARS, per=1e6)),
    "carrel_files_waiting": _gauge("Files in stores that no worker holds yet.", lambda facts: facts.overview.waiting),
    "carrel_files_held": _gauge("Files that a worker holds.", lambda facts: facts.overview.held),
    "carrel_oldest_wait_seconds": _gauge(
        "Age of the oldest file that no worker holds; 0: none waits.", lambda facts: facts.overview.oldest_wait_seconds
    ),
    "carrel_store_files": Read(
        "Files in stores, by status.", "status", lambda facts: facts.overview.files.items(), "gauge"
    ),
    "carrel_doorbells": Read("Doorbells unanswered, by queue.", "queue", lambda facts: facts.rings.items(), "gauge"),
    "carrel_workers": _gauge("Workers heard of within 35 seconds.", lambda facts: facts.overview.workers),
    "carrel_projects": _gauge("Projects.", lambda facts: facts.overview.projects),
    "carrel_file_bytes": _gauge("Bytes of all files.", lambda facts: facts.overview.file_bytes),
    "carrel_stores": _gauge("Vector stores.", lambda facts: facts.overview.stores),
    "carrel_generations": _gauge("Generations of all stores together.", lambda facts: facts.overview.generations),
    "carrel_chunk_bytes": _gauge("Bytes of chunks and vectors.", lambda facts: facts.overview.chunk_bytes),
    "carrel_segments": _gauge("Live segments.", lambda facts: facts.overview.segments),
    "carrel_segment_rows": _gauge("Rows of live segments.", lambda facts: facts.overview.segment_rows),
    "carrel_segment_bytes": _gauge("Bytes of live segments.", lambda facts: facts.overview.segment_bytes),
    "carrel_segments_coded": _gauge("Segments with vector codes.", lambda facts: facts.overview.segments_coded),
    "carrel_segments_removed": _gauge(
        "Segments merged away or deleted, and still to be swept.", lambda facts: facts.overview.segments_removed
    ),
    "carrel_storage_free_bytes": _gauge("Free bytes of the data folder's disk.", lambda facts: facts.free_bytes),
    "carrel_storage_reserve_bytes": _gauge(
        "Bytes that stay free; with less, intake is refused.", lambda facts: facts.reserve_bytes
    ),
    "carrel_ready": Read(
        "Whether each part can do its work: 1 or 0.",
        "part",
        lambda facts: ((part, float(ok)) for part, ok in facts.parts.items()),
        "gauge",
    ),
}


def names() -> set[str]:
    """As Prometheus sees them, without the endings of histograms."""
    counters = {REQUESTS, SEARCHES, *(name for name, read in READ.items() if read.kind == "counter")}
    return {f"{name}_total" if name in counters else name for name in (*COUNTED, *READ)}


class Metrics:
    """One per process."""

    def __init__(self, tallies: Tallies, look: Callable[[], Facts | None], *, seconds: float = LOOK_SECONDS) -> None:
        self._tallies = tallies
        self._look = look
        self._seconds = seconds
        self._facts: Facts | None = None
        self._looked_at = float("-inf")
        self._lock = threading.Lock()  # guards the two above, also while one looks for all

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        route = route or "none"
        self._tallies.add(REQUESTS, (route, method, str(status)))
        self._tallies.observe(REQUEST_SECONDS, (route, method), seconds)

    def search(self, answer: Answer) -> None:
        remembered = "remembered" in answer.milliseconds
        self._tallies.add(
            SEARCHES,
            ("remembered" if remembered else "made", "embedded" if answer.tokens else "remembered"),
        )
        if not remembered:
            for stage, milliseconds in answer.milliseconds.items():
                self._tallies.observe(STAGE_SECONDS, (stage,), milliseconds / 1000)

    def page(self) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Shown(self._tallies.all(), self._looked()))
        return generate_latest(registry)

    def _looked(self) -> Facts | None:
        with self._lock:
            if time.monotonic() - self._looked_at >= self._seconds:
                self._facts = self._look()
                self._looked_at = time.monotonic()
            return self._facts


class Totals:
    """The ledger's sums since ever. Days long past no longer change, so they are summed once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._settled: dict[str, int] = {}
        self._settled_until = 0  # the first day not in it

    def read(self, now: int) -> dict[str, int]:
        today = now // ledger.DAY_SECONDS
        with self._catalog.reading() as tx:
            fresh = today - 1  # a process may still be writing what it gathered before midnight
            if self._settled_until < fresh:
                for kind, more in tx.usage.totals(self._settled_until, fresh - 1).items():
                    self._settled[kind] = self._settled.get(kind, 0) + more
                self._settled_until = fresh
            total = dict(self._settled)
            for kind, more in tx.usage.totals(fresh, today + 1).items():
                total[kind] = total.get(kind, 0) + more
        return total


class _Shown(Collector):
    def __init__(self, counts: Counts, facts: Facts | None) -> None:
        self._counts = counts
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        for name, (text, labels) in COUNTED.items():
            mine = sorted((key[1], numbers) for key, numbers in self._counts.items() if key[0] == name)
            yield _histogram(name, text, labels, mine) if name in BUCKETS else _counter(name, text, labels, mine)
        if self._facts is None:
            return  # the catalog is away: what it would say is missing, which is how Prometheus sees that
        for name, read in READ.items():
            kind = GaugeMetricFamily if read.kind == "gauge" else CounterMetricFamily
            metric = kind(name, read.help, labels=(read.label,) if read.label else ())
            for label, value in read.values(self._facts):
                metric.add_metric((label,) if read.label else (), value)
            yield metric


def _counter(name: str, text: str, labels: tuple[str, ...], found: list[tuple[tuple[str, ...], list[float]]]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=labels)
    for values, numbers in found:
        metric.add_metric(values, numbers[0])
    return metric


def _histogram(
    name: str, text: str, labels: tuple[str, ...], found: list[tuple[tuple[str, ...], list[float]]]
) -> Metric:
    metric = HistogramMetricFamily(name, text, labels=labels)
    edges = [*(repr(float(edge)) for edge in BUCKETS[name]), "+Inf"]
    for values, numbers in found:
        so_far, buckets = 0.0, list[tuple[str, float]]()
        for edge, count in zip(edges, numbers[:-1], strict=True):
            so_far += count
            buckets.append((edge, so_far))
        metric.add_metric(values, buckets, sum_value=numbers[-1])
    return metric
