"""The catalog against a dict: whatever callers and workers do, it says what the dict says.

The dict knows nothing of leases in rows, counters or generations in tables; it knows files, who works on them, and
what a search should find.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from retrieval.catalog.paging import PageQuery
from retrieval.catalog.rows import (
    Attributes,
    Claim,
    DocumentRow,
    Failure,
    FailureCode,
    FileCounts,
    FileStatus,
    StaticChunking,
)
from retrieval.catalog.transaction import Catalog
from retrieval.ids import BatchId, FileId
from tests.support.catalogs import LEASE_SECONDS, USAGE_BYTES, World

ATTRIBUTES = st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, 1.0, True, "1"]), max_size=2)
CHUNKINGS = st.sampled_from([None, StaticChunking(100, 0), StaticChunking(200, 100)])
PICK = st.integers(0, 9)  # counted from the newest: small worlds meet themselves more often


@dataclass
class Entry:
    attributes: Attributes | None
    chunking: StaticChunking | None
    status: FileStatus = FileStatus.IN_PROGRESS
    claim: Claim | None = None
    free_from: int = 0
    found: Attributes | None = None  # what a search shows, where it finds the file at all
    findable: bool = False
    last_batch: BatchId | None = None
    batches: set[BatchId] = field(default_factory=set)

    def settle(self, status: FileStatus) -> None:
        self.status, self.claim, self.free_from = status, None, 0


def typed(attributes: Attributes | None) -> list[tuple[str, type, object]]:
    return sorted((key, type(value), value) for key, value in (attributes or {}).items())


def make_machine(catalog: Catalog) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = World(catalog)
            self.files = self.world.files(3)
            self.entries: dict[FileId, Entry] = {}  # in order of attachment
            self.batches: list[BatchId] = []
            self.claims: list[Claim] = []  # all there ever were, also those long lost
            self.numbers: set[int] = set()
            self.reader: dict[int, DocumentRow] = {}  # one who only ever asks for what changed
            self.heard = 0

        def pick(self, choice: int) -> FileId:
            return self.files[-1 - choice % min(3, len(self.files))]

        def wish(self, file: FileId, attributes: Attributes | None, chunking: StaticChunking | None) -> Entry:
            entry = self.entries.get(file)
            if entry is None:
                entry = self.entries[file] = Entry(attributes, chunking)
                return entry
            same_chunks = entry.chunking == chunking
            if entry.status is FileStatus.COMPLETED and same_chunks:
                entry.found = attributes
            elif entry.status is not FileStatus.IN_PROGRESS or not same_chunks:
                entry.settle(FileStatus.IN_PROGRESS)
            entry.attributes, entry.chunking, entry.last_batch = attributes, chunking, None
            return entry

        @precondition(lambda self: len(self.files) < 3)
        @rule()
        def add_file(self) -> None:
            self.files.append(self.world.file())

        @precondition(lambda self: self.files)
        @rule(choice=PICK, attributes=ATTRIBUTES, chunking=CHUNKINGS)
        def attach(self, choice: int, attributes: Attributes | None, chunking: StaticChunking | None) -> None:
            file = self.pick(choice)
            self.wish(file, attributes, chunking)
            row = self.world.attach(file, attributes=attributes, chunking=chunking)
            assert row.status is self.entries[file].status

        @precondition(lambda self: self.files)
        @rule(choices=st.lists(PICK, min_size=1, max_size=4), attributes=ATTRIBUTES)
        def attach_batch(self, choices: list[int], attributes: Attributes | None) -> None:
            chosen = list(dict.fromkeys(self.pick(choice) for choice in choices))
            batch = self.world.batch(chosen, attributes)
            for file in chosen:
                entry = self.wish(file, attributes, None)
                entry.last_batch = batch.id
                entry.batches.add(batch.id)
            self.batches.append(batch.id)

        @rule(most=st.integers(1, 4))
        def claim(self, most: int) -> None:
            waiting = {
                file
                for file, entry in self.entries.items()
                if entry.status is FileStatus.IN_PROGRESS and entry.free_from <= self.world.now
            }
            claims = self.world.claim(most)
            assert bool(claims) == bool(waiting)
            assert {claim.file_id for claim in claims} <= waiting
            assert len({claim.file_id for claim in claims}) == len(claims) <= most
            assert not self.numbers & {claim.document for claim in claims}
            assert len({claim.deaths for claim in claims}) <= 1, "suspects travel apart from the others"
            assert len(claims) <= 1 or claims[0].deaths <= 1, "and each alone after a second death"
            for claim in claims:
                entry = self.entries[claim.file_id]
                assert claim.chunking == entry.chunking
                entry.claim, entry.free_from = claim, self.world.now + LEASE_SECONDS
            self.numbers |= {claim.document for claim in claims}
            self.claims += claims

        @rule(most=st.integers(1, 4))
        def work(self, most: int) -> None:
            """What workers do most of the time."""
            known = len(self.claims)
            self.claim(most)
            if len(self.claims) > known:
                self.publish_claims(self.claims[known:])

        @precondition(lambda self: self.claims)
        @rule(choices=st.lists(PICK, min_size=1, max_size=4))
        def publish(self, choices: list[int]) -> None:
            """Of claims new and old, in any mixture."""
            chosen = {self.claims[-1 - choice % len(self.claims)].document for choice in choices}
            self.publish_claims([claim for claim in self.claims if claim.document in chosen])

        def publish_claims(self, claims: list[Claim]) -> None:
            before = catalog.generation(self.world.store)
            outcome = self.world.publish(claims)
            held = [claim for claim in claims if self.holds(claim)]
            assert sorted(outcome.published) == sorted(claim.file_id for claim in held)
            assert len(outcome.skipped) == len({claim.file_id for claim in claims} - set(outcome.published))
            assert outcome.segment_live == bool(held)
            assert outcome.generation == before + bool(held)
            for claim in held:
                entry = self.entries[claim.file_id]
                entry.settle(FileStatus.COMPLETED)
                entry.found, entry.findable = entry.attributes, True

        def holds(self, claim: Claim) -> bool:
            entry = self.entries.get(claim.file_id)
            return entry is not None and entry.claim == claim and entry.status is FileStatus.IN_PROGRESS

        @precondition(lambda self: self.claims)
        @rule(choice=PICK, how=st.sampled_from(["fail", "release", "later", "renew"]))
        def settle(self, choice: int, how: str) -> None:
            claim = self.claims[-1 - choice % len(self.claims)]
            file, token = claim.file_id, claim.token
            entry = self.entries.get(file)
            # a token may have been given for several files, and holds those that nobody else has taken since
            held = entry is not None and entry.claim is not None and entry.claim.token == token
            with catalog.transaction() as tx:
                if how == "fail":
                    failure = Failure(file, FailureCode.SERVER_ERROR, "no")
                    done = tx.claims.fail(self.world.store, token, [failure], now=self.world.now) == (file,)
                elif how == "release":
                    done = tx.claims.release(self.world.store, token, [file]) == 1
                elif how == "later":
                    until = self.world.now + 5
                    done = tx.claims.retry_later(self.world.store, token, [file], until=until) == 1
                else:
                    lease = LEASE_SECONDS
                    done = file in tx.claims.renew(self.world.store, token, now=self.world.now, lease_seconds=lease)
            assert done == held
            if not held:
                return
            assert entry is not None
            if how == "fail":
                entry.settle(FileStatus.FAILED)
            elif how == "release":
                entry.claim, entry.free_from = None, 0
            elif how == "later":
                entry.claim, entry.free_from = None, self.world.now + 5
            else:
                for other in self.entries.values():
                    if other.claim is not None and other.claim.token == token:
                        other.free_from = self.world.now + LEASE_SECONDS

        @rule(seconds=st.sampled_from([1, 5, LEASE_SECONDS]))
        def wait(self, seconds: int) -> None:
            self.world.now += seconds

        @precondition(lambda self: self.entries)
        @rule(choice=PICK, attributes=ATTRIBUTES)
        def set_attributes(self, choice: int, attributes: Attributes | None) -> None:
            file = list(self.entries)[-1 - choice % len(self.entries)]
            entry = self.entries[file]
            with catalog.transaction() as tx:
                tx.store_files.set_attributes(self.world.project, self.world.store, file, attributes)
            entry.attributes = attributes
            if entry.findable:
                entry.found = attributes

        @precondition(lambda self: self.entries)
        @rule(choice=PICK, how=st.sampled_from(["cancel", "retry", "cancel", "retry", "detach", "delete"]))
        def end(self, choice: int, how: str) -> None:
            file = list(self.entries)[-1 - choice % len(self.entries)]
            entry, world = self.entries[file], self.world
            with catalog.transaction() as tx:
                if how == "cancel":
                    tx.store_files.cancel(world.project, world.store, file, world.now)
                elif how == "detach":
                    tx.store_files.delete(world.project, world.store, file, world.now)
                elif how == "delete":
                    assert tx.files.delete(world.project, file, world.now) == (world.store,)
                else:
                    failed = entry.status is FileStatus.FAILED
                    assert tx.store_files.retry(world.project, world.store, file) == failed
            if how in {"detach", "delete"}:
                del self.entries[file]
                if how == "delete":
                    self.files.remove(file)
            elif how == "cancel" and entry.status is FileStatus.IN_PROGRESS:
                entry.settle(FileStatus.CANCELLED)
            elif how == "retry" and entry.status is FileStatus.FAILED:
                entry.settle(FileStatus.IN_PROGRESS)

        @precondition(lambda self: self.batches)
        @rule(choice=PICK)
        def cancel_batch(self, choice: int) -> None:
            batch = self.batches[choice % len(self.batches)]
            with catalog.transaction() as tx:
                before = tx.batches.get(self.world.project, self.world.store, batch)
                tx.batches.cancel(self.world.project, self.world.store, batch, self.world.now)
            if before.status != "in_progress":
                return
            for entry in self.entries.values():
                if entry.last_batch == batch and entry.status is FileStatus.IN_PROGRESS:
                    entry.settle(FileStatus.CANCELLED)

        @rule(keep=st.integers(0, 3))
        def merge(self, keep: int) -> None:
            manifest = self.world.manifest()
            removed = [segment.id for segment in manifest.segments[keep:]]
            living = {document.number for document in manifest.documents}
            dead = sorted(self.numbers - living)
            with catalog.transaction() as tx:
                segment = self.world.segment(1) if living else None
                if removed:
                    assert tx.replace_segments(self.world.store, removed, segment, dropped=dead, now=self.world.now)
                tx.sweeps.purge_documents(self.world.store, 2)

        @rule(
            limit=st.integers(1, 4), order=st.sampled_from(["asc", "desc"]), status=st.sampled_from([None, *FileStatus])
        )
        def read(self, limit: int, order: str, status: FileStatus | None) -> None:
            self.read_what_changed()
            expected = [file for file, entry in self.entries.items() if status in {None, entry.status}]
            seen: list[FileId] = []
            while True:
                query = PageQuery(limit, "asc" if order == "asc" else "desc", after=seen[-1] if seen else None)
                with catalog.reading() as tx:
                    page = tx.store_files.page(self.world.project, self.world.store, query, status)
                seen += [row.file_id for row in page.items]
                if not page.has_more:
                    break
            assert seen == (expected if order == "asc" else expected[::-1])

        def read_what_changed(self) -> None:
            """A reader who follows the changes knows exactly what one who reads everything knows."""
            news = self.world.manifest(self.heard)
            if news.since == 0:
                self.reader = {}
            for document in news.documents:
                assert news.since < document.changed <= news.generation
                if document.living:
                    self.reader[document.number] = document
                else:
                    self.reader.pop(document.number, None)
            self.heard = news.generation
            everything = {document.number: document for document in self.world.manifest().documents}
            assert self.reader == everything

        @invariant()
        def it_says_what_the_dict_says(self) -> None:
            row = self.world.row()
            statuses = [entry.status for entry in self.entries.values()]
            assert row.counts == FileCounts(**{status.value: statuses.count(status) for status in FileStatus})
            assert row.usage_bytes == USAGE_BYTES * sum(entry.findable for entry in self.entries.values())
            shown = {document.file_id: typed(document.attributes) for document in self.world.manifest().documents}
            assert shown == {file: typed(entry.found) for file, entry in self.entries.items() if entry.findable}
            for batch in self.batches:
                with catalog.reading() as tx:
                    counts = tx.batches.get(self.world.project, self.world.store, batch).counts
                mine = [entry.status for entry in self.entries.values() if batch in entry.batches]
                assert counts == FileCounts(**{status.value: mine.count(status) for status in FileStatus})

        def teardown(self) -> None:
            assert self.world.untruths() == []

    return Machine


def test_the_catalog_says_what_a_dict_would_say(shared_catalog: Catalog) -> None:
    run_state_machine_as_test(
        make_machine(shared_catalog),
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
