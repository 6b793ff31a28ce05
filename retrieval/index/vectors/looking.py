"""What codes brought up for one query, and how much of it must be scored. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.index.vectors.kernels import Matrix, Rows
from retrieval.index.vectors.selection import Selection

ROOM_FOR_K: Final = 4  # candidates for each hit wanted, if that is more than the effort asks for
WIDENING: Final = 4
ROOM_UP_TO: Final = 100  # hits: no answer has more, and what is only weighed against words may be a little off
SCORED_AT_FIRST: Final = 4  # one in so many candidates: scoring reads cold memory, half of what a search costs
SAFE_DEVIATIONS: Final = 3.6  # measured: below, queries begin to miss rows, whatever the data and the filter
SAFE_DEVIATIONS_TO_SCORE: Final = 4.5  # of what codes brought up, where only a part has told how far they are off


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One query: codes bring up `effort` candidates, or enough for `k` hits."""

    query: Matrix
    k: int
    effort: int
    selection: Selection

    def candidates(self, again: int) -> int:
        """How many codes bring up, once they were searched `again` times in vain."""
        return max(self.effort * int(WIDENING**again), ROOM_FOR_K * self.k)

    def scored_at_first(self, again: int) -> int:
        """How many of them are scored before it is known how far guesses are off: most queries want no more."""
        return max(self.candidates(again) // SCORED_AT_FIRST, ROOM_FOR_K * min(self.k, ROOM_UP_TO))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What some lists of codes brought up, by falling guess, and the exact scores of the first of it."""

    group: int
    ids: Rows
    guesses: Matrix | None  # None if every selected row was scored
    scores: Matrix
    lists: Rows  # that were visited
    complete: bool = False  # nothing was left behind in them
    again: int = 0  # how often they were searched before

    @property
    def found(self) -> tuple[Rows, Matrix]:
        return self.ids[: len(self.scores)], self.scores

    def wanted(self, bar: float) -> int:
        """How many must be scored until a row that is not is unlikely to reach `bar`, by how far guesses were off here.

        One more than there are if even the last guess is not low enough.
        """
        if self.guesses is None:
            return len(self.scores)
        off = self.scores - self.guesses[: len(self.scores)]
        mean = float(np.add.reduce(off)) / len(off)
        deviation = math.sqrt(max(float(np.dot(off, off)) / len(off) - mean * mean, 0))
        if self.guesses[-1] > bar - mean - SAFE_DEVIATIONS * deviation:
            every_one_is_scored = len(self.scores) == len(self.guesses)
            return len(self.guesses) + (every_one_is_scored and not self.complete)
        lowest = bar - mean - SAFE_DEVIATIONS_TO_SCORE * deviation
        return len(self.guesses) - int(self.guesses[::-1].searchsorted(lowest, side="right"))
