"""Refresh of a folder: what is new, changed, gone or unreadable there, and what the store and the report say of it."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.catalog.rows import StaticChunking
from retrieval.catalog.source_rows import AskedBy, Outcome, RunStatus
from retrieval.catalog.transaction import Catalog
from retrieval.errors import LeaseLost, NotAllowedNow, NotFound
from retrieval.ids import new_lease_token
from retrieval.sources.selection import Selection
from tests.support.mirror import Mirror, folder_wish, open_mirror
from workers import refresh
from workers.refresh import begin_due
from workers.sources import directory
from workers.sources.port import ItemUnreadable, Listed


@pytest.fixture(scope="module")
def children() -> Iterator[ChildPool]:
    with ChildPool(1, Limits()) as pool:
        yield pool


@pytest.fixture
def mirror(shared_catalog: Catalog, tmp_path: Path, children: ChildPool) -> Iterator[Mirror]:
    with open_mirror(shared_catalog, tmp_path, children) as opened:
        yield opened


def test_a_first_run_takes_everything_in_and_a_second_finds_nothing_to_do(mirror: Mirror) -> None:
    mirror.fill(7)
    mirror.write(".hidden/secret.md", "not for you")
    first = mirror.run()
    assert first.status is RunStatus.COMPLETED
    assert (first.counts.listed, first.counts.added, first.counts.failed) == (7, 7, 0)
    assert first.counts.chunks == first.counts.texts_embedded == 7
    assert first.counts.embedding_calls >= 1
    assert mirror.found() == mirror.expected()
    calls = len(mirror.embedder.calls)
    second = mirror.run()
    assert (second.counts.unchanged, second.counts.added, second.counts.changed, second.counts.bytes_read) == (
        7,
        0,
        0,
        0,
    )
    assert second.counts.texts_embedded == second.counts.chunks == 0
    assert len(mirror.embedder.calls) == calls
    assert mirror.untruths() == []


def test_what_changed_is_replaced_and_what_went_is_dropped_with_their_files(mirror: Mirror) -> None:
    mirror.fill(6)
    mirror.run()
    mirror.write("part0/page0.md", "# Page 0\n\nQuite another thing.")
    (mirror.root / "part1/page1.md").unlink()
    mirror.write("new.txt", "A new one.")
    report = mirror.run()
    counts = report.counts
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (1, 1, 1, 4)
    assert mirror.keys(report.id, Outcome.CHANGED) == ["part0/page0.md"]
    assert mirror.keys(report.id, Outcome.REMOVED) == ["part1/page1.md"]
    assert mirror.found() == mirror.expected()
    assert mirror.files() == 6, "the files of what was replaced and dropped have gone too"
    assert mirror.untruths() == []


def test_the_old_form_is_found_until_the_new_one_is(mirror: Mirror) -> None:
    mirror.write("a.md", "The old words.")
    mirror.run()
    before = mirror.found()
    mirror.write("a.md", "The new words, and more of them.")
    asked = mirror.ask()
    refresh.refresh(mirror.source_id, mirror.parts)
    assert mirror.report(asked.id).status is RunStatus.INDEXING
    assert mirror.found() == before, "attached, and not yet indexed"
    mirror.write("a.md", "A third version, before the second was ever found.")
    mirror.finish()
    mirror.run()
    assert mirror.found() == mirror.expected()
    assert mirror.files() == 1


def test_a_version_that_was_never_found_gives_way_to_the_next_one(mirror: Mirror) -> None:
    mirror.write("a.md", "The first words.")
    mirror.run()
    old = mirror.found()
    mirror.write("a.md", "")  # an empty document fails
    broken = mirror.run()
    assert (broken.counts.failed, broken.counts.changed) == (1, 0)
    [failure] = [change for change in mirror.changes(broken.id) if change.outcome is Outcome.FAILED]
    assert failure.reason
    assert mirror.found() == old, "a new form that cannot be read leaves the old one to be found"
    again = mirror.run()
    assert (again.counts.failed, again.counts.unchanged) == (1, 0), "told again, and not tried again"
    mirror.write("a.md", "Mended words.")
    mended = mirror.run()
    assert (mended.counts.changed, mended.counts.failed) == (1, 0)
    assert mirror.found() == mirror.expected()
    assert mirror.files() == 1
    assert mirror.untruths() == []


def test_a_death_while_the_files_of_replaced_documents_go_leaves_none_behind(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.write("a.md", "One.")
    mirror.write("b.md", "Two.")
    mirror.run()
    mirror.write("a.md", "Another one.")
    asked = mirror.ask()

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    refresh.refresh(mirror.source_id, mirror.parts)
    mirror.index()
    mirror.let_go_on()
    real = refresh.clear_leftovers
    monkeypatch.setattr(refresh, "clear_leftovers", die)
    with pytest.raises(KeyboardInterrupt):
        refresh.refresh(mirror.source_id, mirror.parts)
    monkeypatch.setattr(refresh, "clear_leftovers", real)
    mirror.finish()
    assert mirror.report(asked.id).status is RunStatus.COMPLETED
    assert mirror.files() == 2
    assert mirror.found() == mirror.expected()


def test_only_chunks_whose_text_is_new_are_embedded(mirror: Mirror) -> None:
    parts = [f"# Part {number}\n\n" + f"Sentence of part {number} about stones. " * 30 for number in range(8)]
    mirror.write("book.md", "\n\n".join(parts))
    first = mirror.run()
    parts[3] += "\n\nOne paragraph more, on clouds."
    mirror.write("book.md", "\n\n".join(parts))
    second = mirror.run()
    assert first.counts.texts_embedded == first.counts.chunks > 4
    assert second.counts.chunks >= first.counts.chunks
    assert 1 <= second.counts.texts_embedded <= 2, "the embedder here has no cache: the old document's vectors serve"
    assert second.counts.embedding_calls == 1
    assert second.counts.tokens_embedded < first.counts.tokens_embedded


def test_a_touched_file_is_read_once_and_costs_nothing_else(mirror: Mirror) -> None:
    mirror.write("a.md", "The same words.", modified=1_000_000)
    mirror.run()
    files = mirror.living()
    mirror.write("a.md", "The same words.", modified=2_000_000)
    report = mirror.run()
    assert (report.counts.unchanged, report.counts.changed) == (1, 0)
    assert report.counts.bytes_read == len("The same words.")
    assert mirror.living() == files
    assert mirror.run().counts.bytes_read == 0, "its new time is known now"


def test_attributes_come_from_templates_and_follow_them(mirror: Mirror) -> None:
    front = "---\nowner: Ada\nlevel: 3\nopen: true\ntags: [a, b]\n---\n"
    mirror.write("guides/Deep/intro.MD", front + "# Hello\n\nWords.", modified=1_700_000_000)
    mirror.change(
        attributes={
            "path": "{path}",
            "where": "{folder}",
            "kind": "{extension}",
            "when": "{modified}",
            "owner": "{front.owner}",
            "level": "{front.level}",
            "open": "{front.open}",
            "tags": "{front.tags}",
            "missing": "{front.nothing}",
            "label": "{stem} by {front.owner}",
            "team": "docs",
        }
    )
    mirror.run()
    [document] = mirror.living()
    assert document.attributes == {
        "path": "guides/Deep/intro.MD",
        "where": "guides/Deep",
        "kind": "md",
        "when": 1_700_000_000,
        "owner": "Ada",
        "level": 3,
        "open": True,
        "tags": "a, b",
        "label": "intro by Ada",
        "team": "docs",
    }
    assert document.filename == "intro.MD"
    calls = len(mirror.embedder.calls)
    mirror.change(attributes={"path": "{path}", "team": "sales"})
    report = mirror.run()
    assert report.counts.changed == 1
    [document] = mirror.living()
    assert document.attributes == {"path": "guides/Deep/intro.MD", "team": "sales"}
    assert len(mirror.embedder.calls) == calls, "new attributes need no new vectors"
    mirror.change(chunking=StaticChunking(200, 0))
    assert mirror.run().counts.changed == 1
    assert mirror.found() == mirror.expected()


def test_patterns_choose_and_a_pattern_that_no_longer_chooses_removes(mirror: Mirror) -> None:
    for path in ("a.md", "b.txt", "drafts/c.md", "deep/drafts/d.md", "deep/e.md"):
        mirror.write(path, f"Words of {path}.")
    mirror.change(include=("*.md",), exclude=("drafts/",))
    assert mirror.run().counts.added == 2
    assert set(mirror.found()) == {"a.md", "deep/e.md"}
    mirror.change(include=("deep/**",), exclude=())
    report = mirror.run(force=True)
    assert (report.counts.added, report.counts.removed, report.counts.unchanged) == (1, 1, 1)
    assert set(mirror.found()) == {"deep/e.md", "deep/drafts/d.md"}


def test_a_dry_run_tells_everything_and_does_nothing(mirror: Mirror) -> None:
    mirror.fill(6)
    mirror.run()
    before, files = mirror.found(), mirror.files()
    mirror.write("part0/page0.md", "Something else.")
    mirror.write("part1/page1.md", "# Page 1\n\nWhat page 1 says of rivers.", modified=5)
    mirror.write("new.md", "New.")
    (mirror.root / "part2/page2.md").unlink()
    rung = len(mirror.rung)
    dry = mirror.run(dry_run=True)
    assert dry.dry_run
    assert dry.status is RunStatus.COMPLETED
    counts = dry.counts
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (1, 1, 1, 4)
    assert mirror.keys(dry.id, Outcome.REMOVED) == ["part2/page2.md"]
    assert (mirror.found(), mirror.files(), len(mirror.rung)) == (before, files, rung)
    real = mirror.run()
    assert (real.counts.added, real.counts.changed, real.counts.removed) == (1, 1, 1)


def test_too_much_vanishing_stops_the_run_until_it_is_forced(mirror: Mirror) -> None:
    mirror.fill(10)
    mirror.run()
    before = mirror.found()
    for number in range(4):
        (mirror.root / f"part{number % 3}/page{number}.md").unlink()
    mirror.write("new.md", "Not taken in either.")
    stopped = mirror.run()
    assert stopped.status is RunStatus.STOPPED
    assert stopped.message
    assert "4 of 10" in stopped.message
    assert mirror.found() == before
    forced = mirror.run(force=True)
    assert (forced.status, forced.counts.removed, forced.counts.added) == (RunStatus.COMPLETED, 4, 1)
    assert mirror.found() == mirror.expected()


def test_an_empty_folder_removes_nothing_but_one_of_several_files_may_go(mirror: Mirror) -> None:
    mirror.write("a.md", "One.")
    mirror.write("b.md", "Two.")
    mirror.run()
    (mirror.root / "a.md").unlink()
    assert mirror.run().counts.removed == 1
    (mirror.root / "b.md").unlink()
    assert mirror.run().status is RunStatus.STOPPED, "an unmounted disk looks just like this"
    assert set(mirror.found()) == {"b.md"}


def test_a_source_that_disappears_fails_the_run_and_changes_nothing(mirror: Mirror) -> None:
    mirror.fill(3)
    mirror.run()
    before = mirror.found()
    hidden = mirror.root.rename(mirror.root.with_name("elsewhere"))
    failed = mirror.run(force=True)
    assert failed.status is RunStatus.FAILED
    assert failed.message
    assert str(mirror.root) in failed.message
    assert mirror.found() == before
    hidden.rename(mirror.root)
    assert mirror.run().counts.unchanged == 3


def test_a_source_that_settings_no_longer_allow_is_not_read(mirror: Mirror) -> None:
    mirror.fill(2)
    mirror.parts = replace(mirror.parts, permits=replace(mirror.parts.permits, roots=()))
    failed = mirror.run()
    assert failed.status is RunStatus.FAILED
    assert "sources.roots" in (failed.message or "")
    assert mirror.found() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_seen_is_not_gone(mirror: Mirror) -> None:
    mirror.fill(6)
    mirror.run()
    before = mirror.found()
    (mirror.root / "part1").chmod(0)
    try:
        report = mirror.run()
    finally:
        (mirror.root / "part1").chmod(0o755)
    assert (report.status, report.counts.removed, report.counts.failed) == (RunStatus.COMPLETED, 0, 1)
    assert mirror.found() == before


def test_links_are_not_followed(mirror: Mirror, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("A secret.")
    mirror.write("a.md", "Words.")
    (mirror.root / "link.md").symlink_to(secret)
    (mirror.root / "folder").symlink_to(tmp_path)
    os.mkfifo(mirror.root / "pipe.md")
    assert mirror.run().counts.listed == 1
    assert set(mirror.found()) == {"a.md"}


def test_a_file_exchanged_for_a_link_after_listing_is_not_read(mirror: Mirror, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("A secret.")
    mirror.write("deep/a.md", "Words...")
    lister = directory.DirectoryLister(mirror.root, Selection([], []))
    [item] = [one for one in lister.items() if isinstance(one, Listed)]
    (mirror.root / "deep/a.md").unlink()
    (mirror.root / "deep").rmdir()
    (mirror.root / "deep").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.md").write_text("A secret")
    with pytest.raises(ItemUnreadable):
        list(lister.read(item))


def test_a_file_that_changes_while_it_is_read_is_read_again(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.write("a.md", "x" * (3 << 10))
    monkeypatch.setattr(directory, "PIECE_BYTES", 1 << 10)
    real, times = directory.DirectoryLister.read, list[int]()

    def disturbed(self: directory.DirectoryLister, item: Listed) -> Iterator[bytes]:
        for piece in real(self, item):
            if not times:
                times.append(1)
                mirror.write("a.md", "Quite another text, written while somebody read.")
            yield piece

    monkeypatch.setattr(directory.DirectoryLister, "read", disturbed)
    report = mirror.run()
    assert (report.counts.added, report.counts.failed) == (1, 0)
    assert mirror.found() == mirror.expected()


def test_a_file_that_never_holds_still_is_left_to_the_next_run(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.write("a.md", "Words.")
    mirror.write("b.md", "Calm words.")
    real, count = directory.DirectoryLister.read, iter(range(100))

    def disturbed(self: directory.DirectoryLister, item: Listed) -> Iterator[bytes]:
        for piece in real(self, item):
            if item.key == "a.md":
                mirror.write("a.md", "More words. " * (1 + next(count)))
            yield piece

    with monkeypatch.context() as patched:
        patched.setattr(directory.DirectoryLister, "read", disturbed)
        report = mirror.run()
    assert (report.counts.added, report.counts.failed) == (1, 1)
    [failure] = [change for change in mirror.changes(report.id) if change.outcome is Outcome.FAILED]
    assert "next run" in (failure.reason or "")
    assert set(mirror.found()) == {"b.md"}
    mirror.write("a.md", "Calm now.")
    assert mirror.run().counts.added == 1
    assert mirror.found() == mirror.expected()


def test_a_document_that_a_caller_took_out_comes_back(mirror: Mirror) -> None:
    mirror.fill(2)
    mirror.run()
    [one, other] = mirror.living()
    with mirror.catalog.transaction() as tx:
        tx.files.delete(mirror.project, one.file_id, mirror.catalog.now())
    with mirror.catalog.transaction() as tx:
        tx.store_files.delete(mirror.project, mirror.store, other.file_id, mirror.catalog.now())
    report = mirror.run()
    assert report.counts.added == 2
    assert mirror.found() == mirror.expected()
    assert mirror.files() == 2


def test_a_file_that_another_store_holds_is_kept_when_the_source_drops_it(mirror: Mirror) -> None:
    mirror.fill(4)
    mirror.run()
    one = next(document for document in mirror.living() if document.attributes["path"] == "part0/page0.md")
    mine, mirror.store = mirror.store, mirror.add_store()
    mirror.attach(one.file_id)
    mirror.store = mine
    (mirror.root / "part0/page0.md").unlink()
    assert mirror.run().counts.removed == 1
    with mirror.catalog.reading() as tx:
        assert tx.files.get(mirror.project, one.file_id).id == one.file_id
    assert mirror.found() == mirror.expected()


def test_two_schedulers_begin_a_due_run_once_and_two_workers_carry_it_out_once(mirror: Mirror) -> None:
    mirror.fill(5)
    now = mirror.catalog.now()
    with mirror.catalog.transaction() as tx:
        wish = folder_wish(mirror.root, cron="0 3 * * *", time_zone="Europe/Berlin")
        tx.sources.change(mirror.project, mirror.store, mirror.source_id, wish, now - 5)
    begun: list[int] = []
    barrier = threading.Barrier(4)

    def schedule() -> None:
        barrier.wait()
        begun.append(begin_due(mirror.parts))

    def work() -> None:
        barrier.wait()
        refresh.refresh(mirror.source_id, mirror.parts)

    for job in (schedule, work):
        threads = [threading.Thread(target=job) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    source = mirror.source()
    assert sum(begun) == 1
    assert source.next_run_at is not None
    assert source.next_run_at > now
    mirror.finish()
    with mirror.catalog.reading() as tx:
        [run] = tx.source_runs.page(mirror.project, mirror.store, mirror.source_id, mirror.query()).items
    assert (run.asked_by, run.counts.added) == (AskedBy.SCHEDULE, 5)
    assert mirror.found() == mirror.expected()
    assert mirror.untruths() == []


def test_a_run_that_is_due_while_one_is_under_way_is_left_out(mirror: Mirror) -> None:
    asked = mirror.ask()
    with mirror.catalog.transaction() as tx:
        wish = folder_wish(mirror.root, cron="* * * * *")
        tx.sources.change(mirror.project, mirror.store, mirror.source_id, wish, mirror.catalog.now() - 5)
    assert begin_due(mirror.parts) == 0
    assert mirror.source().run_id == asked.id
    assert mirror.ask().id == asked.id, "asking again for the same answers the run under way"
    with pytest.raises(NotAllowedNow, match=asked.id):
        mirror.ask(force=True)


def test_a_worker_that_lost_its_lease_changes_nothing_more(mirror: Mirror) -> None:
    mirror.fill(3)
    mirror.ask()
    with mirror.catalog.transaction() as tx:
        claim = tx.source_runs.claim(mirror.source_id, new_lease_token(), mirror.catalog.now(), 0)
    assert claim is not None
    with mirror.catalog.transaction() as tx:
        other = tx.source_runs.claim(mirror.source_id, new_lease_token(), mirror.catalog.now(), 60)
    assert other is not None
    assert other.run.id == claim.run.id
    with pytest.raises(LeaseLost), mirror.catalog.transaction() as tx:
        tx.source_steps.drop(claim, ["part0/page0.md"], mirror.catalog.now())
    with pytest.raises(LeaseLost), mirror.catalog.transaction() as tx:
        tx.source_steps.end(claim, RunStatus.FAILED, "late", mirror.catalog.now())
    assert refresh.refresh(mirror.source_id, mirror.parts) is None, "somebody else is at it"


def test_a_long_run_gives_way_and_goes_on(mirror: Mirror) -> None:
    mirror.fill(6)
    asked = mirror.ask()
    mirror.parts = replace(mirror.parts, shift_seconds=0, step_items=2)
    assert refresh.refresh(mirror.source_id, mirror.parts) is RunStatus.RUNNING
    mirror.parts = replace(mirror.parts, shift_seconds=60)
    mirror.finish()
    report = mirror.report(asked.id)
    assert (report.counts.listed, report.counts.added, report.counts.unchanged) == (6, 6, 0)


def test_reports_are_kept_as_many_as_settings_say(mirror: Mirror) -> None:
    mirror.parts = replace(mirror.parts, permits=replace(mirror.parts.permits, runs_kept=2))
    runs = [mirror.run().id for _ in range(4)]
    with mirror.catalog.reading() as tx:
        page = tx.source_runs.page(mirror.project, mirror.store, mirror.source_id, mirror.query())
    assert [run.id for run in page.items] == [runs[3], runs[2]]


def test_a_deleted_source_ends_its_run_and_leaves_its_documents(mirror: Mirror) -> None:
    mirror.fill(2)
    mirror.run()
    mirror.ask()
    with mirror.catalog.transaction() as tx:
        tx.sources.delete(mirror.project, mirror.store, mirror.source_id, mirror.catalog.now())
    assert refresh.refresh(mirror.source_id, mirror.parts) is None
    assert mirror.found() == mirror.expected()
    with pytest.raises(NotFound):
        mirror.source()


def test_the_sources_of_a_deleted_store_go_with_it(mirror: Mirror) -> None:
    mirror.fill(2)
    mirror.run()
    now = mirror.catalog.now()
    with mirror.catalog.transaction() as tx:
        tx.stores.delete(mirror.project, mirror.store, now)
    with pytest.raises(NotFound):
        mirror.source()
    with mirror.catalog.transaction() as tx:
        for segment in tx.sweeps.removed_segments(now, 100):
            tx.sweeps.forget_segment(segment.id)
    for _ in range(10):
        with mirror.catalog.transaction() as tx:
            if not tx.sweeps.purge_store(mirror.store, 100, now):
                break
    with mirror.catalog.reading() as tx:
        assert mirror.store not in tx.stores.purgeable(1000)
