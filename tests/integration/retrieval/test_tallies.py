"""Tallies of several processes, which may be killed at any moment: whoever is asked answers for all of them."""

import signal
import subprocess
import sys
from pathlib import Path

from retrieval.tallies import Tallies

BUCKETS = {"seconds": (0.1, 1.0)}

CHILD = """
import sys, time
from pathlib import Path
from retrieval.tallies import Tallies
tallies = Tallies({"seconds": (0.1, 1.0)}, Path(sys.argv[1]))
for _ in range(5):
    tallies.add("asked", ("a",))
    tallies.observe("seconds", (), 0.5)
tallies._write()
print("written", flush=True)
time.sleep(60)
"""


def child(folder: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.stdout.close()
    return process


def test_without_a_folder_a_process_counts_for_itself() -> None:
    tallies = Tallies(BUCKETS)
    tallies.add("asked")
    tallies.add("asked", (), 2)
    for value in (0.1, 0.10001, 5.0):
        tallies.observe("seconds", ("x",), value)
    assert tallies.all() == {("asked", ()): [3.0], ("seconds", ("x",)): [1.0, 1.0, 1.0, 0.1 + 0.10001 + 5.0]}
    tallies.close()


def test_the_living_and_the_killed_are_counted_once_by_whoever_is_asked(tmp_path: Path) -> None:
    living, killed = child(tmp_path), child(tmp_path)
    one, two = Tallies(BUCKETS, tmp_path), Tallies(BUCKETS, tmp_path)
    try:
        one.add("asked", ("a",))
        one._write()
        for _ in range(2):
            assert two.all()["asked", ("a",)] == [11.0]
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for reader in (two, one, two):
            assert reader.all()["asked", ("a",)] == [11.0]
            assert reader.all()["seconds", ()] == [0.0, 10.0, 0.0, 5.0]
        assert len(list(tmp_path.glob("*.alive"))) == 3, "the dead one's files are gone"
    finally:
        for process in (living, killed):
            process.kill()
            process.wait()
        one.close()
        two.close()
    after = Tallies(BUCKETS, tmp_path)
    assert after.all()["asked", ("a",)] == [11.0], "a restart forgets nothing"
    assert {path.name for path in tmp_path.glob("*.json")} == {"past.json"}
    after.close()


def test_a_fold_that_ended_before_it_tidied_up_counts_nobody_twice(tmp_path: Path) -> None:
    gone = child(tmp_path)
    gone.kill()
    gone.wait()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reader = Tallies(BUCKETS, tmp_path)
    assert reader.all()["asked", ("a",)] == [5.0]
    for name, content in files.items():  # as if the reader had been killed between writing and removing
        if name not in {"past.json", "lock"}:
            (tmp_path / name).write_bytes(content)
    assert reader.all()["asked", ("a",)] == [5.0]
    reader.close()
    again = Tallies(BUCKETS, tmp_path)
    assert again.all()["asked", ("a",)] == [5.0]
    again.close()
