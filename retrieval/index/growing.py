"""Append-only arrays whose versions share one buffer, so that a new snapshot costs what is new.

A version never changes: appending writes behind the end of every older version, replacing copies. Appending
to the same version twice copies too. Whoever extends versions of one array does so under one lock.
"""

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class _Buffer(Generic[Scalar]):
    """Room for values, and how much of it is taken by the longest version."""

    __slots__ = ("room", "used")

    def __init__(self, room: NDArray[Scalar], used: int) -> None:
        self.room = room
        self.used = used


class Growing(Generic[Scalar]):
    """One version: the first `length` values of a shared buffer."""

    __slots__ = ("_buffer", "_length", "values")

    def __init__(self, buffer: _Buffer[Scalar], length: int) -> None:
        self._buffer = buffer
        self._length = length
        self.values: NDArray[Scalar] = buffer.room[:length]
        self.values.flags.writeable = False

    @classmethod
    def of(cls, values: NDArray[Scalar]) -> Self:
        return cls(_Buffer(values.copy(), len(values)), len(values))

    def __len__(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        return self._buffer.room.nbytes

    def appended(self, more: NDArray[Scalar]) -> Self:
        if not len(more):
            return self
        buffer, end = self._buffer, self._length + len(more)
        if buffer.used != self._length or end > len(buffer.room):
            room = np.empty(max(end + end // 2, 16), buffer.room.dtype)
            room[: self._length] = buffer.room[: self._length]
            buffer = _Buffer(room, self._length)
        buffer.room[self._length : end] = more
        buffer.used = end
        return type(self)(buffer, end)

    def grown(self, length: int, fill: Scalar | int | float) -> Self:
        """At least `length` long, the new places holding `fill`."""
        missing = length - self._length
        return self.appended(np.full(missing, fill, self._buffer.room.dtype)) if missing > 0 else self

    def replaced(self, positions: NDArray[np.int64], values: NDArray[Scalar]) -> Self:
        if not len(positions):
            return self
        copy = self._buffer.room[: self._length].copy()
        copy[positions] = values
        return type(self)(_Buffer(copy, self._length), self._length)


@dataclass(frozen=True, slots=True)
class Texts:
    """Many short texts without an object for each."""

    bytes: Growing[np.uint8]
    ends: Growing[np.int64]

    @classmethod
    def none(cls) -> Self:
        return cls(Growing.of(np.empty(0, np.uint8)), Growing.of(np.empty(0, np.int64)))

    def appended(self, texts: list[str]) -> Self:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64) + len(self.bytes)
        return type(self)(self.bytes.appended(np.frombuffer(b"".join(encoded), np.uint8)), self.ends.appended(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position: int) -> str:
        return self.at(np.array([position]))[0]

    def at(self, positions: NDArray[np.integer]) -> list[str]:
        ends, room = self.ends.values, self.bytes.values.data
        starts = np.where(positions > 0, ends[positions - 1], 0)
        return [
            str(room[start:end], "utf-8", "surrogatepass")
            for start, end in zip(starts.tolist(), ends[positions].tolist(), strict=True)
        ]

    @property
    def nbytes(self) -> int:
        return self.bytes.nbytes + self.ends.nbytes
