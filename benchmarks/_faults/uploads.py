"""F18: the API killed while files come in, and clients that vanish in the middle of theirs."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

import openai

from benchmarks._faults.run import Run, Size, none, parts, remains, worked
from benchmarks.figure import Figure
from tests.support.nursery import Parts
from tests.support.whole import KEY, pause

HANDS: Final = 4  # clients of each kind
LARGEST_BYTES: Final = 3 << 20
JOIN_SECONDS: Final = 120
MOST_SECONDS: Final = 0.8  # of a processor, for an API that is ready, until it is killed

Act = Callable[[openai.OpenAI, random.Random], None]


class Hands:
    """Clients that upload until told to stop; what was acknowledged is written down."""

    def __init__(self, whole: Parts, chance: random.Random) -> None:
        self._whole = whole
        self._seeds = [chance.randrange(1 << 32) for _ in range(3 * HANDS)]
        self._stop = threading.Event()
        self.kept: dict[str, bytes] = {}  # file id -> sha256
        self.vanished = 0
        self._lock = threading.Lock()  # guards both
        kinds = (self._upload, self._upload_in_parts, self._vanish)
        self._threads = [
            threading.Thread(target=self._work, args=(kinds[number % 3], random.Random(seed)))
            for number, seed in enumerate(self._seeds)
        ]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(JOIN_SECONDS)

    def _work(self, act: Act, chance: random.Random) -> None:
        client = self._whole.client().with_options(max_retries=0)
        while not self._stop.is_set():
            try:
                act(client, chance)
            except (openai.APIConnectionError, openai.InternalServerError, openai.NotFoundError, OSError):
                pause(0.05)

    def _upload(self, client: openai.OpenAI, chance: random.Random) -> None:
        content = chance.randbytes(chance.randrange(1, LARGEST_BYTES))
        made = client.files.create(file=("a.bin", content), purpose="user_data")
        self._keep(made.id, content)

    def _upload_in_parts(self, client: openai.OpenAI, chance: random.Random) -> None:
        pieces = [chance.randbytes(chance.randrange(1, LARGEST_BYTES // 4)) for _ in range(3)]
        content = b"".join(pieces)
        upload = client.uploads.create(
            bytes=len(content), filename="b.bin", mime_type="application/octet-stream", purpose="user_data"
        )
        made = [client.uploads.parts.create(upload.id, data=piece).id for piece in pieces]
        if chance.random() < 0.3:
            client.uploads.cancel(upload.id)
            return
        done = client.uploads.complete(upload.id, part_ids=made)
        assert done.file is not None
        self._keep(done.file.id, content)

    def _vanish(self, client: openai.OpenAI, chance: random.Random) -> None:
        """Says how much will come, sends some of it, and hangs up. What it asks first comes after what it sent the time
        before: so it never sends more quickly than the service reads."""
        client.models.list()
        size = chance.randrange(1000, LARGEST_BYTES)
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {size}\r\n"
            "content-type: multipart/form-data; boundary=cut\r\n\r\n"
            '--cut\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
            '--cut\r\ncontent-disposition: form-data; name="file"; filename="c.bin"\r\n\r\n'
        ).encode()
        with socket.create_connection(("127.0.0.1", self._whole.port), timeout=10) as line:
            line.sendall(head + chance.randbytes(chance.randrange(1, size - 900)))
            pause(chance.uniform(0, 0.1))
        with self._lock:
            self.vanished += 1

    def _keep(self, file: str, content: bytes) -> None:
        with self._lock:
            self.kept[file] = sha256(content).digest()


def uploads_cut(size: Size, chance: random.Random) -> Iterator[Figure]:
    with parts(workers=1, bucket=size.bucket) as whole:
        run = Run(whole, chance, size.documents)
        hands = Hands(whole, chance)
        killed = 0
        with hands.at_work():
            for _ in range(size.times):
                until = worked([whole.born["api"]]) + chance.uniform(0.05, MOST_SECONDS)
                while worked([whole.born["api"]]) < until:
                    pause(0.02)
                killed += whole.kill("api")
                whole.begin("api", "api")
                whole.until_ready()
        lost = sum(
            sha256(run.client.files.content(file).read()).digest() != content for file, content in hands.kept.items()
        )
        yield Figure("F18 API killed", killed, "times")
        yield Figure("F18 clients vanished", hands.vanished, "times")
        yield none("F18 acknowledged and lost", lost, "files", f"of {len(hands.kept)}")
        yield from remains(whole, "F18")
