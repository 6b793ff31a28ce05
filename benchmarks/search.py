"""Search by vectors through `Searcher`, beside one-thread faiss.knn over the same mapping and graphs of the same rows.

    python -m benchmarks search [ROWSxWIDTH ...] [--kinds mixture,hard,text] [--folder KEPT] [--no-peers] [--grown]

`--graphs` builds graphs of a million rows too. `--grown` alone: recall once a store has grown to ten times the rows
that its codebook was trained on, and one row short of a new one.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks._asking import Asker, Processes, knn, per_second, truth_of
from benchmarks._measure import Timing, read_bandwidth, recall, timing
from benchmarks._peers import graphs, missing, tuned
from benchmarks._shelves import File, Matrix, Shelf
from benchmarks._stocked import Options, Stocked, options, stocked
from benchmarks._vectors import KINDS, queries_for
from benchmarks.figure import Figure

RAW = "one-thread faiss.knn, same mapping"
RAW_QUERIES = 30
TARGETS_FROM = 100_000  # rows: below, what surrounds a search costs more than the search
ROUNDS = 10  # in which what is compared is measured in turns
ROUND_SECONDS = 0.5
MOST_FOR_GRAPHS = 200_000  # rows: a graph of a million takes many minutes to build
TRAINED_ON, GROWN_BY = 20_000, 10


def run(arguments: list[str]) -> Iterator[Figure]:
    grown = "--grown" in arguments
    rest = [one for one in arguments if one not in {"--grown", "--graphs"}]
    with options("search", rest, "100000x384 100000x1536 1000000x384", "mixture,hard,text") as chosen:
        if grown:
            yield from _grown(chosen)
            return
        for kind, rows, width in chosen.stores():
            with stocked(chosen, kind, rows, width) as store:
                yield from _figures(store, chosen, graphs_too="--graphs" in arguments)


def _figures(at: Stocked, chosen: Options, *, graphs_too: bool) -> Iterator[Figure]:
    asker, snapshot = Asker(at.shelf, at.store), at.shelf.snapshot(at.store)
    vectors, side = snapshot.segments[0].segment.verified_vectors(), snapshot.side
    rows = len(vectors)
    yield Figure(f"{at.name}: train, code and calibrate", at.seconds["index_seconds"], "s")
    effort = f"{side.effort.candidates} candidates, {side.effort.probes}/1000 of {side.lists} lists"
    yield Figure(f"{at.name}: effort", effort if side.codebook else "exact: no codes")
    bandwidth = read_bandwidth(vectors)
    yield Figure(f"{at.name}: read bandwidth, one core", bandwidth / 1e9, "GB/s")
    raw, exact, took = _in_turns(asker, vectors, at.queries)
    yield Figure(f"{at.name}: raw scan", raw.median_us, "us")
    share = vectors.nbytes / (exact.median_us / 1e6) / bandwidth
    yield Figure(f"{at.name}: exact mode", exact.median_us, "us", "read bandwidth", share, "≥ 0.75", share >= 0.75)
    goal = 0.15 if rows <= MOST_FOR_GRAPHS else 0.02 if side.is_split else 0.06
    ratio = took.median_us / raw.median_us
    target = (f"≤ {goal}", ratio <= goal) if rows >= TARGETS_FROM else ("", None)
    yield Figure(f"{at.name}: search p50", took.median_us, "us", RAW, ratio, *target)
    yield Figure(f"{at.name}: search p95", took.p95_us, "us", RAW, took.p95_us / raw.median_us)
    alone = timing(lambda query: side.search(query, 10), at.queries)
    yield Figure(f"{at.name}: of which the vector side", alone.median_us, "us", RAW, alone.median_us / raw.median_us)
    truth = list(truth_of(vectors, at.queries))
    found = recall([asker.scores(query) for query in at.queries], truth)
    yield Figure(f"{at.name}: recall@10", found, "", "", None, "≥ 0.99", found >= 0.99)
    yield from _together(at, asker)
    if chosen.peers and (rows <= MOST_FOR_GRAPHS or graphs_too) and "hard" not in at.name:
        yield from _graphs(at, vectors, truth, took.median_us)


def _in_turns(asker: Asker, vectors: Matrix, queries: Matrix) -> tuple[Timing, Timing, Timing]:
    """The raw scan, the exact mode and the search, in turns: what else runs on the machine disturbs all alike."""
    raw, exact, search = [], [], []
    for scanned, asked in zip(
        np.array_split(queries[:RAW_QUERIES], ROUNDS), np.array_split(queries, ROUNDS), strict=True
    ):
        raw.append(timing(lambda query: knn(vectors, query), scanned, warm=1))
        exact.append(asker.timing(scanned, exact=True))
        search.append(asker.timing(asked))
    return _median(raw), _median(exact), _median(search)


def _median(parts: list[Timing]) -> Timing:
    return Timing(
        float(np.median([part.median_us for part in parts])), float(np.median([part.p95_us for part in parts]))
    )


def _together(at: Stocked, asker: Asker) -> Iterator[Figure]:
    rates: list[tuple[float, float, float]] = []
    with Processes(at.shelf.folder, at.store, at.queries, 2) as two:
        for _ in range(ROUNDS):
            one, eight = (per_second(asker.ask, at.queries, count, ROUND_SECONDS) for count in (1, 8))
            rates.append((one, eight, two.per_second(ROUND_SECONDS)))
    alone = float(np.median([one for one, _, _ in rates]))
    yield Figure(f"{at.name}: one thread", alone, "searches/s")
    for label, place in (("8 threads", 1), ("2 processes", 2)):
        many = float(np.median([rate[place] for rate in rates]))
        ratio = float(np.median([rate[place] / rate[0] for rate in rates]))
        yield Figure(f"{at.name}: {label}", many, "searches/s", "one thread, in turns", ratio, "≥ 1.7", ratio >= 1.7)


def _graphs(at: Stocked, vectors: Matrix, truth: list[Matrix], ours_us: float) -> Iterator[Figure]:
    ours_s = at.seconds["index_seconds"]
    for peer in graphs(vectors):
        if isinstance(peer, str):
            yield missing(f"{at.name}: {peer}")
            continue
        took, found = tuned(peer, vectors, at.queries, truth)
        at_million = len(vectors) > MOST_FOR_GRAPHS
        ratio, quicker = ours_us / took, peer.build_seconds / ours_s
        name = f"{at.name}: search p50, beside {peer.name} at recall {found:.3f}"
        yield Figure(name, ours_us, "us", f"{took:.0f} us", ratio, *(("≤ 1", ratio <= 1) if at_million else ("", None)))
        name = f"{at.name}: build, beside {peer.name}"
        target = ("peer ≥ 5 times", quicker >= 5) if at_million else ("", None)
        yield Figure(name, ours_s, "s", f"{peer.build_seconds:.1f} s", ours_s / peer.build_seconds, *target)


def _grown(chosen: Options) -> Iterator[Figure]:
    """Train on few, append until ten times as many, coded with the old codebook, and measure."""
    for kind in [kind for kind in chosen.kinds if kind in KINDS]:
        rows = KINDS[kind](TRAINED_ON * GROWN_BY - 1, 384, 1)
        with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder, Shelf(Path(folder), 384) as shelf:
            store = shelf.new_store()
            for start in range(0, len(rows), TRAINED_ON):
                some = rows[start : start + TRAINED_ON]
                shelf.add(store, [File(len(some))], some)
                shelf.index(store)
            asker, queries = Asker(shelf, store), queries_for(kind, rows, 200, 2)
            found = recall([asker.scores(query) for query in queries], list(truth_of(rows, queries)))
            trained = shelf.snapshot(store).side.codebook
            name = (
                f"{kind}: recall@10 at {len(rows):,} rows, codebook {trained.version if trained else 'none'} of 20,000"
            )
            yield Figure(name, found, "", "", None, "≥ 0.99", found >= 0.99)
