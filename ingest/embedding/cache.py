"""VectorCache: vectors already computed or paid for, first in this process's memory, then on this machine's disk.

Bounded in both places, and never the truth: losing all of it costs time, not results.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from ingest.embedding.disk_cache import DiskCache
from ingest.embedding.embedder import Vectors

_ENTRY_OVERHEAD_BYTES = 300  # key, entry, array header and their place in the ordered dictionary (measured)


@dataclass(frozen=True, slots=True)
class Entry:
    vector: Vectors  # one row, of length one; never written to again
    tokens: int


class VectorCache:
    def __init__(self, *, memory_bytes: int, disk: DiskCache | None = None) -> None:
        self._memory_bytes = memory_bytes
        self._used_bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._lock = Lock()  # guards _entries and _used_bytes
        self._disk = disk

    @classmethod
    def open(
        cls, *, memory_bytes: int, folder: Path | None, disk_bytes: int, identity: str, width: int
    ) -> "VectorCache":
        disk = None
        if folder is not None and disk_bytes > 0:
            disk = DiskCache.open(folder, identity=identity, width=width, most_bytes=disk_bytes)
        return cls(memory_bytes=memory_bytes, disk=disk)

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """What is known of `keys`; the rest is simply absent."""
        found = dict[bytes, Entry]()
        absent = list[bytes]()
        with self._lock:
            for key in keys:
                if entry := self._entries.get(key):
                    self._entries.move_to_end(key)
                    found[key] = entry
                else:
                    absent.append(key)
        if self._disk is not None and absent:
            from_disk = {key: Entry(vector, tokens) for key, vector, tokens in self._disk.read(absent)}
            self._remember(from_disk)
            found |= from_disk
        return found

    def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        self._remember(entries)
        if self._disk is not None:
            self._disk.write((key, entry.vector, entry.tokens) for key, entry in entries.items())

    def close(self) -> None:
        if self._disk is not None:
            self._disk.close()
        with self._lock:
            self._entries.clear()
            self._used_bytes = 0

    def _remember(self, entries: Mapping[bytes, Entry]) -> None:
        with self._lock:
            for key, entry in entries.items():
                if key in self._entries:
                    self._entries.move_to_end(key)
                    continue
                self._entries[key] = entry
                self._used_bytes += entry.vector.nbytes + _ENTRY_OVERHEAD_BYTES
            while self._used_bytes > self._memory_bytes and self._entries:
                _, oldest = self._entries.popitem(last=False)
                self._used_bytes -= oldest.vector.nbytes + _ENTRY_OVERHEAD_BYTES
