"""Long text -> windows that a model can read, and many window vectors -> one.

Nothing is left out: windows follow each other without a gap. Where a window ends depends only on the text around its
end, so that chunks which overlap share the windows inside the overlap, and each of those is embedded once.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from ingest.embedding.embedder import Vectors

Spans = Sequence[tuple[int, int]]  # start and end of each token, in characters, in order

# The end of a sentence, clause or line with its white space; scripts without spaces end sentences with a mark alone.
# Possessive, and begun only where a run of marks begins: a megabyte of dots takes linear time.
_BOUNDARY = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+\s++|\n\s*+|(?<![。！？｡．])[。！？｡．]++[」』”’）]*+\s*+|[;:؟۔।॥]\s++"
)
_RANKED_CHARACTERS = 24  # on each side: enough to tell boundaries apart, little enough to lie in both of two chunks


@dataclass(frozen=True, slots=True)
class WindowLimits:
    whole_tokens: int  # a text up to here is read at once
    most_tokens: int  # of a window of a longer text
    calm_tokens: int  # windows end at the boundary that ranks first among all this near to it

    @classmethod
    def of_model(cls, readable_tokens: int) -> "WindowLimits":
        """Windows of about 100 tokens find more in long text than windows as long as small models read (measured)."""
        if readable_tokens <= 512:
            most = max(1, min(readable_tokens, 200))
            return cls(readable_tokens, most, calm_tokens=min(64, most // 3))
        return cls(readable_tokens, readable_tokens, calm_tokens=readable_tokens // 4)


@dataclass(frozen=True, slots=True)
class _Boundary:
    token: int  # the first token after it
    rank: bytes = b""


def split(text: str, spans: Spans, limits: WindowLimits) -> list[str]:
    """Cut `text`, whose tokens are `spans`, into windows; joined, they are the text again."""
    if len(spans) <= limits.whole_tokens:
        return [text]
    boundaries = _boundaries(text, spans)
    cuts, last = list[int](), 0
    for anchor in [*_anchors(boundaries, limits.calm_tokens), _Boundary(len(spans))]:
        cuts += _cuts_between(last, anchor.token, boundaries, text, spans, limits)
        if anchor.token < len(spans):
            cuts.append(anchor.token)
        last = anchor.token
    edges = [0]
    edges += [at for cut in cuts if (at := spans[cut][0]) > 0]
    edges.append(len(text))
    return [text[start:end] for start, end in pairwise(edges) if end > start]


def pool(vectors: Vectors, weights: Sequence[int]) -> Vectors:
    """One unit row for many: each window counts by its tokens."""
    share = np.maximum(np.asarray(weights, dtype=np.float64), 1.0)
    mean = share @ vectors.astype(np.float64)
    length = float(np.sqrt(mean @ mean))
    # Windows that cancel out exactly leave no direction; the first one's is as good as any, and deterministic.
    unit = mean / length if length > 1e-9 else vectors[0]
    return np.ascontiguousarray(unit, dtype=np.float32)


def _boundaries(text: str, spans: Spans) -> list[_Boundary]:
    starts = [start for start, _ in spans]
    found = list[_Boundary]()
    for match in _BOUNDARY.finditer(text):
        at = match.end()
        token = bisect_left(starts, at)
        if 0 < token < len(spans) and (not found or found[-1].token != token):
            around = text[max(0, at - _RANKED_CHARACTERS) : at + _RANKED_CHARACTERS]
            rank = blake2b(around.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found.append(_Boundary(token, rank))
    return found


def _anchors(boundaries: Sequence[_Boundary], calm_tokens: int) -> list[_Boundary]:
    """Boundaries that rank before all others within `calm_tokens`; of equal ranks the first wins."""
    return [
        one
        for index, one in enumerate(boundaries)
        if not _beaten(one, boundaries, range(index - 1, -1, -1), calm_tokens)
        and not _beaten(one, boundaries, range(index + 1, len(boundaries)), calm_tokens)
    ]


def _beaten(one: _Boundary, boundaries: Sequence[_Boundary], others: range, calm_tokens: int) -> bool:
    for index in others:
        other = boundaries[index]
        if abs(other.token - one.token) > calm_tokens:
            return False
        if other.rank < one.rank or (other.rank == one.rank and other.token < one.token):
            return True
    return False


def _cuts_between(
    start: int, end: int, boundaries: Sequence[_Boundary], text: str, spans: Spans, limits: WindowLimits
) -> list[int]:
    """Further cuts inside a stretch that is still too long: first-ranking boundary first, and again on both sides."""
    cuts = list[int]()
    waiting = [(start, end)]
    while waiting:
        low, high = waiting.pop()
        if high - low <= limits.most_tokens:
            continue
        first = bisect_left(boundaries, low + limits.calm_tokens // 2 + 1, key=lambda one: one.token)
        past = bisect_left(boundaries, high - limits.calm_tokens // 2, key=lambda one: one.token)
        if first < past:
            cut = min(boundaries[first:past], key=lambda one: one.rank).token
        else:
            cut = _cut_between_words(low, text, spans, limits.most_tokens)
        cuts.append(cut)
        waiting += [(low, cut), (cut, high)]
    return sorted(cuts)


def _cut_between_words(low: int, text: str, spans: Spans, most_tokens: int) -> int:
    """No sentence ends here: cut after as many whole words as fit, or half-way through what is one endless word."""
    for token in range(low + most_tokens, low + most_tokens // 2, -1):
        if text[spans[token][0] - 1].isspace():
            return token
    return low + max(1, most_tokens // 2)  # half: the rest of a cut word may count more tokens when read by itself
