"""DiskCache: a fixed-size file of vectors that several processes read and write at once, without locks.

The file is a table of groups of slots; a key's hash chooses its group, and the least recently used slot of a group is
overwritten. Every slot carries a checksum over all it says: a slot torn by two writers, a killed process or a bad
disk reads as absent. The header names model, width and size; a file that is not ours is replaced.
"""

import logging
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock

import numpy as np

from ingest.embedding.embedder import Vectors

_log = logging.getLogger(__name__)

_MAGIC = b"CRLVEC01"
_HEADER = struct.Struct("<8s16sIQ")  # magic, fingerprint of the model, width, number of groups
_HEADER_BYTES = 4096
_STAMP = struct.Struct("<Q")  # when last used; outside the checksum, since reading renews it
_SLOT = struct.Struct("<I16sI")  # checksum of the rest, key, tokens; the vector follows
_SLOTS_PER_GROUP = 4
_KEY_BYTES = 16
_RENEW_AFTER_SECONDS = 3600


class DiskCache:
    def __init__(self, descriptor: int, *, width: int, groups: int) -> None:
        self._descriptor = descriptor
        self._width = width
        self._groups = groups
        self._slot_bytes = slot_bytes(width)
        self._broken = False
        self._closing = Lock()  # guards the descriptor against being closed, and its number reused, under a reader

    @classmethod
    def open(cls, folder: Path, *, identity: str, width: int, most_bytes: int) -> "DiskCache | None":
        """None where the disk refuses: a cache is never a reason to stop."""
        fingerprint = blake2b(identity.encode(), digest_size=16).digest()
        groups = (most_bytes - _HEADER_BYTES) // (slot_bytes(width) * _SLOTS_PER_GROUP)
        if groups < 1:
            return None
        header = _HEADER.pack(_MAGIC, fingerprint, width, groups)
        path = folder / f"vectors-{fingerprint.hex()[:16]}.cache"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not _says(path, header):
                _create(path, header, _HEADER_BYTES + groups * _SLOTS_PER_GROUP * slot_bytes(width))
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), width=width, groups=groups)
        except OSError as error:
            _log.warning("vector cache not opened", extra={"folder": str(folder), "error": error.strerror})
            return None

    def read(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, Vectors, int]]:
        """What is here of `keys`, and still whole."""
        now = int(time.time())
        for key in keys:
            start = self._group_start(key)
            group = self._pread(self._slot_bytes * _SLOTS_PER_GROUP, start)
            for number in range(_SLOTS_PER_GROUP):
                at = number * self._slot_bytes
                found = self._parse(group[at : at + self._slot_bytes])
                if found is None or found[0] != key:
                    continue
                if now - _STAMP.unpack_from(group, at)[0] > _RENEW_AFTER_SECONDS:
                    self._pwrite(_STAMP.pack(now), start + at)
                yield found
                break

    def write(self, entries: Iterable[tuple[bytes, Vectors, int]]) -> None:
        now = int(time.time())
        for key, vector, tokens in entries:
            start = self._group_start(key)
            group = self._pread(self._slot_bytes * _SLOTS_PER_GROUP, start)
            number = self._slot_for(key, group)
            said = key + tokens.to_bytes(4, "little") + vector.astype("<f4").tobytes()
            slot = _STAMP.pack(now) + zlib.crc32(said).to_bytes(4, "little") + said
            self._pwrite(slot, start + number * self._slot_bytes)

    def close(self) -> None:
        with self._closing:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _group_start(self, key: bytes) -> int:
        group = int.from_bytes(key[:8], "little") % self._groups
        return _HEADER_BYTES + group * _SLOTS_PER_GROUP * self._slot_bytes

    def _slot_for(self, key: bytes, group: bytes) -> int:
        """The slot that holds the key already, else the one used longest ago; an empty one was used never."""
        stamps = list[int]()
        for number in range(_SLOTS_PER_GROUP):
            at = number * self._slot_bytes
            if group[at + _STAMP.size + 4 : at + _STAMP.size + 4 + _KEY_BYTES] == key:
                return number
            stamps.append(_STAMP.unpack_from(group, at)[0] if len(group) >= at + _STAMP.size else 0)
        return stamps.index(min(stamps))

    def _parse(self, slot: bytes) -> tuple[bytes, Vectors, int] | None:
        if len(slot) < self._slot_bytes:
            return None
        checksum, key, tokens = _SLOT.unpack_from(slot, _STAMP.size)
        if zlib.crc32(memoryview(slot)[_STAMP.size + 4 :]) != checksum:
            return None
        vector = np.frombuffer(slot, dtype="<f4", offset=_STAMP.size + _SLOT.size).astype(np.float32)
        return key, vector, tokens

    def _pread(self, size: int, offset: int) -> bytes:
        with self._closing:
            if self._broken or self._descriptor < 0:
                return b""
            try:
                return os.pread(self._descriptor, size, offset)
            except OSError as error:
                self._give_up(error)
                return b""

    def _pwrite(self, data: bytes, offset: int) -> None:
        with self._closing:
            if self._broken or self._descriptor < 0:
                return
            try:
                os.pwrite(self._descriptor, data, offset)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A full or failing disk: go on without it until the next start."""
        self._broken = True
        _log.warning("vector cache given up", extra={"error": error.strerror})


def slot_bytes(width: int) -> int:
    return _STAMP.size + _SLOT.size + 4 * width


def _says(path: Path, header: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(header)) == header
    except FileNotFoundError:
        return False


def _create(path: Path, header: bytes, size: int) -> None:
    """Put an empty table in place at once; who has the old file open goes on with it, unseen, until it closes."""
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        file.write(header)
        file.truncate(size)  # sparse: takes space only as it fills
    Path(file.name).replace(path)
