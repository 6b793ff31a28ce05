"""Words: text -> the terms by which the keyword side finds it. Written and asked through the same door.

Terms are case-folded and lightly stemmed. What has inner structure (snake_case, CamelCase, part numbers, versions,
hyphens) is kept whole as well as split, the whole without its separators, so that `e-mail` finds `email` and
`max_rows` finds `maxRows`. Accents are kept as well as folded. Scripts written without spaces give their characters'
pairs, and ideographs each by itself too. Stop words are kept in the postings and dropped from questions, unless
a question has nothing else.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import xxhash

from retrieval.segments.stemming import stem

_STOP_WORDS = (
    "a about after all also an and any are as at be been but by can could did do does for from had has have he her"
    " his how i if in into is it its may more no not of on or our she should so some such than that the their them"
    " then there these they this to was we were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

MOST_TERM_CHARACTERS = 64  # longer ones (encoded data) are kept whole only: their parts mean nothing

_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af\u3005-\u3007"
_SPACELESS = f"{_IDEOGRAPHS}\u3040-\u30ff\u31f0-\u31ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uaa60-\uaa7f"
# Signs that stand on letters are no word characters to `re`, though they are parts of words.
_MARKS = "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
_LETTER = f"(?:[^\\W{_SPACELESS}]|[{_MARKS}])"
_JOINTS = "[-.'’@\u2010\u2011]"

_ASCII_TOKEN = re.compile(r"[A-Za-z0-9_]+(?:[-.'@][A-Za-z0-9_]+|,[0-9]{3}(?![0-9_A-Za-z]))*(?:\+\+|#)?")
_TOKEN = re.compile(f"[{_SPACELESS}]+|{_LETTER}+(?:{_JOINTS}{_LETTER}+|,[0-9]{{3}}(?!{_LETTER}))*(?:\\+\\+|#)?")
_RUN_WITHOUT_SPACES = re.compile(f"[{_SPACELESS}]+")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_HANGUL = re.compile("[\uac00-\ud7a3]{3,}")

_SPLIT = re.compile(r"[^\w\u0300-\u036f\u0900-\u0dff]+|_+")
_SEAMS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[^0-9\W])|(?<=[^0-9\W])(?=[0-9])")
_CONTRACTION = re.compile(r"['’](s|t|re|ve|ll|d|m)\Z", re.IGNORECASE)
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[^\w]+(?=[0-9])")
_VERSION = re.compile(r"v[0-9]+\.[0-9.]+\Z")
_SEPARATORS = re.compile(r"[-_'’@\u2010\u2011]|(?<![0-9])\.|\.(?![0-9])")
_INVISIBLE = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))


def terms(text: str) -> list[str]:
    """Every term of a text as often as it occurs."""
    return [term for piece in text.split() for term in terms_of(piece)]


def query_terms(text: str) -> list[str]:
    """The distinct terms to look for, in the question's order."""
    found = [(token.lower(), term) for piece in text.split() for token in _tokens(piece) for term in _terms(token)]
    telling = [term for token, term in found if token not in STOP_WORDS]
    return list(dict.fromkeys(telling or [term for _, term in found]))


def terms_of(piece: str) -> tuple[str, ...]:
    """The terms of what stands between two spaces: no term reaches across, so it may be remembered by piece."""
    return tuple(term for token in _tokens(piece) for term in _terms(token))


def hash_term(term: str) -> int:
    """What stands in a segment for the term."""
    return xxhash.xxh3_64_intdigest(term.encode("utf-8", "surrogatepass"))


def _tokens(piece: str) -> list[str]:
    """Without punctuation; in scripts without spaces, characters and pairs of them."""
    if piece.isascii():
        return _ASCII_TOKEN.findall(piece)
    found: list[str] = _TOKEN.findall(unicodedata.normalize("NFKC", piece.translate(_INVISIBLE)))
    if not any(token[0] >= "\u0e00" for token in found):
        return found
    return [part for token in found for part in _without_spaces(token)]


def _terms(token: str) -> tuple[str, ...]:
    if token.isascii() and token.isalpha() and (token.islower() or token.istitle() or token.isupper()):
        return (stem(token.lower()),)
    return tuple(dict.fromkeys(_structured(token)))


@lru_cache(maxsize=1 << 15)  # a memo of a pure function: small appends meet the same words again and again
def hashes_of(piece: str) -> tuple[int, ...]:
    """What stands in a segment for each of `terms_of`."""
    return tuple(map(hash_term, terms_of(piece)))


def _structured(token: str) -> Iterator[str]:
    """Whole, then parts. A part of one letter says nothing, unless it is all there is."""
    token = _CONTRACTION.sub(lambda found: "" if found[1] in "sS" else found[1], token)
    whole = _SEPARATORS.sub("", _BETWEEN_DIGITS.sub(_digit_joint, token)).casefold()
    if whole:
        yield from _with_folded(whole)
    if _VERSION.match(whole):
        yield whole[1:]
    if len(token) > MOST_TERM_CHARACTERS or _is_number(token):
        return
    for part in _SPLIT.split(token):
        for piece in _SEAMS.split(part):
            if len(piece) > 1 or piece.isdecimal():
                yield from _with_folded(piece.casefold())


def _digit_joint(found: re.Match[str]) -> str:
    return "" if found[0] == "," else "."


def _is_number(token: str) -> bool:
    return "," in token and token.replace(",", "").isdecimal()


def _with_folded(word: str) -> Iterator[str]:
    if word.isascii():
        yield stem(word)
        return
    yield word
    if _HANGUL.fullmatch(word):  # particles hang on the word without a space
        yield from (word[at : at + 2] for at in range(len(word) - 1))
        return
    bare = "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")
    if bare != word and (bare.isascii() or "\u0590" <= bare[:1] <= "\u06ff"):
        yield stem(bare)


def _without_spaces(token: str) -> Iterator[str]:
    if not _RUN_WITHOUT_SPACES.match(token):
        yield token
        return
    if len(token) == 1:
        yield token
    for at, char in enumerate(token):
        if len(token) > 1 and _IDEOGRAPH.match(char):
            yield char
        if at + 1 < len(token):
            yield token[at : at + 2]
