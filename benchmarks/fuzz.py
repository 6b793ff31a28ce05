"""Odd requests from the service's own description, 20,000 by default: none may be answered as our fault.

`python -m benchmarks fuzz [cases]`
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figure import Figure
from tests.support.fuzz import BadAnswer, fuzz
from tests.support.server import run_server

OPERATIONS = 35  # about as many as there are; an operation without parameters has few cases


def run(arguments: list[str]) -> Iterable[Figure]:
    wanted = int(arguments[0]) if arguments else 20_000
    asked, faults, said = 0, 0, ""
    each = max(1, wanted // OPERATIONS)
    with tempfile.TemporaryDirectory(prefix="carrel-fuzz-") as folder, run_server(Path(folder)) as server:
        while asked < wanted and not faults:
            try:
                report = fuzz(server, each)
            except BadAnswer as bad:
                faults, said = 1, str(bad)
                break
            asked += report.cases
            print(f"{asked:,} requests; answers {dict(sorted(report.statuses.items()))}")
    if said:
        print(said)
    yield Figure("requests from the description", asked, "requests")
    yield Figure("answered as our fault", faults, "", target="0", met=faults == 0)
