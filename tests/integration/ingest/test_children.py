"""Children that read documents: what each way of dying costs, and what it never costs."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ingest.children import Attempt, ChildPool, Reading
from ingest.chunking.chunk import ChunkLimits
from ingest.errors import (
    ChildDied,
    ChildrenBusy,
    DamagedDocument,
    DocumentTooLarge,
    EncryptedDocument,
    HostileDocument,
    ParserFault,
    SourceUnreadable,
)
from ingest.parsing.limits import MEBIBYTE, Limits
from ingest.prepared import Prepared
from tests.support.odd_child import echo

ROOT = Path(__file__).parents[3]
ODD = (sys.executable, "-P", str(ROOT / "tests" / "support" / "odd_child.py"))
SMALL = Limits(memory_bytes=400 * MEBIBYTE, cpu_seconds=1, wall_seconds=60)
AUTO = ChunkLimits()


@contextmanager
def odd_pool(size: int = 1, limits: Limits = SMALL, **options: object) -> Iterator[ChildPool]:
    with ChildPool(size, limits, program=ODD, **options) as pool:  # type: ignore[arg-type] # whatever a test passes on
        yield pool


def read(pool: ChildPool, text: str) -> Attempt:
    return pool.attempt(Reading(text.encode(), "order.txt"))


def pid_of_child(pool: ChildPool) -> int:
    return int(pool.prepare(b"!pid", "order.txt", AUTO).text)


def wait_for(condition: object, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def children_of(pid: int) -> set[int]:
    """The odd children of a process: the tests' own may have servers and pools of other tests below it."""
    with subprocess.Popen(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], stdout=subprocess.PIPE, text=True) as lister:
        assert lister.stdout
        rows = [line.split(None, 2) for line in lister.stdout]
    return {int(child) for child, parent, words in rows if int(parent) == pid and ODD[-1] in words}


def test_what_a_child_prepared_arrives_unchanged() -> None:
    text = "Grüße aus 東京 𝔘𝔫𝔦𝔠𝔬𝔡𝔢\n\tand a\x00NUL é"
    with odd_pool() as pool:
        arrived = pool.prepare(text.encode(), "a.txt", AUTO)
    assert arrived == echo(text, AUTO)


def test_a_file_and_its_bytes_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"one two three")
    with odd_pool() as pool:
        assert pool.prepare(path, "a.txt", AUTO) == pool.prepare(b"one two three", "a.txt", AUTO)
        assert pool.prepare(b"", "a.txt", AUTO) == echo("", AUTO)


def test_an_answer_of_many_megabytes_arrives_whole() -> None:
    text = "語" * 10_000_000 + " end"
    with odd_pool(limits=Limits()) as pool:
        assert pool.prepare(text.encode(), "a.txt", AUTO).text == text


def test_a_refusal_arrives_as_the_error_it_was() -> None:
    with odd_pool() as pool:
        first = pid_of_child(pool)
        with pytest.raises(EncryptedDocument, match=r"^It wants a password\.$"):
            pool.prepare(b"!refuse It wants a password.", "a.txt", AUTO)
        assert pid_of_child(pool) == first


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE"])
def test_a_document_that_crashes_two_children_in_a_row_is_damaged(name: str) -> None:
    with odd_pool() as pool:
        assert isinstance(read(pool, f"!crash {name}").error, DamagedDocument)
        assert read(pool, "still here").prepared == echo("still here", AUTO)


def test_a_true_segmentation_fault_is_the_documents_fault() -> None:
    with odd_pool() as pool:
        assert isinstance(read(pool, "!segv").error, DamagedDocument)


def test_a_crash_that_only_a_worn_child_suffers_is_not_blamed_on_the_document() -> None:
    with odd_pool() as pool:
        read(pool, "an earlier document")
        assert read(pool, "!crash-if-worn").prepared == echo("!crash-if-worn", AUTO)


def test_memory_that_ran_out_in_a_worn_child_is_tried_again_in_a_new_one() -> None:
    with odd_pool() as pool:
        read(pool, "an earlier document")
        assert read(pool, "!hog-if-worn").prepared == echo("!hog-if-worn", AUTO)


