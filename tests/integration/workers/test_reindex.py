"""A second edition built by workers over real files, with searches beside it: whatever happens, answers are whole, of
one model, and say what was wished."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.embedding import Embedded, Embedder, EmbedderConfig, EmbedderUnavailable, Pauses, open_embedder
from retrieval.catalog.reindex_rows import ReindexRow, ReindexState, ReindexWish
from retrieval.catalog.rows import Attachment, FileStatus, StaticChunking
from retrieval.embedders import Embedders
from retrieval.errors import InvalidInput, NotAllowedNow
from retrieval.ids import FileId, StoreId, new_reindex_id
from retrieval.index.snapshots import Snapshots
from retrieval.ledger import INGEST_CALLS, INGEST_TOKENS
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.segments.layout import segment_name
from tests.support.workshop import Watched, Workshop, open_workshop
from workers.pipeline import index_waiting
from workers.reindex import build
from workers.upkeep import Upkeep

WIDE = 64


class Bench:
    """A workshop with two models, and what a caller does with them."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        configs = [EmbedderConfig(provider="hashed", model="wide", width=WIDE)]
        self.wide = Watched(open_embedder(configs[0]))
        self.resources = replace(shop.resources, embedder_of=self.embedder_of)
        self.upkeep = Upkeep(shop.catalog, shop.storage)
        self.snapshots = Snapshots(shop.catalog, shop.storage)
        self.searcher = Searcher(shop.catalog, self.snapshots, self.embedder_of)
        self.store = shop.new_store()

    def embedder_of(self, model: str) -> Embedder:
        return {"hashed": self.shop.embedder, "wide": self.wide}[model]

    def add(self, *texts: str) -> list[FileId]:
        files = self.shop.attach(self.store, [text.encode() for text in texts], "page.md")
        self.ingest()
        return files

    def ingest(self) -> None:
        while index_waiting(self.store, self.resources):
            pass

    def start(self, wish: ReindexWish | None = None) -> ReindexRow:
        with self.shop.catalog.transaction() as tx:
            now = self.shop.catalog.now()
            return tx.reindexes.start(
                self.shop.project, self.store, new_reindex_id(), wish or ReindexWish("wide", WIDE), now
            )

    def build(self) -> None:
        while build(self.store, self.resources, self.upkeep):
            pass

    def job(self) -> ReindexRow:
        with self.shop.catalog.reading() as tx:
            return tx.reindexes.latest(self.shop.project, self.store)

    def model(self) -> tuple[str, int]:
        with self.shop.catalog.reading() as tx:
            row = tx.stores.get(self.shop.project, self.store)
        return row.model, row.width

    def found(self, text: str, limit: int = 100) -> list[str]:
        """The texts that a search by vectors alone finds, every one that is there."""
        answer = self.searcher.search(self.shop.project, self.store, Query((text,), limit=limit, ranker="vectors"))
        return [hit.chunk.text for hit in answer.hits]

    def untruths(self) -> list[str]:
        with self.shop.catalog.reading() as tx:
            return tx.untruths()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_workshop(tmp_path) as shop:
        yield Bench(shop)


def pages(count: int, start: int = 0) -> list[str]:
    return [
        f"# Page {number}\n\nThe {number}th story of lamp{number} and river." for number in range(start, start + count)
    ]


def test_a_new_model_takes_chunks_over_and_embeds_what_was_embedded(bench: Bench) -> None:
    """With title and headings in front, as when the file was read."""
    bench.add(*pages(5))
    seen: list[str] = []
    bench.shop.embedder.before = seen.extend
    bench.shop.attach(bench.store, [b"# Title\n\nsome words\n\n## Part\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"], "t.md")
    bench.ingest()
    bench.shop.embedder.before = None
    again: list[str] = []
    bench.wide.before = again.extend
    before = sorted(bench.found("river"))
    bench.start()
    bench.build()
    assert bench.model() == ("wide", WIDE)
    assert set(seen) <= set(again)
    assert sorted(bench.found("river")) == before
    assert bench.job().state is ReindexState.SWAPPED
    assert bench.untruths() == []


def test_a_new_chunking_reads_the_files_again(bench: Bench) -> None:
    [file] = bench.add(" ".join(f"word{number}" for number in range(900)))
    whole = bench.found("word1")
    bench.start(ReindexWish("hashed", 384, rechunk=True, chunking=StaticChunking(100, 20)))
    bench.build()
    assert len(bench.found("word1")) > len(whole)
    row = bench.shop.row(bench.store, file)
    assert (row.status, row.chunking) == (FileStatus.COMPLETED, StaticChunking(100, 20))
    assert row.chunks == len(bench.found("word1"))
    assert bench.untruths() == []


