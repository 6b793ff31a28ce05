"""What FAISS does for the vector side: exact scans, 4-bit codes, lists of codes. The only importer of faiss.

Arrays are C-ordered; vectors float32, row numbers int64. FAISS gets bare pointers: every array handed to it is
kept alive by a Python reference for as long as FAISS may read it, and every row number was checked by then.
Searching never writes, so any number of threads may search; FAISS releases the interpreter's lock meanwhile.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import faiss
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
Bits = NDArray[np.uint8]

BLOCK_ROWS: Final = 32  # fast-scan codes are packed in blocks of so many rows
CENTROIDS: Final = 16  # of a 4-bit code

_told = threading.local()  # whether OpenMP was told in this thread


def use_one_thread() -> None:
    """One OpenMP thread a call in the calling thread: two gain nothing and stall each other for a scheduler's turn.

    OpenMP keeps the number for each thread apart, and a new thread begins with the machine's; so whatever here
    could use more than one calls this first. Told once a thread: FAISS lets go of the interpreter's lock for any call,
    and where another thread wants it, getting it back takes longer than the call.
    """
    if not hasattr(_told, "one"):
        faiss.omp_set_num_threads(1)
        _told.one = True


class RowFilter:
    """A bitmap of rows (bit i of byte i // 8, low bit first) in the form FAISS takes."""

    __slots__ = ("_bits", "parameters", "selector")

    def __init__(self, bits: Bits) -> None:
        self._bits = bits
        self.selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        self.parameters = _parameters(self.selector)


def _parameters(selector: object) -> Callable[[int], Any]:
    """What FAISS wants to be told besides a query, by the number of lists to visit: each made once, since that takes
    as long as scoring thirty rows."""
    return cache(lambda lists: faiss.SearchParametersIVF(nprobe=lists, sel=selector))


def best_rows(matrix: Matrix, query: Matrix, k: int, allowed: RowFilter | None = None) -> tuple[Rows, Matrix]:
    """The best `k` rows by inner product with one query: a scan of the matrix where it lies, nothing copied."""
    k = min(k, len(matrix))
    rows, scores = np.empty(k, np.int64), np.empty(k, np.float32)
    if k:
        _scan(matrix, query[None], k, allowed, rows, scores)
    found = rows >= 0
    return (rows, scores) if found.all() else (rows[found], scores[found])


def best_scores_of_many(matrix: Matrix, queries: Matrix, k: int, allowed: RowFilter | None = None) -> Matrix:
    """For each query its best `k` inner products, best first; -inf where there are fewer rows."""
    scores = np.full((len(queries), k), -np.inf, np.float32)
    width = min(k, len(matrix))
    if width:
        rows, found = np.empty((len(queries), width), np.int64), np.empty((len(queries), width), np.float32)
        _scan(matrix, queries, width, allowed, rows, found)
        scores[:, :width] = np.where(rows >= 0, found, -np.inf)
    return scores


def _scan(matrix: Matrix, queries: Matrix, k: int, allowed: RowFilter | None, rows: Rows, scores: Matrix) -> None:
    use_one_thread()
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(matrix),
        matrix.shape[1],
        len(queries),
        len(matrix),
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(rows),
        None if allowed is None else allowed.selector,
    )


def score_rows(matrix: Matrix, query: Matrix, rows: Rows) -> Matrix:
    """Inner products of one query with the given rows, in their order; ascending rows are read fastest."""
    scores = np.empty(len(rows), np.float32)
    if len(rows):
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(scores),
            faiss.swig_ptr(query),
            faiss.swig_ptr(matrix),
            faiss.swig_ptr(rows),
            matrix.shape[1],
            1,
            len(rows),
        )
    return scores