def test_a_document_that_wants_more_memory_than_its_child_may_have_is_too_large() -> None:
    with odd_pool() as pool:
        before = pid_of_child(pool)
        attempt = read(pool, "!hog 5000")
        assert isinstance(attempt.error, DocumentTooLarge)
        assert "400 MiB" in str(attempt.error)
        if sys.platform == "linux":
            assert attempt.cost.peak_bytes is not None
            assert attempt.cost.peak_bytes <= SMALL.memory_bytes
        assert pid_of_child(pool) != before, "a heap that was full once is not used again"


def test_a_document_that_computes_too_long_is_too_large_and_its_neighbours_have_their_own_seconds() -> None:
    with odd_pool() as pool:
        assert isinstance(read(pool, "!spin").error, DocumentTooLarge)
        for _ in range(3):
            assert read(pool, "next").prepared is not None


def test_the_cpu_seconds_of_many_documents_do_not_add_up() -> None:
    text = "word " * 400_000
    with odd_pool(limits=Limits(memory_bytes=1024 * MEBIBYTE, cpu_seconds=2), recycle_above_bytes=1 << 40) as pool:
        pids = set()
        spent = 0.0
        while spent < 4:
            attempt = read(pool, text.replace(" ", "-"))
            assert attempt.prepared is not None
            spent += max(attempt.cost.cpu_seconds or 0.25, 0.05)
            pids.add(pid_of_child(pool))
    assert len(pids) == 1


def test_a_child_that_sleeps_past_its_time_is_killed_and_the_machine_is_to_blame() -> None:
    with odd_pool(limits=Limits(memory_bytes=400 * MEBIBYTE, wall_seconds=1)) as pool:
        error = read(pool, "!sleep 600").error
        assert isinstance(error, ChildDied)
        assert "overloaded" in str(error)
        assert read(pool, "next").prepared is not None


def test_a_child_killed_from_outside_costs_one_document_and_blames_the_machine() -> None:
    with odd_pool() as pool:
        pid = pid_of_child(pool)
        threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
        assert isinstance(read(pool, "!sleep 600").error, ChildDied)
        assert read(pool, "next").prepared is not None


def test_a_child_killed_while_nobody_used_it_costs_nothing() -> None:
    with odd_pool() as pool:
        pid = pid_of_child(pool)
        os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not running(pid))
        assert read(pool, "next").prepared is not None


@pytest.mark.parametrize("order", ["!exit 0", "!exit 3", "!lie now", "!babble", "!hang-up"])
def test_a_child_in_the_documents_hands_is_not_believed(order: str) -> None:
    with odd_pool() as pool:
        assert isinstance(read(pool, order).error, DamagedDocument)
        assert read(pool, "next").prepared == echo("next", AUTO)


def test_nesting_beyond_the_stack_is_hostile_not_a_fault() -> None:
    with odd_pool() as pool:
        assert isinstance(read(pool, "!deep").error, HostileDocument)


def test_our_own_bug_is_named_by_class_and_place_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with odd_pool() as pool:
        error = read(pool, "!fault").error
        assert isinstance(error, ParserFault)
        assert "KeyError at children/serving.py:" in str(error)
        assert "secret" not in str(error)
        assert [record.message for record in caplog.records] == ["parser_fault"]
        assert read(pool, "next").prepared is not None


