"""Made vectors for benchmarks and tests: the same seed gives the same rows on every machine.

Three kinds. `mixture`: a thousand centres of very unequal weight, intrinsic dimension about 30. `hard`: a flat
spectrum, intrinsic dimension about 60, where neighbours are barely nearer than strangers. `near_duplicates`: a
mixture of which many rows are copies of others, exact or a little changed.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Generator = Callable[[int, int, int], Matrix]

CENTRES: Final = 1_000
_MADE_AT_ONCE: Final = 65_536
_SHAPE_SEED: Final = 20_261_120  # centres and spectra are those of the kind, whatever the seed of the rows


def mixture(rows: int, width: int, seed: int) -> Matrix:
    shape, chance = np.random.default_rng(_SHAPE_SEED + width), np.random.default_rng(seed)
    centres = shape.standard_normal((CENTRES, width), np.float32) / np.float32(np.sqrt(width))
    spread = _decaying(width, 130) @ _rotation(shape, width)
    shared = _unit(shape.standard_normal((1, width), np.float32)) * np.float32(0.35)  # embeddings share a direction
    weights = 1 / np.arange(1, CENTRES + 1) ** 0.9
    weights /= weights.sum()

    def make(count: int) -> Matrix:
        near = centres[chance.choice(CENTRES, count, p=weights)] * np.float32(0.9)
        around = chance.standard_normal((count, width), np.float32) @ spread * np.float32(0.75)
        return _unit(near + around + shared)

    return _in_blocks(make, rows, width)


def hard(rows: int, width: int, seed: int) -> Matrix:
    shape, chance = np.random.default_rng(_SHAPE_SEED - width), np.random.default_rng(seed)
    directions = min(width, 128)
    spread = _rotation(shape, width)[:directions]

    def make(count: int) -> Matrix:
        flat = chance.standard_normal((count, directions), np.float32) @ spread
        return _unit(flat + chance.standard_normal((count, width), np.float32) * np.float32(0.02))

    return _in_blocks(make, rows, width)


def near_duplicates(rows: int, width: int, seed: int) -> Matrix:
    chance = np.random.default_rng(seed + 1_000_003)
    originals = mixture(max(rows // 3, 1), width, seed)

    def make(count: int) -> Matrix:
        chosen = originals[chance.integers(0, len(originals), count)]
        change = chance.choice(np.array([0, 0.02, 0.08, 0.3], np.float32), (count, 1), p=[0.1, 0.3, 0.3, 0.3])
        return _unit(chosen + _unit(chance.standard_normal((count, width), np.float32)) * change)

    return _in_blocks(make, rows, width)


KINDS: Final[dict[str, Generator]] = {"mixture": mixture, "hard": hard, "near-duplicates": near_duplicates}


def queries_for(kind: str, rows: Matrix, count: int, seed: int) -> Matrix:
    """Queries drawn like the rows, and none of them; near duplicates are asked for by something half like one."""
    width = rows.shape[1]
    if kind != "near-duplicates":
        return KINDS[kind](count, width, seed)
    chance = np.random.default_rng(seed)
    chosen = rows[np.sort(chance.choice(len(rows), count, replace=len(rows) < count))]
    return _unit(chosen + _unit(chance.standard_normal((count, width), np.float32)) * np.float32(0.5))


def intrinsic_dimension(rows: Matrix, queries: Matrix, neighbours: int = 100) -> float:
    """Levina and Bickel's estimate, median over queries: how quickly a ball fills as it grows."""
    distances = np.sqrt(np.maximum(2 - 2 * np.sort(queries @ rows.T)[:, : -neighbours - 2 : -1], 1e-9))
    logs = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)
    return float(np.median(1 / np.maximum(logs, 1e-9)))


def _decaying(width: int, half: float) -> Matrix:
    spectrum = 1 / (1 + np.arange(width) / half) ** 2
    return np.diag(spectrum / np.linalg.norm(spectrum)).astype(np.float32)


def _rotation(chance: np.random.Generator, width: int) -> Matrix:
    return np.ascontiguousarray(np.linalg.qr(chance.standard_normal((width, width)))[0], dtype=np.float32)


def _unit(rows: Matrix) -> Matrix:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def _in_blocks(make: Callable[[int], Matrix], rows: int, width: int) -> Matrix:
    made = np.empty((rows, width), np.float32)
    for start in range(0, rows, _MADE_AT_ONCE):
        made[start : start + _MADE_AT_ONCE] = make(min(_MADE_AT_ONCE, rows - start))
    return made
