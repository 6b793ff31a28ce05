"""The vector side of search: exact scans, 4-bit codes, masks. Plain arrays in, plain arrays out."""

from retrieval.index.vectors.calibration import CODED_FROM, TARGET, StoreIndex, calibrate, index_store
from retrieval.index.vectors.codebook import Codebook, load_codebook, train_codebook
from retrieval.index.vectors.codes import SPLIT_FROM, SegmentCodes, encode_segment, load_codes
from retrieval.index.vectors.kernels import Rows, use_one_thread
from retrieval.index.vectors.placed import SMALL_ROWS, SegmentVectors
from retrieval.index.vectors.selection import CheckRows, Selection
from retrieval.index.vectors.side import Effort, VectorHits, VectorSide

__all__ = [
    "CODED_FROM",
    "SMALL_ROWS",
    "SPLIT_FROM",
    "TARGET",
    "CheckRows",
    "Codebook",
    "Effort",
    "Rows",
    "SegmentCodes",
    "SegmentVectors",
    "Selection",
    "StoreIndex",
    "VectorHits",
    "VectorSide",
    "calibrate",
    "encode_segment",
    "index_store",
    "load_codebook",
    "load_codes",
    "train_codebook",
    "use_one_thread",
]
