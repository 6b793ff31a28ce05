"""One child, from its parent's side: started, asked, watched, ended. Used by one thread at a time.

A child sits in its own session, so that the whole group can be killed, and a Ctrl-C at a terminal reaches only the
parent. It is killed whenever its answer is late or makes no sense; every end is told as an `Ending`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event

import ingest
from ingest.children.channel import Channel, Frame
from ingest.children.endings import Ending, Way
from ingest.children.errors import ChildGone, Garbled
from ingest.children.messages import Answer, Kind, Request, pack_request, unpack_answer, unpack_vitals
from ingest.children.vitals import Vitals, forget_peak, read_vitals
from ingest.parsing.limits import Limits

TICK_SECONDS = 0.05
FORGOTTEN_ABOVE_BYTES = 256 << 20  # of a peak: below, it says as much of the child itself as of any document
START_SECONDS = 60
GOODBYE_SECONDS = 1
PROGRAM = (sys.executable, "-P", "-m", "ingest.children.child")
# All that a child inherits. Keys and the addresses of databases live in the worker's environment, not in its.
PASSED_ON = ("HOME", "LD_LIBRARY_PATH", "PATH", "TZ")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one document took; None where the system does not tell."""

    seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class Watch:
    """Looks at a child now and then while its parent waits, and calls time."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, stop: Event, cpu_before: float = 0.0) -> None:
        """`cpu_before`: what the child had spent by then. Most answers come before the first look at it."""
        self._process = process
        self._begun = time.monotonic()
        self._deadline = self._begun + seconds
        self._next_look = self._begun + TICK_SECONDS
        self._stop = stop
        self._ended = False
        self._cpu_before = cpu_before
        self._cpu_seconds: float | None = None
        self._peak_bytes: int | None = None

    def __call__(self, *, idle: bool) -> None:
        """The tick of a receiving channel. Raises ChildGone when waiting has no point."""
        if idle:
            if self._ended:  # seen ended before the wait that just timed out: nothing can be under way any more
                raise ChildGone(self.ending(Way.EXITED))  # though a process it started holds its socket open
            self._ended = has_ended(self._process)
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + TICK_SECONDS
        self.look()
        if self._stop.is_set():
            raise ChildGone(self.ending(Way.STOPPED))
        if now > self._deadline:
            raise ChildGone(self.ending(Way.OVERTIME))

    def look(self) -> None:
        """Take the measures anew."""
        vitals = read_vitals(self._process.pid)
        if vitals is not None:
            self._cpu_seconds = max(vitals.cpu_seconds - self._cpu_before, 0)
            self._peak_bytes = max(self._peak_bytes or 0, vitals.peak_bytes)

    def ending(self, way: Way, number: int = 0) -> Ending:
        return Ending(way, number, self._cpu_seconds, self._peak_bytes)

    def cost(self, told: Vitals | None) -> Cost:
        """By what the child says of itself, for that is had for nothing."""
        if told is None:
            return Cost(time.monotonic() - self._begun, self._cpu_seconds, self._peak_bytes)
        return Cost(time.monotonic() - self._begun, max(told.cpu_seconds - self._cpu_before, 0), told.peak_bytes)


class Child:
    def __init__(self, program: Sequence[str], limits: Limits, stop: Event) -> None:
        """Returns before the child is ready. The thread that calls this must live as long as the child may."""
        self._limits = limits
        self._stop = stop
        self._ready = False
        self.documents = 0  # asked of it so far
        self._asked: deque[Request] = deque()
        self._told: Vitals | None = None  # by itself, with its last answer
        ours, its = socket.socketpair()
        with its:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the program is ours, and no shell reads it
                    [*program, str(os.getpid()), json.dumps(asdict(limits))],
                    stdin=its.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.settimeout(TICK_SECONDS)
        self._channel = Channel(ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not has_ended(self._process)

    def wait_until_ready(self) -> None:
        """Raises ChildGone when it cannot be started; it has then told standard error why."""
        if not self._ready:
            watch = Watch(self._process, START_SECONDS, self._stop)
            frame = self._receive(watch)
            if frame.header.get("kind") != Kind.READY:
                raise ChildGone(watch.ending(Way.GARBLED))
            self._ready = True

    def send(self, request: Request, file: int) -> None:
        """Several may be sent before the first is answered: the child reads one after the other."""
        self.documents += 1
        self._asked.append(request)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):  # `_receive` finds out why
            self._channel.send(pack_request(request), file=file)

    def answer(self) -> tuple[Answer, Cost]:
        """To the oldest request without one. Raises ChildGone; the child has then been ended and must be replaced."""
        request = self._asked.popleft()
        if self._told is not None and self._told.peak_bytes > FORGOTTEN_ABOVE_BYTES:
            forget_peak(self.pid)  # it is an earlier document's
        cpu_before = self._told.cpu_seconds if self._told is not None else 0.0
        watch = Watch(self._process, self._limits.wall_seconds, self._stop, cpu_before)
        frame = self._receive(watch)
        try:
            answer, self._told = unpack_answer(frame, request, self._limits), unpack_vitals(frame)
            return answer, watch.cost(self._told)
        except Garbled as error:
            raise self._gone(watch.ending(Way.GARBLED)) from error

    @property
    def resident_bytes(self) -> int:
        """After its last answer."""
        return self._told.resident_bytes if self._told is not None else 0

    def end(self) -> None:
        """Leaves no process and no descriptor behind, whatever state the child is in. May be called again."""
        self._channel.close()
        if self._process.returncode is None:  # not yet waited for, so its number cannot be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # also what it may have started
            self._process.wait()

    def _receive(self, watch: Watch) -> Frame:
        try:
            frame = self._channel.receive(most_body_bytes=self._limits.memory_bytes, tick=watch)
        except ChildGone as gone:
            raise self._gone(gone.ending) from None
        except Garbled as error:
            raise self._gone(watch.ending(Way.GARBLED)) from error
        if frame is not None:
            return frame
        deadline = time.monotonic() + GOODBYE_SECONDS
        while not has_ended(self._process):
            if time.monotonic() > deadline:  # it hung up and lives on
                raise self._gone(watch.ending(Way.GARBLED))
            time.sleep(0.001)
        raise self._gone(watch.ending(Way.EXITED))

    def _gone(self, ending: Ending) -> ChildGone:
        """`ending`, once the child has ended; how it exited only the system can say."""
        self.end()
        status = self._process.returncode
        if ending.way is Way.EXITED:
            ending = replace(ending, way=Way.EXITED if status >= 0 else Way.SIGNALLED, number=abs(status))
        return ChildGone(ending)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without taking the body away: while it lies there, its number and its group's belong to nobody else."""
    if sys.platform == "linux":
        if process.returncode is not None:
            return True
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    else:  # noqa: RET505 - so that a type checker sees what is for another system
        return process.poll() is not None


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    single_threaded = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    own = {
        # What we can import it can, wherever that was found; but never from the folder that we were started in.
        "PYTHONPATH": os.pathsep.join([str(Path(ingest.__file__).parent.parent), *filter(os.path.isabs, sys.path)]),
        "PYTHONUTF8": "1",
        "MALLOC_ARENA_MAX": "1",  # a second arena reserves address space, which is what is bounded
    }
    return passed_on | single_threaded | own
