"""A segment file -> mapped rows and vectors, each block compared with its checksum before it is first used.

Opening reads the head and the table of checksums, nothing else. What is handed out lies in the mapping: it is shared
by all processes of the machine, survives `close` and the file's deletion, and must not be written to.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.segments import layout
from retrieval.segments.postings import Postings
from retrieval.segments.rows import StoredChunk, Vectors
from retrieval.segments.tensors import MappedTensors, Tensor
from retrieval.storage.objects import Storage

Rows = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Runs:
    """Which rows are whose: rows starts[i] .. starts[i + 1] belong to document numbers[i]."""

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]  # one more than numbers


class Segment:
    """One segment, open. Everything but `vectors` is checked where it is asked for."""

    def __init__(self, row: SegmentRow, path: Path) -> None:
        self.row = row
        self._file = MappedTensors(row, path)
        self.vectors: Vectors = self._file.tensor(layout.VECTORS)
        """Mapped as they lie: whoever reads them calls `check_rows`, `check_range` or `verified_vectors` before."""
        if self.vectors.shape != (row.rows, row.width):
            raise SegmentDamaged(row.id, f"holds vectors of shape {self.vectors.shape}, not {row.rows} × {row.width}")
        self._whole = False
        self._runs: Runs | None = None
        self.postings = Postings(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.row.rows

    @property
    def runs(self) -> Runs:
        if self._runs is None:
            self._runs = Runs(self._file.check_tensor(layout.RUN_NUMBERS), self._file.check_tensor(layout.RUN_STARTS))
        return self._runs

    def check_rows(self, rows: Rows) -> None:
        """Vouch for these rows' vectors; costs nothing for blocks that were read before."""
        if not self._whole:
            width_bytes = 4 * self.row.width
            base = self._file.head.tensors[layout.VECTORS].start
            self._file.check_each(base + np.asarray(rows, np.int64) * width_bytes, width_bytes)
            self._whole = self._file.is_checked(layout.VECTORS)

    def check_range(self, start: int, stop: int) -> None:
        """Vouch for the vectors of rows [start, stop)."""
        if not self._whole:
            self._slice(layout.VECTORS, start, stop)

    def verified_vectors(self) -> Vectors:
        """All vectors, vouched for: what an exact scan reads."""
        if not self._whole:
            self._file.check_tensor(layout.VECTORS)
            self._whole = True
        return self.vectors

    def document_of(self, rows: Rows) -> NDArray[np.int64]:
        """The document number of each row."""
        runs = self.runs
        return runs.numbers[runs.starts.searchsorted(rows, side="right") - 1]

    def chunk(self, row: int) -> StoredChunk:
        return self.chunks([row])[0]

    def chunks(self, rows: Sequence[int]) -> list[StoredChunk]:
        """Many rows at once, in the order given: a search shows ten or fifty, mostly far apart."""
        places = self._places(rows)
        columns = self._picked(layout.ROWS, places).T.tolist()
        # Titles and headings repeat within an answer.
        strings = {number: self.string(number) for number in {*columns[layout.TITLE], *columns[layout.TABLE_HEADER]}}
        paths = {number: self.path(number) for number in set(columns[layout.PATH])}
        fields = zip(  # as StoredChunk has them
            self.document_of(places).tolist(),
            columns[layout.ORDINAL],
            columns[layout.START],
            columns[layout.END],
            self._texts(places),
            columns[layout.TOKENS],
            [place or None for place in columns[layout.PLACE]],
            map(strings.__getitem__, columns[layout.TITLE]),
            map(paths.__getitem__, columns[layout.PATH]),
            map(strings.__getitem__, columns[layout.TABLE_HEADER]),
            strict=True,
        )
        return list(starmap(StoredChunk, fields))

    def text(self, row: int) -> str:
        return self.texts([row])[0]

    def texts(self, rows: Sequence[int]) -> list[str]:
        """The texts of many rows at once."""
        return self._texts(self._places(rows))

    def string(self, number: int) -> str:
        return self._piece(layout.STRINGS, layout.STRING_OFFSETS, number).tobytes().decode() if number else ""

    def path(self, number: int) -> tuple[str, ...]:
        if not number:
            return ()
        return tuple(self.string(int(part)) for part in self._piece(layout.PATHS, layout.PATH_OFFSETS, number))

    def rows(self, start: int, stop: int) -> NDArray[np.uint32]:
        """The columns of `layout.ROW_COLUMNS` of rows [start, stop)."""
        return self._slice(layout.ROWS, start, stop)

    def text_offsets(self) -> NDArray[np.int64]:
        return self._file.check_tensor(layout.TEXT_OFFSETS)

    def text_bytes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Bytes [start, stop) of all rows' texts, one after the other."""
        return self._slice(layout.TEXT, start, stop)

    def verify_all(self) -> None:
        """Compare the whole file with its checksums again, whatever was checked before."""
        self._file.verify_all()

    def close(self) -> None:
        self._file.close()

    def _places(self, rows: Sequence[int]) -> NDArray[np.int64]:
        if rows and not (min(rows) >= 0 and max(rows) < self.row.rows):
            raise IndexError(f"segment {self.row.id} has {self.row.rows} rows, not {min(rows)} to {max(rows)}")
        return np.array(rows, np.int64)

    def _texts(self, places: NDArray[np.int64]) -> list[str]:
        starts = self._picked(layout.TEXT_OFFSETS, places, together=2)
        stops = self._file.tensor(layout.TEXT_OFFSETS)[places + 1]
        return self._file.texts(layout.TEXT, starts.tolist(), stops.tolist())

    def _picked(self, name: str, places: NDArray[np.int64], *, together: int = 1) -> Tensor:
        """Single rows of a tensor, their blocks checked, and those of the `together` rows that begin with each."""
        tensor, base = self._file.tensor(name), self._file.head.tensors[name].start
        row_bytes = tensor.strides[0]
        self._file.check_each(base + places * row_bytes, together * row_bytes)
        return tensor[places]

    def _piece(self, name: str, offsets: str, number: int) -> Tensor:
        start, stop = self._slice(offsets, number, number + 2).tolist()
        return self._slice(name, start, stop)

    def _slice(self, name: str, start: int, stop: int) -> Tensor:
        tensor, base = self._file.tensor(name), self._file.head.tensors[name].start
        row_bytes = tensor.strides[0]
        self._file.check(base + start * row_bytes, base + stop * row_bytes)
        return tensor[start:stop]


def open_segment(row: SegmentRow, path: Path) -> Segment:
    """Open the file that the catalog's row describes; `SegmentDamaged` if it is another, or not whole."""
    return Segment(row, path)


def open_stored(storage: Storage, row: SegmentRow) -> Segment:
    """Open a segment from where it lies. A copy on this machine that turns out damaged is fetched once more."""
    name = layout.segment_name(row.store_id, row.id)
    try:
        with storage.local(name) as path:
            return open_segment(row, path)
    except SegmentDamaged:
        storage.forget_local(name)
    with storage.local(name) as path:
        return open_segment(row, path)


@contextmanager
def open_all(storage: Storage, rows: Sequence[SegmentRow]) -> Iterator[list[Segment]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_stored(storage, row)) for row in rows]
