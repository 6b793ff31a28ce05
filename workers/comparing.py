"""What a listing comes to beside what was seen before: to be read, unchanged, gone, unseen. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from retrieval.catalog.rows import FailureCode, FileStatus
from retrieval.catalog.source_rows import Change, ItemRow, Outcome, RunRow, SourceRow
from workers.sources.port import Listed, Trouble


def recipe_of(source: SourceRow) -> str:
    """What besides an item's content decides about its entry."""
    wish = source.wish
    chunking = None if wish.chunking is None else [wish.chunking.max_tokens, wish.chunking.overlap_tokens]
    said = json.dumps([sorted(wish.attributes.items()), chunking])
    return blake2b(said.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Plan:
    """What is to be done, before anything is read."""

    listed: int = 0
    unchanged: int = 0
    to_read: list[tuple[Listed, ItemRow | None]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failures: list[Change] = field(default_factory=list)


def compare(listing: Iterable[Listed | Trouble], known: Sequence[ItemRow], run: RunRow, recipe: str) -> Plan:
    plan, before = Plan(), {item.key: item for item in known}
    seen: set[str] = set()
    troubles: list[Trouble] = []
    for one in listing:
        if isinstance(one, Trouble):
            troubles.append(one)
            continue
        if one.key in seen:
            continue
        seen.add(one.key)
        old = before.get(one.key)
        if old is not None and _as_it_was(one, old, recipe):
            plan.unchanged += old.run_id != run.id  # else this very run has counted it before
        else:
            plan.to_read.append((one, old))
    plan.listed = len(seen)
    missing = [key for key in before if key not in seen]
    plan.gone = [key for key in missing if not any(trouble.covers(key) for trouble in troubles)]
    plan.failures = [Change(trouble.key, Outcome.FAILED, trouble.reason) for trouble in troubles]
    return plan


def _as_it_was(listed: Listed, old: ItemRow, recipe: str) -> bool:
    if old.status is None or worth_another_try(old) or old.recipe != recipe:
        return False
    return listed.stamp.tells and listed.stamp == old.stamp


def worth_another_try(item: ItemRow) -> bool:
    """It failed, and not by its own fault."""
    return item.status is FileStatus.FAILED and item.error_code is FailureCode.SERVER_ERROR


def too_much_vanished(plan: Plan, known: Sequence[ItemRow], run: RunRow, most_share: float) -> str | None:
    """The sentence that stops the run, if more has gone than may go unasked. One of several documents always may."""
    own = sum(item.run_id == run.id and item.outcome is Outcome.ADDED for item in known)
    before = len(known) - own + run.counts.removed
    vanished = len(plan.gone) + run.counts.removed
    if run.force or not plan.gone or not before:
        return None
    if vanished <= most_share * before or (vanished == 1 and before > 1):
        return None
    return (
        f"{vanished} of {before} documents have vanished from the source, more than the share of {most_share:g} that "
        "may go in one run (max_removed_share). None was removed. If this is right, refresh again with force."
    )
