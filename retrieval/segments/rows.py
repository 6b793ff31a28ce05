"""A segment's rows on their way in and on their way out.

Positions are characters of the file's parsed text. A document is one ingestion of one file, named by its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class StoredChunk(NamedTuple):
    """One row's words and where they stand: all that is needed to show it, or to embed it anew."""

    document: int
    ordinal: int  # within the document
    start: int
    end: int
    text: str
    tokens: int
    place: int | None = None  # page, slide or sheet, from 1
    title: str = ""
    heading_path: tuple[str, ...] = ()
    table_header: str = ""


@dataclass(frozen=True, slots=True)
class NewRows:
    """What a segment is written from: `vectors[i]` is of `chunks[i]`, whose words for the keyword side are `words[i]`.

    A document's chunks lie together. `words` are the chunk's text with its title and headings in front.
    """

    chunks: Sequence[StoredChunk]
    words: Sequence[str]
    vectors: Vectors  # C-ordered, unit length

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if len(shape) != 2 or not shape[0] == len(self.chunks) == len(self.words):
            raise ValueError(f"{len(self.chunks)} chunks, {len(self.words)} texts of words, vectors of shape {shape}")
        if not len(self.chunks):
            raise ValueError("a segment needs rows")
        if self.vectors.dtype != np.float32 or not self.vectors.flags.c_contiguous:
            raise ValueError(f"vectors must be C-ordered float32, not {self.vectors.dtype}")
