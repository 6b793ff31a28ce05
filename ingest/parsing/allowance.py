"""Allowance: refuse a text that cannot fit the token limit, long before anyone counts its tokens.

The exact count is the chunker's. This is a lower bound that costs a nanosecond a character, so that half a
gigabyte of words is refused after some thirty megabytes. It never refuses a text within the limit, with one
exception that is said in the error: more than `CHARACTERS_PER_TOKEN` characters a token.
"""

from typing import Self

from ingest.errors import DocumentTooLarge
from ingest.parsing.limits import Limits

CHARACTERS_PER_TOKEN = 16  # prose has 4 to 5, source code 3, tables padded with spaces up to 10
_NON_ASCII_BYTES_PER_TOKEN = 48  # no entry of cl100k's table has more
_DIGITS_PER_TOKEN = 3  # cl100k splits numbers after every third digit


def _byte_classes() -> bytes:
    """ASCII letters -> a, digits -> 0, line feeds stay, all other ASCII -> space, the rest -> x."""
    classes = bytearray(b" " * 128 + b"x" * 128)
    for byte in range(128):
        if chr(byte).isalpha():
            classes[byte] = ord("a")
        elif chr(byte).isdigit():
            classes[byte] = ord("0")
    classes[ord("\n")] = ord("\n")
    return bytes(classes)


_CLASSES = _byte_classes()
_LINE_CLASSES = bytes(ord("\n") if byte == ord("\n") else ord("x") for byte in range(256))
_BLANKS = b" \t\v\f\r"


class CharacterAllowance:
    """Counts the characters read of one document. Give it every piece once, in any order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._characters_left = limits.tokens * CHARACTERS_PER_TOKEN

    def anew(self) -> Self:
        """For reading the same document a second time."""
        return type(self)(self._limits)

    def take(self, piece: str) -> None:
        self._characters_left -= len(piece)
        if self._characters_left < 0:
            most = self._limits.tokens * CHARACTERS_PER_TOKEN
            raise DocumentTooLarge(
                f"The text is longer than {most:,} characters, the most that is read from one file of up to "
                f"{self._limits.tokens:,} tokens. Split it into several files."
            )


class TextAllowance(CharacterAllowance):
    """Counts what surely begins a token as well."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._words_and_numbers = 0
        self._lines = 0
        self._non_ascii = 0

    @property
    def least_tokens(self) -> int:
        """At most the true count: each kind of piece below begins a token of its own."""
        return max(self._words_and_numbers, self._lines, self._non_ascii // _NON_ASCII_BYTES_PER_TOKEN)

    def take(self, piece: str) -> None:
        super().take(piece)
        data = piece.encode("utf-8", "surrogatepass")
        classes = data.translate(_CLASSES)
        # A letter after an ASCII character that is none starts a token; a tokenizer never joins the two sides.
        words = classes.count(b" a") + classes.count(b"\na") + classes.count(b"0a")
        self._words_and_numbers += words + classes.count(b"0") // _DIGITS_PER_TOKEN
        self._lines += _filled_lines(data)
        self._non_ascii += 0 if piece.isascii() else classes.count(b"x")
        if self.least_tokens > self._limits.tokens:
            raise DocumentTooLarge(
                f"The text has more than {self._limits.tokens:,} tokens, the most that one file may have. "
                "Split it into several files."
            )


def _filled_lines(data: bytes) -> int:
    """Line feeds directly followed by something else, spaces aside: no token goes on across one."""
    return data.translate(_LINE_CLASSES, _BLANKS).count(b"\nx")