def test_a_child_can_neither_write_nor_open_much_nor_see_the_workers_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARREL_API_KEY", "sk-very-secret")
    target = tmp_path / "written"
    with odd_pool() as pool:
        assert isinstance(read(pool, f"!write {target}").error, ParserFault)
        assert not target.exists() or target.stat().st_size == 0
        assert isinstance(read(pool, "!open 100").error, ParserFault)
        names = pool.prepare(b"!environment", "a.txt", AUTO).text.split()
    assert "CARREL_API_KEY" not in names
    assert set(names) <= {
        *("HOME", "LD_LIBRARY_PATH", "PATH", "TZ", "PYTHONPATH", "PYTHONUTF8", "MALLOC_ARENA_MAX", "LC_CTYPE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    }


def test_what_cannot_be_opened_is_not_the_documents_fault(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    with odd_pool() as pool:
        for path in (tmp_path / "missing", tmp_path, fifo):
            assert isinstance(pool.attempt(Reading(path, "a.txt")).error, SourceUnreadable)


def test_whatever_ends_a_child_amid_many_documents_costs_none_of_the_others(tmp_path: Path) -> None:
    orders = [f"words {number}" for number in range(40)]
    orders[3], orders[9], orders[10], orders[21] = "!crash SIGSEGV", "!fault", "!crash-if-worn", "!hog 5000"
    readings = [Reading(order.encode(), "語" * 1024) for order in orders]
    readings[30] = Reading(tmp_path / "not there", "a.txt")
    with odd_pool(2) as pool:
        attempts = list(pool.prepare_many(iter(readings)))
    failed = {number: type(attempt.error) for number, attempt in enumerate(attempts) if attempt.error is not None}
    assert failed == {3: DamagedDocument, 9: ParserFault, 21: DocumentTooLarge, 30: SourceUnreadable}
    assert all(
        attempt.prepared == echo(order, AUTO)
        for number, (order, attempt) in enumerate(zip(orders, attempts, strict=True))
        if number not in failed
    )


def test_a_file_above_the_limit_is_refused_before_any_child_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2000)
    with odd_pool(limits=Limits(source_bytes=1999)) as pool:
        with pytest.raises(DocumentTooLarge, match="2,000 bytes"):
            pool.prepare(path, "a.txt", AUTO)
        assert children_of(os.getpid()) == set()


def test_a_child_is_replaced_after_so_many_documents_and_above_so_many_bytes() -> None:
    with odd_pool(recycle_after_documents=3) as pool:
        pids = [pid_of_child(pool) for _ in range(6)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3]
    if sys.platform == "linux":
        with odd_pool(recycle_above_bytes=1) as pool:
            assert pid_of_child(pool) != pid_of_child(pool)


def test_many_are_answered_in_order_and_each_failure_stays_alone() -> None:
    orders = ["!refuse no", "!segv", "!fault", "!deep", "plain"]
    readings = [Reading(f"{orders[n % 5]} {n}".encode(), f"{n}.txt") for n in range(20)]
    with odd_pool(2) as pool:
        attempts = list(pool.prepare_many(iter(readings)))
    wanted = [EncryptedDocument, DamagedDocument, ParserFault, HostileDocument, type(None)]
    assert [type(attempt.error) for attempt in attempts] == wanted * 4
    assert [attempt.prepared.text for attempt in attempts if attempt.prepared] == [
        f"plain {n}" for n in range(4, 20, 5)
    ]


def test_the_rest_is_not_read_when_nobody_wants_it() -> None:
    with odd_pool(1) as pool:
        attempts = pool.prepare_many(Reading(b"word", "a.txt") for _ in range(10**9))
        assert next(attempts).prepared is not None
        attempts.close()  # type: ignore[attr-defined] # a generator


def test_random_kills_lose_mix_up_and_repeat_nothing() -> None:
    """A kill follows progress, not the clock: on a slow machine children would otherwise die before they begin."""
    chance = random.Random(7)
    texts = {f"{n}.txt": f"!sleep 0.01 document {n} " + "word " * (n % 50) for n in range(200)}
    done: dict[str, Prepared] = {}
    deaths = 0
    with odd_pool(2) as pool:
        while waiting := [name for name in texts if name not in done]:
            readings = [Reading(texts[name].encode(), name) for name in waiting]
            for name, attempt in zip(waiting, pool.prepare_many(readings), strict=True):
                if attempt.prepared is None:
                    assert isinstance(attempt.error, ChildDied), attempt.error
                    deaths += 1
                    continue
                assert name not in done
                done[name] = attempt.prepared
                if chance.random() < 0.1 and (alive := sorted(children_of(os.getpid()))):
                    with suppress(ProcessLookupError):  # an earlier kill's, whose body has just been taken away
                        os.kill(chance.choice(alive), signal.SIGKILL)
    assert {name: prepared.text for name, prepared in done.items()} == texts
    assert deaths > 0


def test_threads_share_the_children_and_each_gets_its_own_answer() -> None:
    answers: dict[int, str] = {}
    with odd_pool(2) as pool:

        def ask(number: int) -> None:
            answers[number] = pool.prepare(f"number {number}".encode(), "a.txt", AUTO).text

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(children_of(os.getpid())) <= 2
    assert answers == {number: f"number {number}" for number in range(24)}


def test_waiting_for_a_free_child_has_an_end() -> None:
    with odd_pool(patience_seconds=0.2) as pool:
        pid_of_child(pool)
        holder = threading.Thread(target=read, args=(pool, "!sleep 3"))
        holder.start()
        assert wait_for(lambda: not pool._seats)
        assert isinstance(read(pool, "impatient").error, ChildrenBusy)
        pool.close()
        holder.join()


def test_closing_ends_what_runs_and_leaves_no_process_behind() -> None:
    results: list[Attempt] = []
    with odd_pool(2) as pool:
        pids = {pid_of_child(pool)}
        asker = threading.Thread(target=lambda: results.append(read(pool, "!sleep 600")))
        asker.start()
        assert wait_for(lambda: len(pool._seats) == 1)
        pids |= children_of(os.getpid())
        pool.close()
        asker.join(timeout=20)
        assert isinstance(read(pool, "too late").error, ChildDied)
    assert isinstance(results[0].error, ChildDied)
    assert not any(running(pid) for pid in pids)
    assert children_of(os.getpid()) == set(), "not even a zombie"


def test_the_group_of_a_dead_child_dies_with_it() -> None:
    with odd_pool() as pool:
        # Where a user other than root runs this, the child may not even start a process, and trips over that.
        assert isinstance(read(pool, f"!fork {os.getpid()}").error, DamagedDocument | ParserFault)
    left = subprocess.run(["pgrep", "-f", f"grandchild of {os.getpid()}"], capture_output=True, check=False)
    assert left.stdout == b""


def test_no_descriptor_is_left_open_by_children_that_come_and_go() -> None:
    grown = []
    with odd_pool() as pool:
        read(pool, "warm")
        for _ in range(2):
            gc.collect()
            before = open_descriptors()
            for order in ("!segv", "!fault", "!hog 5000", "plain", "!babble", "!refuse no"):
                read(pool, order)
            read(pool, "again")
            gc.collect()
            grown.append(open_descriptors() - before)
    # Once, it may be what other tests keep running in this process; a child's would be left at every round.
    assert min(grown) <= 0


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    with odd_pool() as pool:
        pids: list[int] = []
        asker = threading.Thread(target=lambda: pids.append(pid_of_child(pool)))
        asker.start()
        asker.join()
        assert pid_of_child(pool) == pids[0]


def test_a_pool_is_refused_in_a_forked_process_and_the_fork_harms_nothing() -> None:
    with odd_pool() as pool:
        pid = pid_of_child(pool)
        forked = subprocess.run(
            [sys.executable, "-c", FORKING, *ODD], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert forked.stdout.split() == ["refused", "unharmed"], forked.stderr
        assert pid_of_child(pool) == pid


FORKING = """
import os, sys
from ingest.children import ChildPool, Reading
from ingest.parsing.limits import Limits
pool = ChildPool(1, Limits(), program=sys.argv[1:])
assert pool.attempt(Reading(b"word", "a")).prepared
if os.fork() == 0:
    try:
        pool.attempt(Reading(b"word", "a"))
    except RuntimeError:
        print("refused", flush=True)
    pool.close()
    os._exit(0)
os.wait()
if pool.attempt(Reading(b"word", "a")).prepared:
    print("unharmed", flush=True)
pool.close()
"""

ORPHANING = """
import sys, threading
from ingest.children import ChildPool, Reading
from ingest.parsing.limits import Limits
pool = ChildPool(2, Limits(), program=sys.argv[1:])
pids = [a.prepared.text for a in pool.prepare_many([Reading(b"!pid", "a")] * 4)]
threading.Thread(target=pool.attempt, args=(Reading(b"!spin", "a"),), daemon=True).start()
print(*pids, flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan ends with its document")
def test_children_die_with_a_parent_that_was_killed_also_while_they_compute() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANING, *ODD], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout
        pids = {int(pid) for pid in parent.stdout.readline().split()}
        assert wait_for(lambda: len(children_of(parent.pid)) >= 1)
        pids |= children_of(parent.pid)
        parent.kill()
    assert wait_for(lambda: not any(running(pid) for pid in pids)), pids


def test_a_program_that_does_not_start_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with ChildPool(1, SMALL, program=(str(tmp_path / "missing"),)) as pool:
        assert isinstance(read(pool, "word").error, ChildDied)
    with ChildPool(1, SMALL, program=(sys.executable, "-c", "raise SystemExit(3)")) as pool:
        error = read(pool, "word").error
    assert isinstance(error, ChildDied)
    assert "exited 3" in str(error)
