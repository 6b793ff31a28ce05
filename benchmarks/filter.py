"""Search under attribute filters: by files at random, and by files that have everything to do with the vectors.

python -m benchmarks filter [ROWSxWIDTH ...] [--kinds mixture,hard,text] [--folder KEPT] [--no-peers]
"""

import time
from collections.abc import Generator, Iterator

import numpy as np

from benchmarks._asking import Asker
from benchmarks._measure import recall, timing
from benchmarks._peers import missing, scores, stores
from benchmarks._shelves import Matrix
from benchmarks._stocked import Stocked, options, stocked
from benchmarks.figure import Figure
from retrieval.search.filters import Filter, parse_filter

SHARES = (0.001, 0.01, 0.1, 0.5)
QUERIES = 100
PEER_QUERIES = 20
MOST_FOR_PEERS = 200_000  # rows


def run(arguments: list[str]) -> Iterator[Figure]:
    with options("filter", arguments, "100000x384 1000000x384", "mixture,hard,text") as chosen:
        for kind, rows, width in chosen.stores():
            with stocked(chosen, kind, rows, width) as store:
                asker, queries = Asker(store.shelf, store.store), store.queries[:QUERIES]
                took = yield from _ours(store, asker, queries)
                if chosen.peers and rows <= MOST_FOR_PEERS and kind == "mixture":
                    yield from _peers(store, queries[:PEER_QUERIES], took)


def _ours(at: Stocked, asker: Asker, queries: Matrix) -> Generator[Figure, None, dict[str, float]]:
    plain = asker.timing(queries).median_us
    yield Figure(f"{at.name}: unfiltered p50", plain, "us")
    took = {}
    for label, allowed in _filters().items():
        name = f"{at.name}, {label}"
        started = time.perf_counter()
        answer = asker.ask(queries[0], allowed)
        first = time.perf_counter() - started
        if not answer.rows_allowed:
            continue
        found_us = timing(lambda query, only=allowed: asker.ask(query, only), queries).median_us  # type: ignore[misc]  # bound now
        took[label] = found_us
        ratio = found_us / plain
        yield Figure(f"{name}: p50", found_us, "us", "unfiltered", ratio, "≤ 1.5", ratio <= 1.5)
        yield Figure(f"{name}: first use", first * 1e6, "us", "unfiltered", first * 1e6 / plain)
        exact = [asker.scores(query, allowed, exact=True) for query in queries]
        found = recall([asker.scores(query, allowed) for query in queries], exact)
        yield Figure(f"{name}: recall@10", found, f"of {answer.rows_allowed:,}", "", None, "≥ 0.99", found >= 0.99)
    return took


def _filters() -> dict[str, Filter]:
    random = {
        f"{share:.1%} of the files": parse_filter({"type": "lt", "key": "share", "value": share}) for share in SHARES
    }
    near = {"type": "ne", "key": "place", "value": "elsewhere"}
    return {
        **random,
        "a small cluster": parse_filter({"type": "eq", "key": "place", "value": "cluster"}),
        "the region around it": parse_filter(near),
        "nested, half of the region": parse_filter(
            {
                "type": "and",
                "filters": [near, {"type": "or", "filters": [{"type": "lt", "key": "share", "value": 0.5}]}],
            }
        ),
    }


def _peers(at: Stocked, queries: Matrix, ours: dict[str, float]) -> Iterator[Figure]:
    opened = at.shelf.snapshot(at.store)
    segment, documents = opened.segments[0].segment, opened.documents
    of_file = np.array([documents.attributes(place)["share"] for place in range(len(documents))], np.float32)
    shares = of_file[documents.positions(segment.document_of(np.arange(len(segment))))]
    vectors = segment.vectors
    for peer in stores(vectors, shares):
        if isinstance(peer, str):
            yield missing(f"{at.name}: {peer}")
            continue
        for share in SHARES:
            label = f"{share:.1%} of the files"
            inside = np.ascontiguousarray(vectors[shares < share])
            exact = [np.sort(np.clip(inside @ query, 0, 1))[:-11:-1] for query in queries]
            found = recall([scores(peer, vectors, query, share) for query in queries], exact)
            took = timing(lambda query, most=share, find=peer.find: find(query, most), queries).median_us  # type: ignore[misc]  # bound now
            ratio = took / ours[label]
            name = f"{at.name}, {label}: {peer.name}, recall {found:.3f}"
            yield Figure(name, took, "us", "ours", ratio, "≥ 10", ratio >= 10)
