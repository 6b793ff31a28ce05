"""F12: an embedding service that refuses, fails, stalls, and answers wrongly; then it is well again."""

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks._faults.run import Run, Size, asking, none, parts
from benchmarks.figure import Figure
from retrieval.catalog.transaction import Catalog
from retrieval.ids import StoreId
from retrieval.segments.reader import open_stored
from retrieval.storage.directory import Directory
from tests.support.upstream import Asked, FakeUpstream, Reply, refusal
from tests.support.whole import Whole, pause

WORKERS: Final = 3
STORM_SECONDS: Final = 3.0  # of refusals, after the first of them; each asks for a second
WRONG_SECONDS: Final = 20.0  # of wrong answers after each storm, at most
WRONG_FOR_EACH_SECONDS: Final = 0.3  # document
WELL: Final = 0.4  # of the calls outside of storms
CLOSE: Final = 1e-5  # the same numbers, after their way through JSON
KINDS: Final = ("500", "503", "reset", "stall", "width", "nan", "short", "twice", "zero", "rubbish")


class Sick:
    """Chooses what is wrong with each answer; counts what it did."""

    def __init__(self, upstream: FakeUpstream, chance: random.Random) -> None:
        self._upstream = upstream
        self._chance = chance
        self._lock = threading.Lock()  # guards what follows
        self.storm = False
        self.refused = 0  # in this storm
        self.since = 0.0  # when the storm's first refusal was
        self.wrong = 0
        self.well = False

    def __call__(self, asked: Asked) -> Reply | None:
        with self._lock:
            if self.well:
                return None
            if self.storm:
                self.since = self.since if self.refused else time.monotonic()
                self.refused += 1
                return refusal(429, "slow down", retry_after="1")
            if self._chance.random() < WELL:
                return None
            self.wrong += 1
            return self._ill(self._chance.choice(KINDS), asked)

    def _ill(self, kind: str, asked: Asked) -> Reply:
        if kind in {"500", "503"}:
            return refusal(int(kind), "oh")
        if kind == "reset":
            return Reply(reset=True)
        if kind == "stall":
            return Reply(stall=threading.Event())
        if kind == "rubbish":
            return Reply(body=b"<html>the proxy says hello</html>")
        answer = json.loads(self._upstream.good_reply(asked.inputs, as_floats=True).body)
        data = answer["data"]
        if kind == "width":
            data[-1]["embedding"].append(0.5)
        elif kind == "nan":
            data[0]["embedding"][0] = float("nan")
        elif kind == "zero":
            data[0]["embedding"] = [0.0] * self._upstream.width
        elif kind == "short":
            data.pop()
        else:
            data[-1]["index"] = data[0]["index"] if len(data) > 1 else 7
        return Reply(body=json.dumps(answer).encode())


def sick_upstream(size: Size, chance: random.Random) -> Iterator[Figure]:
    with FakeUpstream() as upstream:
        sick = upstream.script = Sick(upstream, chance)
        environment = asking(upstream) | {
            "CARREL_EMBEDDING_INPUTS_PER_CALL": "16",
            "CARREL_EMBEDDING_CONCURRENT_CALLS": "1",
            "CARREL_WORKERS_FILES_PER_CLAIM": "4",
            "CARREL_EMBEDDING_TIMEOUT_SECONDS": "2",
            "CARREL_EMBEDDING_GIVE_UP_AFTER_SECONDS": "20",
        }
        with parts(environment, workers=WORKERS) as whole:
            run = Run(whole, chance, size.documents)
            storms: list[tuple[int, float]] = []  # refusals, and seconds in which they fell
            for _ in range(size.times):
                run.reword()  # what is known already would not be asked for
                sick.refused, sick.storm = 0, True
                store = run.fill()
                while not sick.refused:
                    pause(0.01)
                pause(STORM_SECONDS)
                storms.append((sick.refused, time.monotonic() - sick.since))
                sick.storm = False
                until = time.monotonic() + min(WRONG_SECONDS, WRONG_FOR_EACH_SECONDS * size.documents)
                while run.progress(store)[2] and time.monotonic() < until:
                    pause(0.1)
            sick.well = True
            for store in run.stores:
                run.until_settled(store)
            yield Figure("F12 answers that were wrong", sick.wrong, "calls")
            # Each process may have a call under way when a storm begins; from then on all wait together.
            most, seconds = max(storms, key=lambda storm: storm[0] - WORKERS * storm[1])
            yield Figure(
                "F12 refusals in the worst storm",
                most,
                "calls",
                f"in {seconds:.1f} s by {WORKERS} workers that are asked for 1 s of peace",
                met=most <= WORKERS * (1 + seconds),
            )
            wrong, seen = _wrong_vectors(whole, run.stores, upstream)
            yield none("F12 wrong vectors stored", wrong, "vectors", f"of {seen}")
            yield from run.verdict("F12")


def _wrong_vectors(whole: Whole, stores: list[str], upstream: FakeUpstream) -> tuple[int, int]:
    """Stored vectors that are not those of an input that holds the chunk's text."""
    texts = list({text for call in upstream.asked for text in call.inputs})
    vectors = np.stack([upstream.vector(text) for text in texts])
    wrong = seen = 0
    storage = Directory(whole.folder / "objects")
    with Catalog.open(f"sqlite:///{whole.folder.absolute()}/catalog.db") as catalog:
        for store in stores:
            with catalog.reading() as tx:
                rows = tx.manifests.segments(StoreId(store))
            for row in rows:
                with open_stored(storage, row) as segment:
                    for number, vector in enumerate(segment.verified_vectors()):
                        near = np.flatnonzero(np.abs(vectors - vector).max(axis=1) < CLOSE)
                        text = segment.text(number)
                        wrong, seen = wrong + (not any(text in texts[at] for at in near)), seen + 1
    return wrong, seen
