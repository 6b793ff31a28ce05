"""Parts of the service as real processes, forked from one that has everything imported: a start takes a moment.

A part may be told to die at a named point (`sabotage`). Each is a process group of its own; all end with the nursery.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support import clocks
from tests.support.whole import START_SECONDS, Whole, pause

ROOT = Path(__file__).parents[2]


class Nursery:
    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CARREL_")}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._lock = threading.Lock()  # guards the pipe: an answer belongs to the order before it

    def bear(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        cut: tuple[str, int] | None = None,
        clock: Path | None = None,
    ) -> int:
        """Start `carrel WORDS`; the process's id. `clock`: the file that says by how much its clock is wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"words": list(words), "variables": dict(variables), "log": str(log), "cut": cut}
        order["clock"] = None if clock is None else str(clock)
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def alive(process: int) -> bool:
    with suppress(ChildProcessError):  # one of the nursery's
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def kill(process: int) -> bool:
    """Whether there was anything to kill."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    while alive(process):
        time.sleep(0.005)
    return True


@dataclass
class Parts(Whole):
    """An installation whose parts a test starts, kills and starts again one by one, without a supervisor's pauses."""

    nursery: Nursery = field(default_factory=Nursery)
    born: dict[str, int] = field(default_factory=dict)
    log: Path = Path(os.devnull)

    def variables(self) -> dict[str, str]:
        mine = {name: value for name, value in super().variables().items() if name.startswith("CARREL_")}
        return mine | dict(self.environment)

    def begin(self, name: str, *words: str, cut: tuple[str, int] | None = None, clock: Path | None = None) -> int:
        """A part by a name of the test's own; what had the name before must have ended."""
        assert not self.living(name), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.born[name] = self.nursery.bear(words, self.variables(), self.log, cut, clock)
        return self.born[name]

    def begin_worker(self, name: str, cut: tuple[str, int] | None = None, clock: Path | None = None) -> int:
        words = ("worker", "--queues=interactive,bulk,upkeep", "--concurrency=1")
        return self.begin(name, *words, cut=cut, clock=clock)

    def start(self, workers: int = 2, clock: Path | None = None) -> float:
        begun = time.monotonic()
        for number in range(workers):
            self.begin_worker(f"worker {number}", clock=clock)
        self.begin("beat", "beat", clock=clock)
        self.begin("api", "api", clock=clock)
        self.until_ready("readyz" if workers else "healthz")  # it calls itself ready only beside a worker
        return time.monotonic() - begun

    def until_ready(self, route: str = "readyz") -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/{route}", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            pause(0.02)
        raise AssertionError(self.log.read_text()[-4000:])

    def living(self, name: str) -> bool:
        return name in self.born and alive(self.born[name])

    def kill(self, name: str) -> bool:
        return kill(self.born[name])

    def kill_all(self) -> None:
        for process in self.born.values():
            kill(process)

    def stop(self) -> int:
        """In order; who does not end is killed, and counted."""
        unwilling = 0
        for process in self.born.values():
            if alive(process):
                os.kill(process, signal.SIGTERM)
        until = time.monotonic() + 20
        for process in self.born.values():
            while alive(process) and time.monotonic() < until:
                pause(0.02)
            unwilling += kill(process)
        return unwilling


def _serve_orders() -> None:
    clock = clocks.install()
    # Only here: after the clock, and not for who merely asks for parts.
    import carrel.cli
    from tests.support import sabotage

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is gone at once
    born = []
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            born.append(child)
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.update(order["variables"])
        code = 1
        try:
            clock.file = order["clock"] and Path(order["clock"])
            if order["cut"]:
                sabotage.install(*order["cut"])
            carrel.cli.app(order["words"], prog_name="carrel", standalone_mode=False)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # whatever it is: it is in the log, and no child may go on as a nursery
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    for process in born:
        kill(process)


if __name__ == "__main__":
    _serve_orders()