def test_what_comes_changes_and_goes_meanwhile_is_as_it_should_be_after_the_swap(bench: Bench) -> None:
    kept, changed, gone = bench.add("stays lamp", "changes lamp", "goes lamp")
    bench.start()
    build_once(bench)
    with bench.shop.catalog.transaction() as tx:
        tx.store_files.set_attributes(bench.shop.project, bench.store, changed, {"colour": "red"})
    with bench.shop.catalog.transaction() as tx:
        tx.store_files.delete(bench.shop.project, bench.store, gone, bench.shop.catalog.now())
    bench.add("comes lamp")
    bench.build()
    assert sorted(bench.found("lamp")) == ["changes lamp", "comes lamp", "stays lamp"]
    answer = bench.searcher.search(bench.shop.project, bench.store, Query(("changes lamp",), limit=1))
    assert answer.hits[0].attributes == {"colour": "red"}
    assert bench.shop.row(bench.store, kept).status is FileStatus.COMPLETED


def test_a_file_that_was_embedded_with_the_old_model_is_not_published_after_the_swap(bench: Bench) -> None:
    """The swap ends its claim; it is embedded anew, and never one moment found under the wrong model."""
    bench.add("first lamp")
    bench.start()

    def swap_now(_: Sequence[str]) -> None:
        bench.shop.embedder.before = None
        bench.build()
        assert bench.model() == ("wide", WIDE)

    bench.shop.embedder.before = swap_now
    bench.shop.attach(bench.store, [b"second lamp"])
    bench.ingest()
    assert sorted(bench.found("lamp")) == ["first lamp", "second lamp"]
    with bench.shop.catalog.reading() as tx:
        assert {row.width for row in tx.manifests.segments(bench.store)} == {WIDE}
    assert bench.untruths() == []


def test_searches_never_fail_and_never_mix_models_while_editions_change_places(bench: Bench) -> None:
    """A question's vector has the width of the rows it is compared with, or the search would raise."""
    bench.add(*pages(30))
    expected = sorted(bench.found("river"))
    over, failures, answers = threading.Event(), list[BaseException](), list[int]()

    def search(number: int) -> None:
        searcher = Searcher(bench.shop.catalog, Snapshots(bench.shop.catalog, bench.shop.storage), bench.embedder_of)
        asked = 0
        try:
            while not over.is_set():
                asked += 1
                query = Query((f"river {number} {asked}",), limit=100, ranker="vectors")
                answer = searcher.search(bench.shop.project, bench.store, query)
                assert sorted(hit.chunk.text for hit in answer.hits) == expected
        except BaseException as error:
            failures.append(error)
        answers.append(asked)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for wish in [ReindexWish("wide", WIDE), ReindexWish("hashed", 384)] * 3:
        bench.start(replace(wish, keep_seconds=0))
        bench.build()
        assert bench.model() == (wish.model, wish.width)
        bench.upkeep.expire()
    over.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert min(answers) > 0
    assert bench.untruths() == []


def test_a_rollback_brings_back_the_old_edition_with_what_came_since(bench: Bench) -> None:
    bench.add("old lamp", "doomed lamp")
    bench.start()
    bench.build()
    calls = len(bench.shop.embedder.calls)
    with bench.shop.catalog.transaction() as tx:
        row = tx.reindexes.roll_back(bench.shop.project, bench.store, bench.shop.catalog.now())
    assert row.state is ReindexState.ROLLED_BACK, "at once, where nothing came"
    assert bench.model() == ("hashed", 384)
    assert len(bench.shop.embedder.calls) == calls
    bench.start()
    bench.build()
    files = bench.add("new lamp")
    with bench.shop.catalog.transaction() as tx:
        assert tx.reindexes.roll_back(bench.shop.project, bench.store, bench.shop.catalog.now()).state is (
            ReindexState.ROLLING_BACK
        )
    assert bench.model() == ("wide", WIDE)
    bench.build()
    assert bench.model() == ("hashed", 384)
    assert sorted(bench.found("lamp")) == ["doomed lamp", "new lamp", "old lamp"]
    assert bench.shop.row(bench.store, files[0]).status is FileStatus.COMPLETED
    assert bench.untruths() == []


