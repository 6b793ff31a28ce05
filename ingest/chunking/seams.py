"""Seams: places where text can be cut without changing a single token.

Both encodings split text by a pattern before they merge bytes, and the pattern never looks back. Where a
match must end whatever follows, and another must begin whatever went before, the tokens of the whole are
the tokens of the two halves. Three kinds of such places are common enough to be found nearly everywhere:

- before a space, after anything but white space;
- after a line feed, before a letter or digit;
- before these punctuation marks, after a letter or digit. (Never before an apostrophe: `'s` is one match.)
"""

import re
from collections.abc import Iterator

SEAM = re.compile(r"(?<=\S)(?= )|(?<=\n)(?=[^\W_])|(?<=[^\W_])(?=[,.;:!?)\]。，、；：！？])")

PIECE_CHARACTERS = 65_536  # encoded at once; a longer stretch without a seam is cut by force
REACHES = (24, 256, 4_096)  # characters looked back before the whole range is: most seams are near


def seam_from(text: str, start: int, end: int) -> int | None:
    """The first seam in `start..end`."""
    found = SEAM.search(text, start, end + 1)
    return found.start() if found and found.start() <= end else None


def seam_before(text: str, start: int, end: int) -> int | None:
    """The last seam in `start..end`."""
    if SEAM.match(text, end):
        return end
    upper = end
    for reach in (*REACHES, end - start):
        lower = max(start, end - reach)
        last = None
        for found in SEAM.finditer(text, lower, upper + 1):  # one further: the pattern looks at what follows
            if found.start() <= upper:
                last = found.start()
        if last is not None or lower == start:
            return last
        upper = lower
    return None


def pieces(text: str, most: int = PIECE_CHARACTERS) -> Iterator[tuple[int, int, bool]]:
    """Spans that cover the text, and whether the cut at the end of each was forced.

    Any two neighbours together hold more than `most` characters, so the work stays linear whatever the text.
    """
    start, length = 0, len(text)
    while length - start > most:
        seam = seam_before(text, start + 1, start + most)
        end = start + most if seam is None else seam
        yield start, end, seam is None
        start = end
    yield start, length, False
