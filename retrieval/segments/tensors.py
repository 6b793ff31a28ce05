"""Tensors in one file: written one after the other with their checksums, and mapped with each block checked once.

Nothing is read before its block was compared with the table, and nothing is compared twice: opening costs the head
and the table, whatever the file's size.
"""

import mmap
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import ObjectMissing, SegmentDamaged, StorageUnavailable
from retrieval.segments.layout import (
    ALIGNMENT,
    BLOCK_BYTES,
    CHECKSUMS,
    DTYPES,
    HEAD_BYTES,
    NUMPY_DTYPES,
    PADDING,
    Head,
    NotASegment,
    SegmentFacts,
    TensorPlace,
    checksum,
    decode_head,
    encode_head,
    head_checksum,
)
from retrieval.storage.objects import Draft

_TOGETHER_BYTES = 1 << 18

Tensor = NDArray[Any]  # of the dtype that layout.DTYPES gives its name


class TensorWriter:
    """Writes the tensors in the order given; `finish` adds the table of checksums and puts the head in front."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._places: dict[str, TensorPlace] = {}
        self._position = 0  # from the end of the head
        self._checksums: list[int] = []
        self._block = xxhash.xxh3_64()
        self._filled = 0
        self._waiting = bytearray(HEAD_BYTES)  # small tensors go to the disk together

    def write(self, name: str, pieces: Iterable[Tensor], *, width: int | None = None) -> int:
        """One tensor from its pieces, rows of `width` or scalars; how many rows it has."""
        self._align()
        start, rows, dtype = self._position, 0, NUMPY_DTYPES[DTYPES[name]]
        for piece in pieces:
            rows += len(piece)
            self._append(_bytes_of(np.ascontiguousarray(piece, dtype)))
        shape = (rows,) if width is None else (rows, width)
        self._places[name] = TensorPlace(name, DTYPES[name], shape, start, self._position)
        return rows

    def finish(self, facts: SegmentFacts) -> tuple[int, int]:
        """The file's length and its head's checksum."""
        self._align()
        if self._filled:
            self._checksums.append(self._block.intdigest())
        table = _bytes_of(np.array(self._checksums, NUMPY_DTYPES[DTYPES[CHECKSUMS]]))
        start, stop = self._position, self._position + len(table)
        self._places[CHECKSUMS] = TensorPlace(CHECKSUMS, DTYPES[CHECKSUMS], (len(self._checksums),), start, stop)
        self._send(table)
        self._flush()
        head = encode_head(Head(facts, self._places, checksum(table), BLOCK_BYTES))
        self._draft.write_at(0, head)
        return HEAD_BYTES + stop, head_checksum(head)

    def _align(self) -> None:
        missing = -self._position % ALIGNMENT
        if missing:
            name = f"{PADDING}.{sum(place.startswith(PADDING) for place in self._places)}"
            self._places[name] = TensorPlace(name, "U8", (missing,), self._position, self._position + missing)
            self._append(memoryview(bytes(missing)))

    def _append(self, content: memoryview) -> None:
        self._send(content)
        self._position += len(content)
        while content:
            part = content[: BLOCK_BYTES - self._filled]
            if len(part) == BLOCK_BYTES:
                self._checksums.append(checksum(part))
            else:
                self._block.update(part)
                self._filled += len(part)
                if self._filled == BLOCK_BYTES:
                    self._checksums.append(self._block.intdigest())
                    self._block.reset()
                    self._filled = 0
            content = content[len(part) :]

    def _send(self, content: memoryview) -> None:
        if len(content) + len(self._waiting) <= _TOGETHER_BYTES:
            self._waiting += content
        else:
            self._flush()
            self._draft.write(content)

    def _flush(self) -> None:
        self._draft.write(self._waiting)
        self._waiting = bytearray()


class MappedTensors:
    """A segment file, mapped. What was taken from it stays readable after `close` and after the file's deletion."""

    def __init__(self, row: SegmentRow, path: Path) -> None:
        self._row = row
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectMissing(f"segment {row.id}: no such file") from error
        except OSError as error:
            raise StorageUnavailable(f"segment {row.id}: {error.strerror}") from error
        try:
            self.head = self._checked_head(descriptor)
            self._block_bytes = self.head.block_bytes
            table = self.head.tensors[CHECKSUMS]
            self._table = self._checked_table(descriptor, table)
            self._map = _mapped(descriptor, row.bytes)
        finally:
            os.close(descriptor)
        self._body = memoryview(self._map)[HEAD_BYTES : HEAD_BYTES + table.start]
        self._verified = bytearray(len(self._table))
        self._verified_view = np.frombuffer(self._verified, np.bool_)
        self._tensors: dict[str, Tensor] = {}  # made once: a search asks for the same few again and again

    def tensor(self, name: str) -> Tensor:
        """The mapped tensor, not yet checked."""
        known = self._tensors.get(name)
        if known is None:
            known = self._tensors[name] = self._made(name)
        return known

    def _made(self, name: str) -> Tensor:
        place = self.head.tensors[name]
        dtype = NUMPY_DTYPES[place.dtype]
        count = (place.stop - place.start) // dtype.itemsize
        if not count:
            return np.empty(place.shape, dtype)
        return np.frombuffer(self._body, dtype, count, place.start).reshape(place.shape)

    def texts(self, name: str, starts: Sequence[int], stops: Sequence[int]) -> list[str]:
        """Each stretch of bytes [start, stop) of a tensor, checked, as text."""
        base, body = self.head.tensors[name].start, self._body
        for start, stop in zip(starts, stops, strict=True):
            self.check(base + start, base + stop)
        return [str(body[base + start : base + stop], "utf-8") for start, stop in zip(starts, stops, strict=True)]

    def check(self, start: int, stop: int) -> None:
        """Compare the blocks of bytes [start, stop) of the body with the table, those that never were."""
        for block in range(start // self._block_bytes, -(-stop // self._block_bytes)):
            if not self._verified[block]:
                self._verify(block)

    def check_each(self, starts: NDArray[np.int64], length: int) -> None:
        """`check` for many stretches of one length."""
        first = starts // self._block_bytes
        last = (starts + (length - 1)) // self._block_bytes
        if length <= self._block_bytes and self._all_seen(first) and self._all_seen(last):
            return
        for step in range(int((last - first).max(initial=0)) + 1):
            blocks = np.minimum(first + step, last)
            for block in np.unique(blocks[~self._verified_view[blocks]]).tolist():
                self._verify(block)

    def is_checked(self, name: str) -> bool:
        """Whether every block of this tensor was compared with the table by now."""
        place = self.head.tensors[name]
        blocks = self._verified_view[place.start // self._block_bytes : -(-place.stop // self._block_bytes)]
        return bool(np.count_nonzero(blocks) == len(blocks))

    def _all_seen(self, blocks: NDArray[np.int64]) -> bool:
        return bool(np.count_nonzero(self._verified_view[blocks]) == len(blocks))

    def check_tensor(self, name: str) -> Tensor:
        place = self.head.tensors[name]
        self.check(place.start, place.stop)
        return self.tensor(name)

    def verify_all(self) -> None:
        """Compare every block again, also those that were right before: disks forget."""
        for block in range(len(self._table)):
            self._verify(block)

    def close(self) -> None:
        self._tensors.clear()
        with suppress(BufferError):  # arrays taken from it hold the mapping; it goes with the last of them
            self._body.release()
            self._map.close()

    def _verify(self, block: int) -> None:
        found = checksum(self._body[block * self._block_bytes : (block + 1) * self._block_bytes])
        if found != self._table[block]:
            self._verified[block] = 0
            at = HEAD_BYTES + block * self._block_bytes
            raise SegmentDamaged(self._row.id, f"block {block} (from byte {at}) has another checksum than written")
        self._verified[block] = 1

    def _checked_head(self, descriptor: int) -> Head:
        size = os.fstat(descriptor).st_size
        if size != self._row.bytes:
            raise SegmentDamaged(self._row.id, f"the file has {size} bytes, the catalog says {self._row.bytes}")
        head = os.pread(descriptor, HEAD_BYTES, 0)
        if head_checksum(head) != self._row.checksum:
            raise SegmentDamaged(self._row.id, "its head has another checksum than the catalog says")
        try:
            return decode_head(head)
        except NotASegment as error:
            raise SegmentDamaged(self._row.id, str(error)) from error

    def _checked_table(self, descriptor: int, place: TensorPlace) -> NDArray[np.uint64]:
        table = os.pread(descriptor, place.stop - place.start, HEAD_BYTES + place.start)
        if checksum(table) != self.head.table_checksum:
            raise SegmentDamaged(self._row.id, "its table of checksums is damaged")
        return np.frombuffer(table, np.uint64)


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):  # earlier, every mapping holds a file descriptor open
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.data.cast("B") if tensor.size else memoryview(b"")