def test_files_that_fail_are_told_and_keep_the_swap_from_happening_until_it_is_allowed(bench: Bench) -> None:
    good, bad = bench.add("good lamp", "bad lamp")

    def refuse(texts: Sequence[str]) -> None:
        if any("bad" in text for text in texts):
            raise ValueError("no vector for this")

    bench.wide.before = refuse
    bench.start()
    for _ in range(8):
        bench.build()
        with bench.shop.catalog.transaction() as tx:
            tx.reindexes._connection.exec_driver_sql("UPDATE reindex_files SET leased_until = 0")
    job = bench.job()
    assert job.state is ReindexState.BLOCKED
    assert (job.progress.documents_done, job.progress.documents_failed) == (1, 1)
    assert job.reason is not None
    with bench.shop.catalog.reading() as tx:
        [failure] = tx.reindexes.failures(bench.store)
    assert failure.file_id == bad
    assert "Given up" in failure.error.message
    assert sorted(bench.found("lamp")) == ["bad lamp", "good lamp"]
    with bench.shop.catalog.transaction() as tx:
        tx.reindexes.allow_failed(bench.shop.project, bench.store, bench.shop.catalog.now())
    bench.build()
    assert bench.found("lamp") == ["good lamp"]
    assert bench.shop.statuses(bench.store, [good, bad]) == [FileStatus.COMPLETED, FileStatus.FAILED]
    with bench.shop.catalog.transaction() as tx:
        tx.reindexes.roll_back(bench.shop.project, bench.store, bench.shop.catalog.now())
    assert sorted(bench.found("lamp")) == ["bad lamp", "good lamp"]
    assert bench.shop.statuses(bench.store, [good, bad]) == [FileStatus.COMPLETED, FileStatus.COMPLETED]
    assert bench.untruths() == []


def test_a_model_that_does_not_answer_costs_delay_and_nothing_else(bench: Bench) -> None:
    bench.add("one lamp")

    def away(_: Sequence[str]) -> None:
        raise EmbedderUnavailable("away")

    bench.wide.before = away
    bench.start()
    bench.build()
    assert bench.job().state is ReindexState.RUNNING
    bench.add("two lamp")
    bench.wide.before = None
    with bench.shop.catalog.transaction() as tx:
        tx.reindexes._connection.exec_driver_sql("UPDATE reindex_files SET leased_until = 0")
    bench.build()
    assert bench.model() == ("wide", WIDE)
    bench.ingest()  # if the store was held for the swap when it came
    assert sorted(bench.found("lamp")) == ["one lamp", "two lamp"]


def test_paused_means_that_nothing_is_claimed_and_resumed_that_it_goes_on(bench: Bench) -> None:
    bench.add("one lamp")
    bench.start()
    project, now = bench.shop.project, bench.shop.catalog.now()
    with bench.shop.catalog.transaction() as tx:
        tx.reindexes.pause(project, bench.store, now)
    bench.build()
    assert bench.wide.calls == []
    with bench.shop.catalog.transaction() as tx:
        tx.reindexes.resume(project, bench.store, now)
    bench.build()
    assert bench.model() == ("wide", WIDE)


def test_a_cancelled_edition_leaves_nothing_behind(bench: Bench) -> None:
    bench.add(*pages(3))
    before = bench.shop.segments(bench.store)
    bench.start()
    stopped = threading.Event()

    def cancel(_: Sequence[str]) -> None:
        bench.wide.before = None
        with bench.shop.catalog.transaction() as tx:
            tx.reindexes.cancel(bench.shop.project, bench.store, bench.shop.catalog.now())
        stopped.set()

    bench.wide.before = cancel
    bench.build()
    assert stopped.is_set()
    assert bench.model() == ("hashed", 384)
    assert bench.shop.segments(bench.store) == before
    bench.upkeep.expire()
    with bench.shop.catalog.reading() as tx:
        count = tx.reindexes._connection.exec_driver_sql("SELECT count(*) FROM documents WHERE edition = 1").scalar()
    assert count == 0
    bench.start()
    bench.build()
    assert bench.model() == ("wide", WIDE)


def test_a_limit_of_chunks_a_second_is_kept_by_all_workers_together(bench: Bench) -> None:
    bench.add(*pages(4))
    bench.start(ReindexWish("wide", WIDE, chunks_per_second=0.001))
    bench.build()
    done = bench.job().progress.documents_done
    assert done == 1, "one claim, and then a pause"


