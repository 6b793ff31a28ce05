"""What callers notice of heavy work: `/healthz` at a steady pace, idle, then beside uploads, a huge file, re-indexes.

    python -m benchmarks stalls [--seconds 30] [--pace 0.02] [--tokens 5000000] [--upload-bytes 104857600]

The service is `carrel serve` with its processes and a model-free embedder. Another process asks, over one connection;
an answer that comes late makes the next question late, and that counts as well.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks._whole_ingest import Caller, prose, service, small_file
from benchmarks.figure import Figure
from ingest.chunking.tokens import Tokenizer
from tests.support.whole import KEY, Whole, pause

MOST_MILLISECONDS: Final = 50.0
IDLE_SECONDS: Final = 10.0
REINDEXED_FILES: Final = 1_000
PIECE: Final = 1 << 20
PATIENCE_SECONDS: Final = 400.0  # for each kind of work to have been done once
SIZES: Final = (200, 300)  # of chunks, in turn, so that every re-index has to read all files again


def run(arguments: list[str]) -> Iterator[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stalls")
    parser.add_argument("--seconds", type=float, default=30.0, help="at least, under load")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between questions")
    parser.add_argument("--tokens", type=int, default=5_000_000, help="of the huge document, at most")
    parser.add_argument("--upload-bytes", type=int, default=100 << 20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    document, tokens = huge(chance, given.tokens)
    with service({}) as whole:
        work = Work(whole, chance, document, given.upload_bytes)
        with asking(whole, given.pace) as idle:
            pause(IDLE_SECONDS)
        with asking(whole, given.pace) as busy, work.under_way():
            begun = time.monotonic()
            while not work.failed and (spent := time.monotonic() - begun) < PATIENCE_SECONDS:
                if spent > given.seconds and all(work.done.values()):
                    break
                pause(0.2)
        work.close()
    if work.failed:
        raise work.failed[0]
    yield from told("idle", idle.milliseconds)
    yield from told("under load", busy.milliseconds)
    for name, done in work.done.items():
        size = f" of {tokens:,} tokens" if name == "documents ingested" else ""
        yield Figure(f"{name}{size} meanwhile", done, "", "at least 1", met=done >= 1)


def told(when: str, milliseconds: list[float]) -> Iterator[Figure]:
    yield Figure(f"/healthz {when}: answers", len(milliseconds))
    for share in (0.5, 0.95, 0.99, 1.0):
        value = float(np.quantile(milliseconds, share))
        name = "max" if share == 1 else f"p{share * 100:.0f}"
        promised = share == 0.99 and when != "idle"
        yield Figure(
            f"/healthz {when}: {name}",
            value,
            "ms",
            target=f"under {MOST_MILLISECONDS:.0f} ms" if promised else "",
            met=value < MOST_MILLISECONDS if promised else None,
        )


def huge(chance: random.Random, most_tokens: int) -> tuple[bytes, int]:
    """A document as long as a file may be, and its tokens: one text many times over, each time with its number."""
    part = "\n\n".join(f"{prose(chance, 120)}." for _ in range(200))
    each = Tokenizer().count(part) + 8
    parts = max(1, most_tokens // each)
    return "\n\n".join(f"Part {number}\n\n{part}" for number in range(parts)).encode(), parts * each


@dataclass
class Asked:
    milliseconds: list[float] = field(default_factory=list)


@contextmanager
def asking(whole: Whole, pace: float) -> Iterator[Asked]:
    """Another process asks while the block runs; what it measured is there afterwards."""
    words = [sys.executable, "-m", "benchmarks.stalls", str(whole.port), str(pace)]
    asked = Asked()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "asking"
        try:
            yield asked
        finally:
            process.stdin.close()
            asked.milliseconds = json.loads(process.stdout.readline())


def ask(port: int, pace: float) -> list[float]:
    """Until the input ends. A question is due when its time has come, or late when the answer before it was."""
    over = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    question = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    taken: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("asking", flush=True)
        due = answered = time.perf_counter()
        while not over.is_set():
            due += pace
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            since = due if answered > due else time.perf_counter()
            link.sendall(question)
            received = b""
            while not received.endswith(b"}"):
                piece = link.recv(4096)
                assert piece, "the server closed the connection"
                received += piece
            answered = time.perf_counter()
            assert received.startswith(b"HTTP/1.1 200"), received
            taken.append(1000 * (answered - since))
    return taken


class Work:
    """Three kinds of it, each repeated in a thread of its own as long as the block runs."""

    def __init__(self, whole: Whole, chance: random.Random, document: bytes, upload_bytes: int) -> None:
        self.done = {"uploads": 0, "documents ingested": 0, "re-indexes": 0}
        self.failed: list[BaseException] = []
        self._whole = whole
        self._upload_bytes = upload_bytes
        self._pieces = [chance.randbytes(PIECE) for _ in range(3)]
        self._over = threading.Event()
        self._caller = Caller(whole)
        self._document = self._caller.upload("huge.txt", document)
        files = [
            self._caller.upload(f"{number}.md", small_file(chance, number, parts=4))
            for number in range(REINDEXED_FILES)
        ]
        self._stocked = self._caller.new_store()
        self._caller.post(f"/vector_stores/{self._stocked}/file_batches", file_ids=files)
        self._caller.settled(self._stocked, 0.1)

    def close(self) -> None:
        self._caller.close()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        kinds = (self._upload, self._ingest, self._reindex)
        threads = [threading.Thread(target=self._repeat, args=kind) for kind in zip(self.done, kinds, strict=True)]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self._over.set()
            for one in threads:
                one.join()

    def _repeat(self, name: str, act: Callable[[Caller, int], bool]) -> None:
        caller = Caller(self._whole)
        try:
            while not self._over.is_set():
                self.done[name] += act(caller, self.done[name])
        except Exception as error:
            self.failed.append(error)
        finally:
            caller.close()

    def _upload(self, caller: Caller, number: int) -> bool:
        """Over a plain socket: what a client does with its time is not the service's."""
        boundary = "carrel-stalls"
        start = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{number}.txt"\r\n\r\n{number} '
        ).encode()
        end = f"\r\n--{boundary}--\r\n".encode()
        length = len(start) + self._upload_bytes + len(end)
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
            f"content-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {length}\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", self._whole.port), timeout=120) as link:
            link.sendall(head + start)
            for at in range(0, self._upload_bytes, PIECE):
                link.sendall(self._pieces[at // PIECE % 3][: self._upload_bytes - at])
            link.sendall(end)
            answer = b"".join(iter(lambda: link.recv(1 << 16), b""))
        assert b" 200 " in answer.split(b"\r\n")[0], answer
        file = json.loads(answer.split(b"\r\n\r\n", 1)[1])["id"]
        caller.delete(f"/files/{file}")  # or the disk fills up
        return True

    def _ingest(self, caller: Caller, _: int) -> bool:
        store = caller.new_store()
        caller.post(f"/vector_stores/{store}/files", file_id=self._document)
        done = self._until(
            lambda: caller.get(f"/vector_stores/{store}/files/{self._document}")["status"], "in_progress"
        )
        assert done in {"completed", None}, done
        caller.delete(f"/vector_stores/{store}")
        return done == "completed"

    def _reindex(self, caller: Caller, number: int) -> bool:
        at, size = f"/vector_stores/{self._stocked}/reindex", SIZES[number % 2]
        numbers = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": 0}
        caller.post(at, chunking_strategy={"type": "static", "static": numbers}, keep_seconds=0)
        done = self._until(lambda: caller.get(at)["status"], "running")
        if done is None:
            return False
        assert done in {"swapped", "completed"}, done
        if done == "swapped":
            caller.post(f"{at}/finish")
        return True

    def _until(self, state: Callable[[], object], busy: str) -> object:
        """What became of it; None if the time was over first."""
        while not self._over.is_set():
            found = state()
            if found != busy:
                return found
            pause(0.2)
        return None


if __name__ == "__main__":
    print(json.dumps(ask(int(sys.argv[1]), float(sys.argv[2]))), flush=True)
