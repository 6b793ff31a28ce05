"""Index files of version 1, kept for ever: this release reads them, and so does a reader made from the document."""

import struct
from pathlib import Path

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray

from retrieval.index.vectors import Effort, SegmentVectors, VectorSide, load_codebook, load_codes
from tests.support.rows import unit_vectors

KEPT = Path(__file__).parent
ROWS, WIDTH = 70, 10
ORDER = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]

Matrix = NDArray[np.float32]


def vectors() -> Matrix:
    """Computed, so that no release of a random generator can change them."""
    angles = np.outer(np.arange(1, ROWS + 1), np.arange(1, WIDTH + 1)) * 0.7
    rows = np.sin(angles).astype(np.float32)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def read_codebook(data: bytes) -> tuple[Matrix, Matrix | None]:
    assert data[:8] == b"CARRELB1"
    assert struct.unpack("<Q", data[8:16])[0] == xxhash.xxh3_64_intdigest(data[16:])
    _, width, count, share, turned = struct.unpack("<5I", data[16:36])
    numbers = np.frombuffer(data, "<f4", offset=40)
    centroids = numbers[: count * 16 * share].reshape(count, 16, share)
    return centroids, numbers[count * 16 * share :].reshape(count * share, width) if turned else None


def read_codes(data: bytes, centroids: Matrix) -> Matrix:
    """The vectors that the codes stand for, by row."""
    assert data[:8] == b"CARRELC1"
    assert struct.unpack("<Q", data[8:16])[0] == xxhash.xxh3_64_intdigest(data[16:])
    _, rows, width, count, lists = struct.unpack("<5I", data[16:36])
    sizes = np.frombuffer(data, "<u4", lists, 40)
    at, order = 40 + 4 * lists, np.arange(rows)
    centres = np.zeros((1, count * centroids.shape[2]), np.float32)
    if lists > 1:
        order = np.frombuffer(data, "<u4", rows, at)
        centres = np.frombuffer(data, "<f4", lists * width, at + 4 * rows).reshape(lists, width)
        at += 4 * rows + 4 * lists * width
        centroids = np.frombuffer(data, "<f4", 16 * width, at).reshape(count, 16, width // count)
        at += 4 * 16 * width
    guessed = np.zeros((rows, centres.shape[1]), np.float32)
    done = 0
    for number, size in enumerate(sizes.tolist()):
        for start in range(0, size, 32):
            block = np.zeros((32, (count + 1) // 2 * 2), np.uint8)
            for pair in range((count + 1) // 2):
                for group in (0, 1):
                    for place, row in enumerate(ORDER):
                        byte = data[at + 32 * pair + 16 * group + place]
                        block[row, 2 * pair + group], block[row + 16, 2 * pair + group] = byte & 15, byte >> 4
            at += 32 * ((count + 1) // 2)
            for within in range(min(32, size - start)):
                chosen = [centroids[group, block[within, group]] for group in range(count)]
                guessed[order[done]] = centres[number] + np.concatenate(chosen)
                done += 1
    assert at == len(data)
    return guessed


@pytest.mark.parametrize("name", ["flat", "split"])
def test_kept_codes_are_read_by_the_document_alone(name: str) -> None:
    centroids, turn = read_codebook((KEPT / "index-v1.codebook").read_bytes())
    assert turn is not None
    np.testing.assert_allclose(np.linalg.norm(vectors() @ turn.T, axis=1), 1, atol=1e-5)
    guessed = read_codes((KEPT / f"index-v1-{name}.codes").read_bytes(), centroids)
    turned = vectors() @ turn.T
    # A wrong reading of one code would be off by about the length of a vector.
    assert np.mean(np.sum((guessed - turned) ** 2, axis=1)) < 0.2
    assert np.sum(guessed * turned, axis=1).min() > 0.7


@pytest.mark.parametrize("name", ["flat", "split"])
def test_this_release_searches_kept_codes(name: str) -> None:
    codebook = load_codebook((KEPT / "index-v1.codebook").read_bytes())
    codes = load_codes((KEPT / f"index-v1-{name}.codes").read_bytes(), codebook)
    rows = vectors()
    side = VectorSide.empty(WIDTH, codebook, Effort(20)).with_segments([SegmentVectors(rows, codes)])
    everything = side.select([None], by_codes=True)
    for query in unit_vectors(20, WIDTH, 3):
        assert side.search(query, 3, everything).scores[0] == pytest.approx((rows @ query).max(), abs=0.05)
    for number, row in enumerate(rows):
        assert side.search(row, 1, everything).rows[0] == number
