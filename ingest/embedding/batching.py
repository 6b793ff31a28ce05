"""Texts of different length -> packs of similar length, so that little of what the model computes is padding."""

from collections.abc import Sequence


def packs(lengths: Sequence[int], *, most_tokens: int, most_texts: int) -> list[list[int]]:
    """Indices of `lengths` in packs, longest first: a pack costs its count times its longest text.

    A text longer than `most_tokens` travels alone. Longest first lets threads finish together, for the last
    packs are the cheap ones.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    result = list[list[int]]()
    longest = 0
    for index in order:
        if result and len(result[-1]) < most_texts and (len(result[-1]) + 1) * longest <= most_tokens:
            result[-1].append(index)
        else:
            result.append([index])
            longest = lengths[index]
    return result


def runs(sizes: Sequence[int], *, most_size: int, most_items: int) -> list[range]:
    """Consecutive indices in runs within both bounds; an item over `most_size` travels alone."""
    result = list[range]()
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (total + size > most_size or index - start == most_items):
            result.append(range(start, index))
            start, total = index, 0
        total += size
    if start < len(sizes):
        result.append(range(start, len(sizes)))
    return result
