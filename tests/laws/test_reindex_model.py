"""Two editions of a store against a dict: whatever is attached, changed, deleted, built, swapped and rolled back, in
any order, searches find what the dict says, under the model that the dict says.

The dict knows of no editions in rows; of each file it knows whether the edition that searches find has it, and
whether the other one does.
"""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from retrieval.catalog.reindex_rows import ReindexState, ReindexWish, SwapOutcome
from retrieval.catalog.rows import (
    Attributes,
    Claim,
    DocumentRow,
    Failure,
    FailureCode,
    FileCounts,
    FileStatus,
    Ingested,
    StaticChunking,
)
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotAllowedNow
from retrieval.ids import FileId, new_lease_token, new_reindex_id
from tests.support.catalogs import CHUNKS, LEASE_SECONDS, USAGE_BYTES, World

ATTRIBUTES = st.none() | st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, True, "1"]), max_size=2)
CHUNKINGS = st.sampled_from([None, StaticChunking(100, 0)])
PICK = st.integers(0, 9)
KEEP_SECONDS = 100


@dataclass
class Entry:
    attributes: Attributes | None
    chunking: StaticChunking | None
    status: FileStatus = FileStatus.IN_PROGRESS
    claim: Claim | None = None
    free_from: int = 0
    shown: Attributes | None = None  # where anything finds the file
    here: bool = False  # in the edition that searches find
    there: bool = False  # in the other one
    work: Claim | None = None  # for the other one
    work_until: int = 0
    failed: bool = False  # there

    def settle(self, status: FileStatus) -> None:
        self.status, self.claim, self.free_from = status, None, 0

    def idle(self) -> None:
        self.work, self.work_until, self.failed = None, 0, False


def typed(attributes: Attributes | None) -> list[tuple[str, type, object]]:
    return sorted((key, type(value), value) for key, value in (attributes or {}).items())


