"""Files of the command line that are whole or not there, whatever is killed meanwhile."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pieces_of(path: Path, piece_bytes: int = 1 << 20) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(piece_bytes):
            yield piece


def write(path: Path, pieces: Iterable[bytes], mode: int = 0o640) -> None:
    """Durable when it returns."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """A file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
