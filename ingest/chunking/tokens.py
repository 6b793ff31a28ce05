"""Counts tokens and says where each begins; the only importer of a tokenizer.

The tables of both encodings ship with the package and are checked by hash: nothing here opens a connection.
Special tokens are ordinary text: a document that quotes `<|endoftext|>` is a document like any other.

Text is encoded in pieces that end at seams, so memory is bounded by the piece, and the tokens are those of
the whole text. Only in a stretch of more than PIECE_CHARACTERS without any seam (one endless word) is a cut
forced, and there the count may differ from the whole's by a few tokens a cut; a chunk's own count never does.
"""

import base64
import hashlib
import lzma
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
import tiktoken
from numpy.typing import NDArray

from ingest.chunking.seams import PIECE_CHARACTERS, pieces, seam_before, seam_from
from ingest.errors import DocumentTooLarge

SHORT = 256  # characters; below, making Python integers costs less than making an array

EncodingName = Literal["cl100k_base", "o200k_base"]


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """What an encoding is: its table by hash, and the pattern that splits text before bytes are merged."""

    sha256: str
    pattern: str
    end_of_text: int


CL100K_PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    )
)
O200K_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
ENCODINGS: dict[EncodingName, EncodingSpec] = {
    "cl100k_base": EncodingSpec(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7", CL100K_PATTERN, 100_257
    ),
    "o200k_base": EncodingSpec(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d", O200K_PATTERN, 199_999
    ),
}


class TokenTableDamaged(RuntimeError):
    """The installation is broken: the table beside this module is not the genuine one."""


class Tokenizer:
    """One encoding, loaded. Costs 0.15 s (o200k: 0.4 s) to open: open once per process, share between threads."""

    def __init__(self, name: EncodingName = "cl100k_base", *, piece_characters: int = PIECE_CHARACTERS) -> None:
        spec = ENCODINGS[name]
        ranks = _read_table(name, spec.sha256)
        self.name = name
        self._piece_characters = piece_characters
        self._encoding = tiktoken.Encoding(
            name, pat_str=spec.pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": spec.end_of_text}
        )
        self._bytes_of = np.zeros(max(ranks.values()) + 1, dtype=np.uint8)  # no token is longer than 128 bytes
        self._bytes_of[np.fromiter(ranks.values(), np.int64, len(ranks))] = [len(token) for token in ranks]

    def count(self, text: str, *, most: int | None = None) -> int:
        """Tokens of `text`. With `most`, counting stops soon after so many, and the answer is only known to be more."""
        total = 0
        for start, end, _ in pieces(text, self._piece_characters):
            total += len(self._encode(_without_surrogates(text[start:end])))
            if most is not None and total > most:
                break
        return total

    def count_short(self, text: str) -> int:
        """The same for a word or a chunk, in one piece, and quicker where there is little to count."""
        text = _without_surrogates(text)
        return len(self._encoding.encode_ordinary(text)) if len(text) < SHORT else len(self._encode(text))

    def tokenize(self, text: str, *, most: int | None = None) -> "Tokens":
        """Where every token begins. Raises DocumentTooLarge after `most` tokens, before reading the rest."""
        starts: list[NDArray[np.int32]] = []
        whole: list[NDArray[np.bool_]] = []
        forced: list[int] = []
        total = 0
        for start, end, was_forced in pieces(text, self._piece_characters):
            piece_starts, piece_whole = self._locate(_without_surrogates(text[start:end]))
            piece_starts += start
            starts.append(piece_starts)
            whole.append(piece_whole)
            if was_forced:
                forced.append(end)
            total += len(piece_starts)
            if most is not None and total > most:
                raise DocumentTooLarge(f"The file holds more than {most:,} tokens of text, the most allowed.")
        starts.append(np.array([len(text)], dtype=np.int32))
        whole.append(np.array([True]))
        return Tokens(text, np.concatenate(starts, dtype=np.int64), np.concatenate(whole), tuple(forced), self)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, as clients of the embeddings API may send it. Raises ValueError for an unknown id."""
        unknown = next((one for one in ids if not 0 <= one < len(self._bytes_of) or not self._bytes_of[one]), None)
        if unknown is not None:
            raise ValueError(f"{unknown} is no token of {self.name}")
        return self._encoding.decode(ids)

    def _encode(self, text: str) -> NDArray[np.uint32]:
        # `encode_to_numpy` makes no Python integers: quicker than `encode_ordinary`, and the same tokens.
        ids: NDArray[np.uint32] = self._encoding.encode_to_numpy(text, disallowed_special=())
        return ids

    def _locate(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """`Tokens.starts` and `Tokens.whole` of one piece."""
        lengths = self._bytes_of[self._encode(text)]
        byte_starts = np.cumsum(lengths, dtype=np.int32)
        byte_starts -= lengths
        if text.isascii():
            return byte_starts, np.ones(len(byte_starts), dtype=np.bool_)
        first_bytes = (np.frombuffer(text.encode(), dtype=np.uint8) & 0xC0) != 0x80
        whole = first_bytes[byte_starts]
        starts = np.cumsum(first_bytes, dtype=np.int32)[byte_starts]
        starts -= whole
        return starts, whole


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A text's tokens, as places. Token i begins at character `starts[i]`; the last entry is the text's end.

    A token may hold only part of a character. Where one begins inside a character, `whole` is false and
    `starts` names the character after it, so that no cut at a token's start can ever split a character.
    """

    text: str
    starts: NDArray[np.int64]
    whole: NDArray[np.bool_]
    forced: tuple[int, ...]  # where a piece had to end without a seam
    tokenizer: Tokenizer

    def __len__(self) -> int:
        return len(self.starts) - 1

    def count(self, start: int, end: int) -> int:
        """Tokens of `text[start:end]` taken by itself: exactly what a recount would give.

        A slice that begins or ends inside a word has other tokens there than the text has. Between its first
        and last seam it has the same ones, so only its two ends are encoded again.
        """
        first = start if start == 0 else seam_from(self.text, start, end)
        if first is None or bisect_left(self.forced, end) > bisect_right(self.forced, start):
            return self.tokenizer.count_short(self.text[start:end])
        last = end if end == len(self.text) else seam_before(self.text, first, end)
        if last is None:
            return self.tokenizer.count_short(self.text[start:end])
        # Of tokens with the same start the last is whole, and a token begins at every seam.
        count = int(self.starts.searchsorted(last, "right") - self.starts.searchsorted(first, "right"))
        if start < first:
            count += self.tokenizer.count_short(self.text[start:first])
        if last < end:
            count += self.tokenizer.count_short(self.text[last:end])
        return count


def _read_table(name: EncodingName, sha256: str) -> dict[bytes, int]:
    packed = resources.files("ingest.chunking").joinpath(f"{name}.tiktoken.xz").read_bytes()
    table = lzma.decompress(packed)
    found = hashlib.sha256(table).hexdigest()
    if found != sha256:
        raise TokenTableDamaged(f"{name}.tiktoken.xz unpacks to sha256 {found}, expected {sha256}")
    words = table.split()  # token in base64, rank, token in base64, rank, …
    return dict(zip(map(base64.b64decode, words[::2]), map(int, words[1::2]), strict=True))


def _without_surrogates(text: str) -> str:
    """The same text, as long in characters, with U+FFFD for lone surrogates, which no encoding can express."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