def test_a_limit_beyond_all_numbers_is_none(bench: Bench) -> None:
    bench.add(*pages(2))
    bench.start(ReindexWish("wide", WIDE, chunks_per_second=1e308))
    bench.build()
    assert bench.model() == ("wide", WIDE)


def test_a_re_index_that_would_change_nothing_and_a_second_at_once_are_refused(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="nothing would change"):
        bench.start(ReindexWish("hashed", 384))
    bench.start()
    with pytest.raises(NotAllowedNow, match="second edition already"):
        bench.start()


def test_an_empty_store_is_swapped_at_once(bench: Bench) -> None:
    bench.start()
    bench.build()
    assert bench.model() == ("wide", WIDE)
    bench.add("first lamp")
    assert bench.found("lamp") == ["first lamp"]


def test_models_open_only_when_they_are_used() -> None:
    opened: list[str] = []

    def opener(config: EmbedderConfig, _: Pauses | None = None) -> Embedder:
        opened.append(config.model)
        return open_embedder(config)

    configs = [EmbedderConfig(provider="hashed", model=name, width=8) for name in ("first", "second", "alias")]
    embedders = Embedders(configs, {"other": "second"}, opener=opener)
    assert embedders.names == ("first", "second", "alias")
    assert isinstance(embedders.get("other").embed(["a"]), Embedded)
    assert opened == ["second"]
    embedders.close()


def test_a_store_that_is_deleted_or_rebuilt_takes_its_editions_along(bench: Bench) -> None:
    bench.add("one lamp")
    bench.start()
    with bench.shop.catalog.transaction() as tx:
        tx.stores.delete(bench.shop.project, bench.store, bench.shop.catalog.now())
    bench.build()
    bench.upkeep.expire()
    with bench.shop.catalog.reading() as tx:
        assert tx.reindexes.second_editions() == {}


def again(bench: Bench, store: StoreId, file: FileId, chunking: StaticChunking) -> None:
    with bench.shop.catalog.transaction() as tx:
        tx.store_files.attach(bench.shop.project, store, Attachment(file, None, chunking), bench.shop.catalog.now())


def test_a_file_that_is_replaced_meanwhile_is_made_anew_as_it_was_replaced(bench: Bench) -> None:
    [file] = bench.add(" ".join(f"word{number}" for number in range(900)))
    bench.start()
    build_once(bench)
    again(bench, bench.store, file, StaticChunking(100, 0))
    bench.ingest()
    chunks = len(bench.found("word1"))
    bench.build()
    assert bench.model() == ("wide", WIDE)
    assert len(bench.found("word1")) == chunks == bench.shop.row(bench.store, file).chunks
    assert bench.untruths() == []


def build_once(bench: Bench) -> None:
    """Documents made anew, and not yet swapped in."""
    assert build(bench.store, bench.resources, bench.upkeep) > 0
    assert bench.job().state is ReindexState.RUNNING


def test_documents_of_a_damaged_segment_are_read_from_their_files_anew(bench: Bench) -> None:
    whole, torn = bench.add(*pages(3)), bench.add(*pages(3, start=10))
    with bench.shop.catalog.reading() as tx:
        rows = tx.manifests.segments(bench.store)
    before = sorted(bench.found("river"))
    damaged = bench.shop.storage.path(segment_name(bench.store, rows[-1].id))
    content = bytearray(damaged.read_bytes())
    content[-2_000:] = bytes(2_000)
    damaged.chmod(0o640)
    damaged.write_bytes(content)
    bench.start()
    bench.build()
    assert bench.model() == ("wide", WIDE)
    assert sorted(bench.found("river")) == before
    assert len(before) == 6
    assert bench.shop.statuses(bench.store, [*whole, *torn]) == [FileStatus.COMPLETED] * 6
    assert bench.untruths() == []


def test_what_a_re_index_embeds_is_on_the_bill_of_its_project(bench: Bench) -> None:
    bench.add(*pages(3))
    noted = Counter[tuple[str, str]]()

    def note(project: str, kind: str, quantity: int) -> None:
        noted[project, kind] += quantity

    bench.resources = replace(bench.resources, note=note)
    bench.start()
    bench.build()
    assert noted[bench.shop.project, INGEST_TOKENS] == bench.job().tokens > 0
    assert noted[bench.shop.project, INGEST_CALLS] == 1
