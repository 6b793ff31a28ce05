"""Where a cut would split what a reader takes for one character.

A code point is the least that a span can hold, but a letter with its accent, a family of emoji or a flag is
several. Only the neighbours of a place are looked at, so the question costs the same in any text.
"""

import unicodedata

ZERO_WIDTH_JOINER = "\u200d"
REGIONALS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
MOST_FLAGS = 512  # regional indicators counted back; in a longer run of flags a cut may split one


def splits_a_character(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < "\u0300":  # Latin, digits and punctuation always begin one, except the second half of a line end
        return (after == "\n" and before == "\r") or before == ZERO_WIDTH_JOINER
    return (
        ZERO_WIDTH_JOINER in (before, after)
        or unicodedata.category(after)[0] == "M"  # accents, vowel signs, variation selectors
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= after <= "\U000e007f"  # tags that spell a region's flag
        or (after in REGIONALS and _regionals_before(text, at) % 2 == 1)
    )


def _regionals_before(text: str, at: int) -> int:
    """Regional indicators directly before a place: two make one flag."""
    near = text[max(0, at - MOST_FLAGS) : at]
    return len(near) - len(near.rstrip(REGIONALS))
