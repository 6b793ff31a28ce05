"""Light stemming of English: plural, -ed, -ing, -ly and a final e, so that forms of one word meet.

Rather too little than too much: a word of another language, a name or a number loses at most its last letters, the
same in the text and in the question.
"""

import re

_VOWEL = re.compile("[aeiouy]")
_LEAST = 3  # letters that must remain


def stem(word: str) -> str:
    """The stem of a lower-case word; anything but plain letters stays as it is."""
    if len(word) <= _LEAST or not word.isalpha() or not word.isascii():
        return word
    return _without_final_e(_without_suffix(_singular(word)))


def _singular(word: str) -> str:
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def _without_suffix(word: str) -> str:
    for suffix in ("ing", "edly", "ed", "ly"):
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            if len(rest) < _LEAST or not _VOWEL.search(rest):
                return word
            if suffix == "ed" and rest.endswith("i"):
                return f"{rest[:-1]}y"
            if suffix in ("ing", "ed") and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                return rest[:-1]
            return rest
    return word


def _without_final_e(word: str) -> str:
    return word[:-1] if len(word) > _LEAST and word.endswith("e") else word