def make_machine(catalog: Catalog) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = World(catalog)
            self.files = self.world.files(3)
            self.entries: dict[FileId, Entry] = {}
            self.claims: list[Claim] = []
            self.works: list[Claim] = []
            self.model, self.other_model = "hashed", ""
            self.state: ReindexState | None = None
            self.allowed = False
            self.kept_until = self.held_until = 0
            self.numbers: set[int] = set()
            self.reader: dict[int, DocumentRow] = {}
            self.heard = 0
            self.made = 0

        def holds(self, claim: Claim) -> bool:
            entry = self.entries.get(claim.file_id)
            return entry is not None and entry.claim == claim and entry.status is FileStatus.IN_PROGRESS

        def works_on(self, claim: Claim) -> bool:
            entry = self.entries.get(claim.file_id)
            return entry is not None and entry.work == claim and self.state is not None

        def lacking(self) -> list[FileId]:
            return [file for file, entry in self.entries.items() if entry.here and not entry.there]

        # Callers

        @rule(choice=PICK, attributes=ATTRIBUTES, chunking=CHUNKINGS)
        def attach(self, choice: int, attributes: Attributes | None, chunking: StaticChunking | None) -> None:
            if not self.files:
                self.files.append(self.world.file())
            file = self.files[choice % len(self.files)]
            present = self.world.entry(file).chunking if file in self.entries else None
            self.world.attach(file, attributes=attributes, chunking=chunking)
            entry = self.entries.get(file)
            if entry is None:
                self.entries[file] = Entry(attributes, chunking)
                return
            if entry.status is FileStatus.COMPLETED and present == chunking:
                entry.shown = attributes
            elif entry.status is not FileStatus.IN_PROGRESS or present != chunking:
                entry.settle(FileStatus.IN_PROGRESS)
            entry.attributes, entry.chunking = attributes, chunking

        @precondition(lambda self: self.entries)
        @rule(choice=PICK, attributes=ATTRIBUTES)
        def set_attributes(self, choice: int, attributes: Attributes | None) -> None:
            file = list(self.entries)[choice % len(self.entries)]
            entry = self.entries[file]
            with catalog.transaction() as tx:
                tx.store_files.set_attributes(self.world.project, self.world.store, file, attributes)
            entry.attributes = entry.shown = attributes

        @precondition(lambda self: self.entries)
        @rule(choice=PICK, how=st.sampled_from(["cancel", "detach", "delete", "retry"]))
        def end(self, choice: int, how: str) -> None:
            file = list(self.entries)[choice % len(self.entries)]
            entry, world = self.entries[file], self.world
            with catalog.transaction() as tx:
                if how == "cancel":
                    tx.store_files.cancel(world.project, world.store, file, world.now)
                elif how == "detach":
                    tx.store_files.delete(world.project, world.store, file, world.now)
                elif how == "delete":
                    tx.files.delete(world.project, file, world.now)
                else:
                    tx.store_files.retry(world.project, world.store, file)
            if how in {"detach", "delete"}:
                del self.entries[file]
                if how == "delete":
                    self.files.remove(file)
            elif how == "cancel" and entry.status is FileStatus.IN_PROGRESS:
                entry.settle(FileStatus.CANCELLED)
            elif how == "retry" and entry.status is FileStatus.FAILED:
                entry.settle(FileStatus.IN_PROGRESS)

        # Workers on the edition that searches find

        @rule(most=st.integers(1, 3), through=st.booleans())
        def claim(self, most: int, through: bool) -> None:
            claims = self.world.claim(most)
            waiting = {
                file
                for file, entry in self.entries.items()
                if entry.status is FileStatus.IN_PROGRESS and entry.free_from <= self.world.now
            }
            assert bool(claims) == bool(waiting and self.held_until <= self.world.now)
            for claim in claims:
                assert claim.model == self.model
                entry = self.entries[claim.file_id]
                entry.claim, entry.free_from = claim, self.world.now + LEASE_SECONDS
            self.claims += claims
            self.numbers |= {claim.document for claim in claims}
            if through and claims:
                self.publish_claims(claims)

        @precondition(lambda self: self.claims)
        @rule(choices=st.lists(PICK, min_size=1, max_size=3))
        def publish(self, choices: list[int]) -> None:
            chosen = {self.claims[-1 - choice % len(self.claims)].document for choice in choices}
            self.publish_claims([claim for claim in self.claims if claim.document in chosen])

        def publish_claims(self, claims: list[Claim]) -> None:
            outcome = self.world.publish(claims)
            held = [claim for claim in claims if self.holds(claim)]
            assert sorted(outcome.published) == sorted(claim.file_id for claim in held)
            for claim in held:
                assert claim.model == self.model, "embedded with a model that searches do not use"
                entry = self.entries[claim.file_id]
                entry.settle(FileStatus.COMPLETED)
                entry.idle()
                entry.shown, entry.here, entry.there = entry.attributes, True, False

        # Re-indexing

        @rule(rechunk=st.booleans(), chunking=CHUNKINGS, allow=st.booleans())
        def start(self, rechunk: bool, chunking: StaticChunking | None, allow: bool) -> None:
            self.made += 1
            model = f"model {self.made}"
            wish = ReindexWish(model, 8, rechunk, chunking if rechunk else None, None, KEEP_SECONDS, allow)
            if self.state is not None:
                with pytest.raises(NotAllowedNow), catalog.transaction() as tx:
                    tx.reindexes.start(self.world.project, self.world.store, new_reindex_id(), wish, self.world.now)
                return
            with catalog.transaction() as tx:
                tx.reindexes.start(self.world.project, self.world.store, new_reindex_id(), wish, self.world.now)
            self.state, self.other_model, self.allowed = ReindexState.RUNNING, model, allow

        @rule(most=st.integers(1, 3), how=st.sampled_from(["hold", "publish", "publish", "fail"]))
        def build(self, most: int, how: str) -> None:
            world = self.world
            with catalog.transaction() as tx:
                claims = tx.edition_claims.claim(
                    world.store,
                    most=most,
                    most_bytes=10**9,
                    token=new_lease_token(),
                    now=world.now,
                    lease_seconds=LEASE_SECONDS,
                )
            building = self.state in {ReindexState.RUNNING, ReindexState.ROLLING_BACK}
            free = [
                file
                for file in self.lacking()
                if not self.entries[file].failed and self.entries[file].work_until <= world.now
            ]
            assert bool(claims) == bool(building and free)
            assert {claim.file_id for claim in claims} <= set(free)
            assert not self.numbers & {claim.document for claim in claims}
            self.numbers |= {claim.document for claim in claims}
            for claim in claims:
                assert claim.model == self.other_model
                entry = self.entries[claim.file_id]
                entry.work, entry.work_until = claim, world.now + LEASE_SECONDS
            self.works += claims
            if how == "publish" and claims:
                self.publish_works(claims)
            elif how == "fail":
                for claim in claims:
                    failure = Failure(claim.file_id, FailureCode.SERVER_ERROR, "no")
                    with catalog.transaction() as tx:
                        tx.edition_claims.fail(world.store, claim.token, [failure], now=world.now)
                    entry = self.entries[claim.file_id]
                    entry.idle()
                    entry.failed = True

        @precondition(lambda self: self.works)
        @rule(choices=st.lists(PICK, min_size=1, max_size=3))
        def publish_late(self, choices: list[int]) -> None:
            chosen = {self.works[-1 - choice % len(self.works)].document for choice in choices}
            self.publish_works([claim for claim in self.works if claim.document in chosen])

        def publish_works(self, claims: list[Claim]) -> None:
            before = catalog.generation(self.world.store)
            done = [Ingested(one.file_id, one.token, one.document, CHUNKS, USAGE_BYTES) for one in claims]
            with catalog.transaction() as tx:
                outcome = tx.publish_edition(self.world.store, done, self.world.segment(CHUNKS * len(done)))
            held = [claim for claim in claims if self.works_on(claim)]
            assert sorted(outcome.published) == sorted(claim.file_id for claim in held)
            assert outcome.segment_live == bool(held)
            assert catalog.generation(self.world.store) == before, "no search may notice"
            for claim in held:
                assert claim.model == self.other_model
                entry = self.entries[claim.file_id]
                entry.idle()
                entry.there = True

        @rule()
        def swap(self) -> None:
            before = catalog.generation(self.world.store)
            with catalog.transaction() as tx:
                outcome = tx.reindexes.swap(self.world.store, self.world.now)
            self.expect_swap(outcome)
            assert (catalog.generation(self.world.store) > before) == (outcome is SwapOutcome.SWAPPED)

        def expect_swap(self, outcome: SwapOutcome) -> None:
            if self.state not in {ReindexState.RUNNING, ReindexState.ROLLING_BACK}:
                assert outcome is SwapOutcome.ENDED
                return
            failed = [file for file in self.lacking() if self.entries[file].failed]
            back = self.state is ReindexState.ROLLING_BACK
            if len(failed) < len(self.lacking()):
                assert outcome is SwapOutcome.BEHIND
                if self.held_until + 60 <= self.world.now:
                    self.held_until = self.world.now + 10
            elif failed and (back or not self.allowed):
                assert outcome is SwapOutcome.BLOCKED
                self.state = ReindexState.SWAPPED if back else ReindexState.BLOCKED
                if back:
                    self.all_idle()
            else:
                assert outcome is SwapOutcome.SWAPPED
                self.exchanged(back)

        def exchanged(self, back: bool) -> None:
            self.model, self.other_model, self.held_until = self.other_model, self.model, 0
            for entry in self.entries.values():
                if entry.here and not entry.there and entry.status is FileStatus.COMPLETED:
                    entry.settle(FileStatus.FAILED)
                if entry.there and not entry.here and entry.status is FileStatus.FAILED:
                    entry.settle(FileStatus.COMPLETED)
                entry.here, entry.there = entry.there, entry.here
                if entry.status is FileStatus.IN_PROGRESS and entry.claim is not None:
                    entry.claim, entry.free_from = None, 0
                entry.idle()
            if back:
                self.dropped()
            else:
                self.state, self.kept_until = ReindexState.SWAPPED, self.world.now + KEEP_SECONDS

        def dropped(self) -> None:
            self.state, self.held_until = None, 0
            self.all_idle()
            for entry in self.entries.values():
                entry.there = False

        def all_idle(self) -> None:
            for entry in self.entries.values():
                entry.idle()

        @precondition(lambda self: self.state is not None)
        @rule(how=st.sampled_from(["pause", "resume", "retry", "allow_failed", "cancel", "finish", "roll_back"]))
        def steer(self, how: str) -> None:
            project, store, now = self.world.project, self.world.store, self.world.now
            running, paused, blocked = ReindexState.RUNNING, ReindexState.PAUSED, ReindexState.BLOCKED
            swapped, back = ReindexState.SWAPPED, ReindexState.ROLLING_BACK
            allowed_in = {
                "pause": {running},
                "resume": {paused},
                "retry": {running, blocked},
                "allow_failed": {running, paused, blocked},
                "cancel": {running, paused, blocked, back},
                "finish": {swapped},
                "roll_back": {swapped},
            }
            try:
                with catalog.transaction() as tx:
                    outcome = getattr(tx.reindexes, how)(project, store, now).state
            except NotAllowedNow:
                assert self.state not in allowed_in[how]
                return
            assert self.state in allowed_in[how]
            if how == "pause":
                self.state = paused
            elif how in {"resume", "retry", "allow_failed"}:
                self.state = running
                self.allowed = self.allowed or how == "allow_failed"
                for entry in self.entries.values():
                    entry.failed = entry.failed and how != "retry"
            elif how == "cancel" and self.state is back:
                self.state, self.held_until = swapped, 0
                self.all_idle()
            elif how == "roll_back":
                self.state = back
                self.expect_swap(SwapOutcome.SWAPPED if outcome is ReindexState.ROLLED_BACK else SwapOutcome.BEHIND)
            else:
                self.dropped()

        @rule()
        def sweep(self) -> None:
            with catalog.transaction() as tx:
                for due in tx.reindexes.kept_too_long(self.world.now, 1000):
                    tx.reindexes.settle_kept(due, self.world.now)
                for old in tx.reindexes.dropping(1000):
                    tx.reindexes.purge(old, 2)
            if self.state is ReindexState.SWAPPED and self.kept_until <= self.world.now:
                self.dropped()

        @rule(second=st.booleans())
        def merge(self, second: bool) -> None:
            """Of either edition, as upkeep does it."""
            with catalog.transaction() as tx:
                edition = tx.reindexes.second_editions().get(self.world.store) if second else None
                if second and edition is None:
                    return
                rows = tx.manifests.segments(self.world.store, edition)
                living, dead = tx.manifests.lives(self.world.store, [row.id for row in rows])
                segment = self.world.segment(1) if living else None
                if rows:
                    removed = [row.id for row in rows]
                    assert tx.replace_segments(self.world.store, removed, segment, dropped=dead, now=self.world.now)
                tx.sweeps.purge_documents(self.world.store, 2)

        @rule(seconds=st.sampled_from([1, 10, LEASE_SECONDS, KEEP_SECONDS]))
        def wait(self, seconds: int) -> None:
            self.world.now += seconds

        @invariant()
        def searches_find_what_the_dict_says(self) -> None:
            manifest, row = self.world.manifest(), self.world.row()
            assert (manifest.model, row.model) == (self.model, self.model)
            shown = {document.file_id: typed(document.attributes) for document in manifest.documents}
            assert shown == {file: typed(entry.shown) for file, entry in self.entries.items() if entry.here}
            statuses = [entry.status for entry in self.entries.values()]
            assert row.counts == FileCounts(**{status.value: statuses.count(status) for status in FileStatus})
            assert row.usage_bytes == USAGE_BYTES * sum(entry.here for entry in self.entries.values())
            news = self.world.manifest(self.heard)
            if news.since == 0:
                self.reader = {}
            for document in news.documents:
                if document.living:
                    self.reader[document.number] = document
                else:
                    self.reader.pop(document.number, None)
            self.heard = news.generation
            assert self.reader == {document.number: document for document in manifest.documents}

        @invariant()
        def nothing_is_untrue(self) -> None:
            assert self.world.untruths() == []

    return Machine


def test_two_editions_say_what_a_dict_would_say(shared_catalog: Catalog) -> None:
    run_state_machine_as_test(
        make_machine(shared_catalog),
        settings=settings(
            max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
