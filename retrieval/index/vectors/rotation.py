"""Turning vectors before they are coded, so that each sub-quantiser has its share in telling neighbours apart.

Pure numpy. What separates neighbours is the spread around the nearest of some centres, not the spread of the
whole store; its main directions are dealt out so that each group of dimensions holds as much as any other.
"""

from typing import Final

import numpy as np

from retrieval.index.vectors.kernels import Matrix, nearest, train_centres

CENTRES: Final = 128
WIDEST: Final = 1_024  # beyond, turning every query costs more than the candidates it saves


def turn_for(sample: Matrix, groups: int, share: int, seed: int) -> Matrix | None:
    """Rows of an orthogonal turn, `groups` times `share` of them, zero beyond the width; None if not worth having."""
    width = sample.shape[1]
    if not 2 * share <= width <= WIDEST or len(sample) < max(width, 2 * CENTRES):
        return None
    centres = train_centres(sample, CENTRES, seed)
    around = (sample - centres[nearest(centres, sample)]).astype(np.float64)
    strengths, directions = np.linalg.eigh(around.T @ around / len(around))
    turn = np.zeros((groups * share, width), np.float32)
    for place, direction in enumerate(_dealt(strengths, groups, share)):
        if direction is not None:
            turn[place] = directions[:, direction]
    return turn


def _dealt(strengths: np.ndarray[tuple[int], np.dtype[np.float64]], groups: int, share: int) -> list[int | None]:
    """Which direction stands at each place: the strongest first, each to the group with the least so far."""
    logs = np.log(np.maximum(strengths, strengths.max() * 1e-6 + 1e-30))
    logs -= logs.min() - 1e-3
    hands: list[list[int]] = [[] for _ in range(groups)]
    held = np.zeros(groups)
    for direction in np.argsort(-strengths).tolist():
        group = int(np.argmin(held))
        hands[group].append(direction)
        held[group] = held[group] + logs[direction] if len(hands[group]) < share else np.inf
    return [place for hand in hands for place in [*hand, *[None] * (share - len(hand))]]
