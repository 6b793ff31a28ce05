"""One command for the whole service on one machine: starts API, workers and beat, restarts what dies, ends cleanly.

The data folder is locked while the service or any part of it runs, so a second start on it is refused. A child that
keeps dying is restarted ever more slowly. Ctrl-C or SIGTERM ends all of them: first a request, then, after a while,
a kill. Should the supervisor itself be killed, its children see their standard input end, and end too.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from carrel.exits import Exit
from carrel.greeting import greet
from carrel.journal import Journal
from carrel.listening import PortTaken, listen
from carrel.lookout import watch
from carrel.options import LOOPBACK, address
from configs.settings import Settings
from ingest.cores import usable_cores
from retrieval.api.first_key import ensure_key, first_project, pepper_of
from retrieval.catalog.transaction import Catalog
from retrieval.resources import catalog_url, embedder_configs

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
HEALTHY_SECONDS: Final = 10.0  # who ran so long starts from the shortest pause again
TICK_SECONDS: Final = 0.5  # between looks whether all live; an idle service must cost next to nothing
GRACE_SECONDS: Final = 15.0  # between asking a child to end and ending it
START_SECONDS: Final = 60.0
HERALD_SECONDS: Final = 5.0
LOCK_TRIES: Final = 8
LOCK_PAUSE_SECONDS: Final = 0.25

BULK_WORDS: Final = ("--queues=bulk,upkeep", "--concurrency=1")


def api_processes(settings: Settings) -> int:
    return settings.api.processes or usable_cores()


@dataclass(slots=True)
class Child:
    name: str
    words: tuple[str, ...]
    descriptors: tuple[int, ...] = ()  # that it inherits beside the lock
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    restart_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    settings: Settings
    environment: Mapping[str, str]
    children: list[Child]
    listening: socket.socket
    lock: int | None = None  # a descriptor that children inherit: while one of them lives, the folder is in use
    journal: Journal | None = None  # None: they write where we write
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until told to stop."""
        try:
            while not self.stopping.is_set():
                for child in self.children:
                    self._tend(child)
                self.stopping.wait(TICK_SECONDS)
        finally:
            self._end()

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at >= HEALTHY_SECONDS:
            child.pause_seconds = FIRST_PAUSE_SECONDS
        where = f"; {self.journal.path} says why" if self.journal else ""
        typer.echo(f"{child.name} ended with {code}; starting it again in {child.pause_seconds:g} s{where}", err=True)
        child.process, child.restart_at = None, now + child.pause_seconds
        child.pause_seconds = min(2 * child.pause_seconds, LONGEST_PAUSE_SECONDS)

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        into = self.journal.descriptor if self.journal else None
        # A session of its own: Ctrl-C reaches the supervisor alone, which then ends the others in order.
        child.process = subprocess.Popen(
            [sys.executable, "-m", "carrel", *child.words, "--tied"],
            env=dict(self.environment),
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=into,
            stderr=into,
            pass_fds=child.descriptors if self.lock is None else (self.lock, *child.descriptors),
        )

    def _end(self) -> None:
        self.listening.close()  # whoever comes now is refused at once, not left to wait for nobody
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def serve(settings: Settings, config: Path | None) -> int:
    """The whole life of the service; the exit code."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(settings.data_dir) as lock:
            return _serve(settings, config, lock)
    except BlockingIOError:
        typer.echo(f"The data folder {settings.data_dir} is in use by another Carrel. Stop that one first.", err=True)
        return Exit.TRY_LATER


def _serve(settings: Settings, config: Path | None, lock: int) -> int:
    problem = _problem(settings)
    if problem is not None:
        typer.echo(problem, err=True)
        return Exit.SETTINGS
    try:
        listening = listen(settings.host, settings.port)
    except PortTaken as error:
        typer.echo(str(error), err=True)
        return Exit.SETTINGS
    with Catalog.open(catalog_url(settings)) as catalog:
        folder, required = settings.data_dir, settings.access.require_keys
        pepper = pepper_of(settings.access.pepper, folder)
        minted = ensure_key(settings.api_key, folder, catalog, first_project(catalog), pepper, required=required)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(settings.data_dir)) if sys.stderr.isatty() else None
        children = [*_api_children(settings, config, listening), *_other_children(settings, config)]
        supervisor = Supervisor(settings, _environment(settings), children, listening, lock, journal)
        herald = threading.Thread(target=_announce, args=(supervisor, minted), name="herald", daemon=True)
        herald.start()
        _run(supervisor)
        herald.join(HERALD_SECONDS)
    typer.echo("Stopped.", err=True)
    return 0


def serve_api(settings: Settings, config: Path | None, listening: socket.socket) -> int:
    """Several API processes on one port, and nothing else."""
    _run(Supervisor(settings, _environment(settings), _api_children(settings, config, listening), listening))
    return 0


def _api_children(settings: Settings, config: Path | None, listening: socket.socket) -> list[Child]:
    words = ("api", *(("--config", str(config)) if config else ()), f"--listening={listening.fileno()}")
    count = api_processes(settings)
    names = ["api"] if count == 1 else [f"api {number}" for number in range(1, count + 1)]
    return [Child(name, words, (listening.fileno(),)) for name in names]


def _other_children(settings: Settings, config: Path | None) -> list[Child]:
    words = ("--config", str(config)) if config else ()
    bulk = max(1, (settings.workers.processes or usable_cores()) - 1)
    return [
        Child("worker for single files", ("worker", *words, "--queues=interactive", "--concurrency=1")),
        *(Child(f"worker {number} for bulk", ("worker", *words, *BULK_WORDS)) for number in range(1, bulk + 1)),
        Child("beat", ("beat", *words)),
    ]


def _run(supervisor: Supervisor) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    supervisor.run()


def open_to_anybody(settings: Settings) -> str | None:
    """Why a service that asks for no keys may not listen where it is told to."""
    if settings.access.require_keys or settings.host in LOOPBACK:
        return None
    return f"Without keys the service listens on loopback only, not on {settings.host}."


def _problem(settings: Settings) -> str | None:
    """What would make every child fail at once, found before any is started."""
    problem = open_to_anybody(settings)
    if problem is not None:
        return problem
    for given in embedder_configs(settings):
        if given.provider == "local" and not (given.folder / given.model).is_dir():
            return (
                f"The embedding model {given.model} is not in {given.folder}. "
                "Fetch it: make model, or carrel model fetch."
            )
    return None


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Waits a moment for what is left of a supervisor that was killed."""
    with (folder / "lock").open("w") as file:
        for remaining in range(LOCK_TRIES, -1, -1):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not remaining:
                    raise
                time.sleep(LOCK_PAUSE_SECONDS)
        yield file.fileno()


def _environment(settings: Settings) -> dict[str, str]:
    environment = dict(os.environ)
    # One thread a library call: concurrency comes from processes, and two threads per query only stall each other.
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if not settings.access.require_keys:
        environment["CARREL_ACCESS_REQUIRE_KEYS"] = "false"
    return environment


def _announce(supervisor: Supervisor, minted: str | None) -> None:
    """Say where the service is once it answers; to a person, then, how ingestion goes."""
    settings, stopping = supervisor.settings, supervisor.stopping
    url = address(settings)
    deadline = time.monotonic() + START_SECONDS
    while not stopping.is_set():
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    break
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            pass
        if time.monotonic() > deadline:
            typer.echo(f"{url} is not ready yet; still trying. `carrel doctor` looks at every part.", err=True)
            deadline = float("inf")
        stopping.wait(0.2)
    if stopping.is_set():
        return
    greet(settings, url, minted)
    if supervisor.journal is not None:
        typer.echo(f"Log: {supervisor.journal.path}\n")
        with Catalog.open(catalog_url(settings), connections=1) as catalog:
            watch(catalog, Console(stderr=True, highlight=False), stopping)
