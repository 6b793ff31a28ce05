"""Codes of small segments, many segments to a list: a hundred lists of a hundred rows cost a search more than one.

A segment's codes stand alone until enough neighbours have come after it; then they are coded anew together. What
is bundled never changes: where a member leaves, the bundle is dropped and the others are coded again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.codes import encode_segment
from retrieval.index.vectors.kernels import CodeLists
from retrieval.index.vectors.placed import Placed
from retrieval.index.vectors.placing import SmallRows

ENOUGH: Final = 25  # segments; so many appends cost one more coding of each of their rows


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    members: tuple[Placed, ...]  # one after the other in the copy of small rows
    lists: CodeLists


def bundled(old: Sequence[Bundle], placed: Sequence[Placed], codebook: Codebook) -> tuple[Bundle, ...]:
    """Bundles of exactly the small ones among `placed`, as many as possible of them old."""
    present = {id(one) for one in placed if one.small}
    kept = [bundle for bundle in old if all(id(one) in present for one in bundle.members)]
    single = {id(bundle.members[0]): bundle for bundle in kept if len(bundle.members) == 1}
    bundles = [bundle for bundle in kept if len(bundle.members) > 1]
    done = {id(one) for bundle in bundles for one in bundle.members}
    for run in _runs([one for one in placed if one.small and id(one) not in done]):
        if len(run) >= ENOUGH:
            bundles.append(_code(run, codebook))
        else:
            bundles += [single.get(id(one)) or _code([one], codebook) for one in run]
    return tuple(bundles)


def _runs(loose: Sequence[Placed]) -> list[list[Placed]]:
    """Split where the copies do not stand one right after the other."""
    runs: list[list[Placed]] = []
    for one in sorted(loose, key=lambda each: each.first_id):
        last = runs[-1][-1] if runs else None
        if last is not None and last.first_id + len(last.segment.vectors) == one.first_id:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _code(members: Sequence[Placed], codebook: Codebook) -> Bundle:
    first, last = members[0], members[-1]
    codes = first.segment.codes if len(members) == 1 else None
    if codes is None:
        held = first.held
        if not isinstance(held, SmallRows):
            raise ValueError("only small segments are bundled")
        start, end = first.first_id - held.ids.start, last.first_id - held.ids.start + len(last.segment.vectors)
        codes = encode_segment(codebook, held.rows(end)[start:], lists=1)
    return Bundle(tuple(members), CodeLists(codes.lists, codebook.subquantizers, first.first_id))
