"""Faults against a running service: what is disturbed, how often, and what is lost by it: nothing, or a figure says so.

    python -m benchmarks faults [F1 F2 F3 F5 F6 F7 F10 F11 F12 F13 F18] [--full] [--documents N] [--times N] [--seed 1]
                              [--bucket]

Each fault has a service of its own. What a document says is its own, so a search for it finds it once or tells on us;
at the end the storage must hold what the catalog names, no more and no less. `--full` takes the sizes of the issue.
"""

import argparse
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from benchmarks._faults.interference import interfered
from benchmarks._faults.killed import all_killed, killed_at_points, workers_killed
from benchmarks._faults.room import disk_full
from benchmarks._faults.run import Size
from benchmarks._faults.servers import database_killed, redis_restarted
from benchmarks._faults.twice import clocks_wrong, twins
from benchmarks._faults.uploads import uploads_cut
from benchmarks._faults.upstream import sick_upstream
from benchmarks.figure import Figure


@dataclass(frozen=True, slots=True)
class Fault:
    act: Callable[[Size, random.Random], Iterator[Figure]]
    short: Size
    full: Size


FAULTS: Final = {
    "F1": Fault(workers_killed, Size(200, 20), Size(2000, 500)),
    "F2": Fault(all_killed, Size(200, 4), Size(2000, 100)),
    "F3": Fault(killed_at_points, Size(4, 1), Size(6, 10)),
    "F5": Fault(redis_restarted, Size(200, 7), Size(1000, 23)),
    "F6": Fault(database_killed, Size(200, 2), Size(1000, 20)),
    "F7": Fault(disk_full, Size(40, 2), Size(400, 10)),
    "F10": Fault(twins, Size(100, 1), Size(1000, 5)),
    "F11": Fault(clocks_wrong, Size(20, 1), Size(50, 5)),
    "F12": Fault(sick_upstream, Size(60, 1), Size(200, 10)),
    "F13": Fault(interfered, Size(0, 40), Size(0, 500)),
    "F18": Fault(uploads_cut, Size(0, 4), Size(0, 50)),
}

IN_A_BUCKET: Final = ("F1", "F13", "F18")


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults")
    parser.add_argument("faults", nargs="*", default=list(FAULTS), metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--full", action="store_true", help="the sizes of the issue")
    parser.add_argument("--documents", type=int)
    parser.add_argument("--times", type=int, help="kills, restarts, rounds or interleavings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bucket", action="store_true", help=f"objects in a bucket: {', '.join(IN_A_BUCKET)}")
    given = parser.parse_args(arguments)
    for name in given.faults:
        if name not in FAULTS:
            parser.error(f"there is no fault {name}; there are {', '.join(FAULTS)}")
        if given.bucket and name not in IN_A_BUCKET:
            parser.error(f"{name} does not run over a bucket; {', '.join(IN_A_BUCKET)} do")
        size = replace(FAULTS[name].full if given.full else FAULTS[name].short, bucket=given.bucket)
        if given.documents is not None:
            size = replace(size, documents=given.documents)
        if given.times is not None:
            size = replace(size, times=given.times)
        print(f"{name}: seed {given.seed}, {size.documents} documents, {size.times} times", flush=True)
        yield from FAULTS[name].act(size, random.Random(given.seed))
