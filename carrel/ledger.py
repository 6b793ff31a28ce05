"""What an earlier `carrel ingest` has hashed and uploaded: kept on this machine, one file for a store.

It saves work and decides nothing: the server says what is in the store. A line is written after each upload, so a run
that is interrupted uploads nothing twice; a ledger that is lost or damaged costs hashing anew.
"""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TextIO

from carrel.walking import Found


@dataclass(frozen=True, slots=True)
class Entry:
    """`file_id` is empty where the content was hashed, and was in the store already."""

    path: str
    bytes: int
    modified_ns: int
    sha256: str
    file_id: str = ""


class Ledger:
    """Safe to share between threads."""

    def __init__(self, entries: Mapping[str, Entry], file: TextIO | None) -> None:
        self._entries, self._file = dict(entries), file
        self._lock = threading.Lock()  # guards both

    @classmethod
    def open(cls, store_id: str, environment: Mapping[str, str]) -> Self:
        """In memory alone where the state folder cannot be written."""
        state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".local/state"
        path = Path(state) / "carrel" / "ingest" / f"{store_id}.jsonl"
        entries = _read(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text("".join(_line(entry) for entry in entries.values()), "utf-8")
            fresh.replace(path)  # without what later lines have made void
            return cls(entries, path.open("a", encoding="utf-8"))
        except OSError:
            return cls(entries, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def lasting(self) -> bool:
        return self._file is not None

    def known(self, found: Found) -> Entry | None:
        """What is known of the file as it is now, by size and time."""
        with self._lock:
            entry = self._entries.get(str(found.path))
        if entry is None or (entry.bytes, entry.modified_ns) != (found.bytes, found.modified_ns):
            return None
        return entry

    def add(self, found: Found, sha256: str, file_id: str = "") -> None:
        entry = Entry(str(found.path), found.bytes, found.modified_ns, sha256, file_id)
        with self._lock:
            if self._entries.get(entry.path) == entry:
                return
            self._entries[entry.path] = entry
            if self._file is not None and not self._file.closed:
                self._file.write(_line(entry))
                self._file.flush()


def _read(path: Path) -> dict[str, Entry]:
    entries = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    entry = Entry(**json.loads(line))
                except (ValueError, TypeError):  # the last line of a run that was killed
                    continue
                entries[entry.path] = entry
    except OSError:
        return {}
    return entries


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"
