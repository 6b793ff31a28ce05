"""A real S3 server (moto's) in a process of its own, and fresh buckets in it."""

import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from retrieval.storage.bucket import Bucket, BucketAddress
from retrieval.storage.cache import Cache

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class S3Server:
    url: str

    def new_address(self) -> BucketAddress:
        """A new, empty bucket."""
        name = f"carrel-{secrets.token_hex(6)}"
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT", data=b"")
        with urllib.request.urlopen(request, timeout=30):
            pass
        return BucketAddress(name, "a/prefix", self.url, "us-east-1", "key", "secret", retries=2, retry_seconds=10)

    def open(self, address: BucketAddress, cache: Path, *, cache_bytes: int = 1 << 30) -> Bucket:
        return Bucket(address, Cache(cache, most_bytes=cache_bytes))


@contextmanager
def running_s3() -> Iterator[S3Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, "the S3 server ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"no S3 server on port {port} after {_START_SECONDS} seconds")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server
