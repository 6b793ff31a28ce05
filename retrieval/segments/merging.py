"""Which segments to fold into one: a pure policy that bounds their number, and with it the cost of a search.

Segments of like size are folded eight at a time, so a row is rewritten once for every eightfold growth of its store,
whether it came alone or in bulk. Rows of dead documents go when their segment is folded, or once a quarter of it is
dead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retrieval.ids import SegmentId


@dataclass(frozen=True, slots=True)
class MergeLimits:
    fold: int = 8  # segments of one tier that are folded; a tier's sizes differ by the same factor
    smallest_tier_rows: int = 500
    small_rows: int = 4_000  # below this a segment is searched without codes
    most_small: int = 16
    most_live: int = 32
    most_inputs: int = 64  # of one fold: each is mapped meanwhile
    most_bytes: int = 8 << 30  # of one fold's inputs: room that must be free on the disk
    dead_share: float = 0.25  # from here on a segment is rewritten for its dead rows alone
    least_dead: int = 100  # a few dead rows cost less than a rewrite


@dataclass(frozen=True, slots=True)
class SegmentSize:
    id: SegmentId
    rows: int
    dead: int
    bytes: int

    @property
    def living(self) -> int:
        return self.rows - self.dead


def choose_merges(segments: Iterable[SegmentSize], limits: MergeLimits) -> list[tuple[SegmentId, ...]]:
    """Disjoint groups to fold now, cheapest first; none when all is well. Asked again after each round."""
    rest = sorted(segments, key=lambda segment: (segment.living, segment.id))
    gone = [segment for segment in rest if not segment.living]
    rest = [segment for segment in rest if segment.living]
    groups = [gone] if gone else []
    for group in [*_full_tiers(rest, limits), *_surplus(rest, limits), *_mostly_dead(rest, limits)]:
        taken = {segment.id for chosen in groups for segment in chosen}
        if taken.isdisjoint(segment.id for segment in group):
            groups.append(group)
    return [tuple(segment.id for segment in group) for group in groups]


def tier(living: int, limits: MergeLimits) -> int:
    found, bound = 0, limits.smallest_tier_rows
    while living >= bound:
        found, bound = found + 1, bound * limits.fold
    return found


def _full_tiers(segments: Sequence[SegmentSize], limits: MergeLimits) -> list[list[SegmentSize]]:
    tiers: dict[int, list[SegmentSize]] = {}
    for segment in segments:
        if segment.bytes <= limits.most_bytes // 2:  # a larger one is as large as it may become
            tiers.setdefault(tier(segment.living, limits), []).append(segment)
    full = (tiers[number] for number in sorted(tiers) if len(tiers[number]) >= limits.fold)
    return [group for group in (_affordable(members, limits) for members in full) if len(group) > 1]


def _surplus(segments: Sequence[SegmentSize], limits: MergeLimits) -> list[list[SegmentSize]]:
    """Too many in all, or too many small ones, though no tier is full: the smallest go together."""
    small = [segment for segment in segments if segment.living < limits.small_rows]
    over = max(len(segments) - limits.most_live, len(small) - limits.most_small)
    if over <= 0:
        return []
    group = _affordable(segments[: max(over + 1, limits.fold)], limits)
    return [group] if len(group) > 1 else []


def _mostly_dead(segments: Sequence[SegmentSize], limits: MergeLimits) -> list[list[SegmentSize]]:
    return [
        [segment]
        for segment in segments
        if segment.dead >= limits.least_dead and segment.dead >= limits.dead_share * segment.rows
    ]


def _affordable(segments: Sequence[SegmentSize], limits: MergeLimits) -> list[SegmentSize]:
    """As many of the smallest as one fold may take."""
    group: list[SegmentSize] = []
    total = 0
    for segment in segments[: limits.most_inputs]:
        total += segment.bytes
        if total > limits.most_bytes:
            break
        group.append(segment)
    return group