def train_subquantizers(sample: Matrix, count: int, seed: int) -> Matrix:
    """`count` sets of 16 centroids, each for an equal share of the columns: shape (count, 16, width // count)."""
    quantizer = faiss.ProductQuantizer(sample.shape[1], count, 4)
    quantizer.cp.niter = 12  # distortion moves by under a thousandth beyond
    quantizer.cp.seed = seed
    quantizer.cp.min_points_per_centroid = 1  # small stores are the caller's decision, not a warning on stderr
    use_one_thread()
    quantizer.train(sample)
    trained = cast("Matrix", faiss.vector_to_array(quantizer.centroids))
    return trained.reshape(count, CENTROIDS, sample.shape[1] // count)


def train_centres(sample: Matrix, count: int, seed: int) -> Matrix:
    """`count` unit vectors around which the sample gathers."""
    means = faiss.Kmeans(sample.shape[1], count, niter=8, spherical=True, seed=seed, min_points_per_centroid=1)
    use_one_thread()
    means.train(sample)
    return np.ascontiguousarray(means.centroids, dtype=np.float32)


def nearest(centres: Matrix, vectors: Matrix) -> Rows:
    """For each vector the centre with the largest inner product."""
    rows, scores = np.empty((len(vectors), 1), np.int64), np.empty((len(vectors), 1), np.float32)
    _scan(centres, vectors, 1, None, rows, scores)
    return rows[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class PackedLists:
    """Codes as fast-scan reads them: list after list, each padded to whole blocks of 32 rows."""

    sizes: Rows  # rows of each list
    rows: NDArray[np.uint32] | None  # the row behind each code, list after list; None for one list in row order
    packed: NDArray[np.uint8]


class Encoder:
    """Turns vectors into packed codes. With `centres`, codes stand in the list of the nearest and say what differs."""

    def __init__(self, centroids: Matrix, centres: Matrix | None) -> None:
        self._lists = 1 if centres is None else len(centres)
        self._width = centroids.shape[0] * centroids.shape[2]
        self._quantizer = faiss.IndexFlatIP(self._width)
        self._quantizer.add(np.zeros((1, self._width), np.float32) if centres is None else centres)
        self._index = _index_of(self._quantizer, centroids, self._lists, residual=centres is not None)

    def add(self, first_row: int, vectors: Matrix) -> None:
        use_one_thread()
        self._index.add_with_ids(vectors, np.arange(first_row, first_row + len(vectors), dtype=np.int64))

    def finish(self) -> PackedLists:
        lists = faiss.downcast_InvertedLists(self._index.invlists)
        sizes = np.array([lists.list_size(number) for number in range(self._lists)], np.int64)
        parts, rows = [], []
        for number, size in enumerate(sizes.tolist()):
            if size:
                parts.append(faiss.rev_swig_ptr(lists.get_codes(number), _blocks(size) * lists.block_size).copy())
                rows.append(faiss.rev_swig_ptr(lists.get_ids(number), size).astype(np.uint32))
        self._index.reset()
        packed = np.concatenate(parts) if parts else np.empty(0, np.uint8)
        order = None if self._lists == 1 else np.concatenate([*rows, np.empty(0, np.uint32)])
        return PackedLists(sizes, order, packed)


class CodeLists:
    """One segment's codes in FAISS's memory; row `r` goes by the id `first_id + r`."""

    __slots__ = ("count", "lists")

    def __init__(self, codes: PackedLists, subquantizers: int, first_id: int) -> None:
        block_bytes = block_bytes_of(subquantizers)
        self.count = len(codes.sizes)
        self.lists = faiss.BlockInvertedLists(self.count, BLOCK_ROWS, block_bytes)
        ids = np.arange(codes.sizes.sum()) if codes.rows is None else codes.rows
        ids = ids.astype(np.int64) + first_id
        byte = row = 0
        for number, size in enumerate(codes.sizes.tolist()):
            if not size:
                continue
            length = _blocks(size) * block_bytes
            self.lists.resize(number, size)
            faiss.rev_swig_ptr(self.lists.get_codes(number), length)[:] = codes.packed[byte : byte + length]
            faiss.rev_swig_ptr(self.lists.get_ids(number), size)[:] = ids[row : row + size]
            byte, row = byte + length, row + size


class CodeStack:
    """The lists of many segments under one set of centroids, searched in one call; list numbers run through all."""

    def __init__(self, centroids: Matrix, segments: list[CodeLists], *, residual: bool) -> None:
        self._segments = segments
        self._width = centroids.shape[0] * centroids.shape[2]
        self.count = sum(segment.count for segment in segments)
        pointers = faiss.InvertedListsPtrVector()
        for segment in segments:
            pointers.push_back(segment.lists)
        self._stack = faiss.VStackInvertedLists(len(segments), pointers.data())
        self._quantizer = faiss.IndexFlatIP(self._width)  # never asked: lists are chosen by the caller
        self._index = _index_of(self._quantizer, centroids, self.count, residual=residual)
        self._index.replace_invlists(self._stack, False)
        self._unfiltered = _parameters(None)

    def search(
        self, query: Matrix, count: int, lists: Rows, nearness: Matrix, allowed: RowFilter | None
    ) -> tuple[Rows, Matrix]:
        """The best `count` ids in the given lists by approximate score, best first; fewer where there are fewer.

        `nearness` is the query's inner product with each list's centre, zero where codes are whole vectors.
        """
        ids, scores = np.empty(count, np.int64), np.empty(count, np.float32)
        use_one_thread()
        self._index.search_preassigned_c(
            1,
            faiss.swig_ptr(query),
            count,
            faiss.swig_ptr(lists),
            faiss.swig_ptr(nearness),
            faiss.swig_ptr(scores),
            faiss.swig_ptr(ids),
            False,
            (self._unfiltered if allowed is None else allowed.parameters)(len(lists)),
            None,
        )
        found = ids >= 0
        return (ids, scores) if found.all() else (ids[found], scores[found])


def block_bytes_of(subquantizers: int) -> int:
    """Bytes of one block of 32 rows: half a byte a sub-quantiser, of which FAISS stores an even number."""
    return BLOCK_ROWS * ((subquantizers + 1) // 2)


def packed_bytes(sizes: Rows, subquantizers: int) -> int:
    return int(((sizes + BLOCK_ROWS - 1) // BLOCK_ROWS).sum()) * block_bytes_of(subquantizers)


def _blocks(rows: int) -> int:
    return (rows + BLOCK_ROWS - 1) // BLOCK_ROWS


def _index_of(quantizer: object, centroids: Matrix, lists: int, *, residual: bool) -> Any:
    count, _, share = centroids.shape
    index = faiss.IndexIVFPQFastScan(quantizer, count * share, lists, count, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = residual
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids, dtype=np.float32).ravel(), index.pq.centroids)
    index.is_trained = True
    return index
