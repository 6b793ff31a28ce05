"""Where sentences begin, in any script; pure, and shared with whoever needs windows of whole sentences.

A full stop ends a sentence only before white space, and not after an abbreviation, an initial or a list's
number, nor before a lower-case letter unless the whole text is in lower case. The marks of scripts that write
no spaces end one wherever they stand. Text without any such mark (Thai, logs) has no sentences here: cut it at
its spaces.
"""

import re
import string

STOPS = ".!?…"
STOPS_OF_OTHER_SCRIPTS = "؟۔।॥։።។။"
STOPS_WITHOUT_SPACE = "。！？｡．"
CLOSERS = r"[\"'”’»)\]」』）】》〉]*"  # what was opened before the stop is closed before the next sentence
# White space is optional here and demanded later: a pattern that can fail reads a long run of stops once for each.
# Begun with one sign of a set, for which `re` searches several times as quickly as for a repetition.
SPACED_END = re.compile(rf"[{STOPS}{STOPS_OF_OTHER_SCRIPTS}][{STOPS}{STOPS_OF_OTHER_SCRIPTS}]*{CLOSERS}\s*")
UNSPACED_END = re.compile(rf"[{STOPS_WITHOUT_SPACE}][{STOPS}{STOPS_WITHOUT_SPACE}]*{CLOSERS}\s*")
CASE_SAMPLE = 1_000  # characters
CAPITALS, SMALL = string.ascii_uppercase.encode(), string.ascii_lowercase.encode()
WORD_BEFORE = 16  # characters looked at for an abbreviation
LONGEST_ABBREVIATION = 6
ABBREVIATIONS = frozenset(
    re.findall(
        r"\w+",
        """
        al approx bd bzw ca capt cf co col corp dept dr ed eds eg est etc ex gen gov hon hr ibid ie
        inc jan feb mar apr jun jul aug sep sept oct nov dec jr lt ltd mr mrs ms mt mme mlle op prof
        resp rev sect sen sgt sr sra st str u usw vgl viz vs z
        """,
    )
)
ABBREVIATIONS_BEFORE_NUMBERS = frozenset(
    re.findall(
        r"\w+",
        """
        art ch cie eq eqs fig figs max min no nos nr p para pp ref refs rep sec ser tab vol vols
        """,
    )
)


def has_capitals(text: str) -> bool:
    """Whether a lower-case letter says that a sentence goes on; judged by the beginning."""
    sample = text[:CASE_SAMPLE]
    if sample.isascii():
        letters = sample.encode("ascii")
        capitals, small = (len(letters) - len(letters.translate(None, one)) for one in (CAPITALS, SMALL))
        return capitals * 100 >= small
    return sum(map(str.isupper, sample)) * 100 >= sum(map(str.islower, sample))


def sentence_starts(text: str, start: int = 0, end: int | None = None, *, cased: bool | None = None) -> list[int]:
    """Where each sentence after the first begins in `text[start:end]`: never white space, always after `start`.

    `cased`, if it is known, spares another look at the letters' case.
    """
    end = len(text) if end is None else end
    if cased is None:
        cased = has_capitals(text[start : min(end, start + CASE_SAMPLE)])
    found = [
        match.end()
        for match in SPACED_END.finditer(text, start, end)
        if text[match.end() - 1].isspace()
        and (text[match.start()] != "." or _full_stop_ends(text, match.start(), match.end(), cased))
    ]
    if not text.isascii():
        unspaced = {match.end() for match in UNSPACED_END.finditer(text, start, end)}
        found = sorted(unspaced.union(found))
    while found and found[-1] >= end:
        found.pop()
    return found


def _full_stop_ends(text: str, stop: int, after: int, cased: bool) -> bool:
    following = text[after : after + 1]
    if (cased and following.islower()) or following == ".":
        return False
    words = text[max(0, stop - WORD_BEFORE) : stop].rsplit(None, 1)
    if not words:
        return False
    word = words[-1].lstrip("([{\"'“‘«")
    if "." in word:
        return False  # e.g., U.S., p.m.
    if len(word) > LONGEST_ABBREVIATION:
        return True
    if len(word) == 1 and word.isalpha():
        return not word.isupper()  # an initial
    if word.isdigit() and len(word) <= 3:
        line = stop - len(words[-1])
        return line > 0 and text[line - 1] not in "\n\r"  # the number of a list's item
    word = word.lower()
    return not (word in ABBREVIATIONS or (word in ABBREVIATIONS_BEFORE_NUMBERS and following.isdigit()))
