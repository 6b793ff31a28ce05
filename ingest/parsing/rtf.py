"""RTF -> Document: paragraphs, headings by outline level, tables row by row.

RTF is a stream of control words in nested groups. Groups that hold no text of the body (fonts, styles, pictures,
headers) are passed over whole; bytes above 127 are in the code page of the document or of the font in use.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, EmptyDocument, HostileDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.limits import Limits, Source

MEDIA_TYPE: Final = "application/rtf"
_TOKEN: Final = re.compile(
    rb"([^\\{}\r\n]+)|[\r\n]+|\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|([{}])|\\([^a-z])", re.IGNORECASE
)
_PASSED_OVER: Final = frozenset(
    "fonttbl colortbl stylesheet pict object header headerl headerr headerf footer footerl footerr footerf themedata "
    "colorschememapping datastore latentstyles listtable listoverridetable rsidtbl generator xmlnstbl fldinst mmathpr "
    "filetbl revtbl ftnsep ftnsepc bkmkstart bkmkend nonshppict shpinst operator company creatim revtim printim buptim "
    "author doccomm keywords subject comment category manager hlinkbase".split()
)
_CHARACTERS: Final = {
    "tab": "\t", "line": "\n", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emdash": "—",
    "endash": "–", "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " ", "zwj": "\u200d", "zwnj": "\u200c",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\u00a0", b"_": "-", b"-": "", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n"}
_CODE_PAGES: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "cp936", 136: "cp950", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250",
}  # fmt: skip


def parse_rtf(source: Source, limits: Limits) -> Document:
    reader = _Reader(Assembly(limits), limits)
    reader.read(source)
    if not reader.has_ended:
        reader.assembly.warnings.append("The RTF is cut off: what stood after its last complete group is missing.")
    try:
        return reader.assembly.finish(MEDIA_TYPE, title=reader.title)
    except EmptyDocument as error:
        if not reader.has_ended:
            raise DamagedDocument("The RTF is cut off before any text.") from error
        raise EmptyDocument("The RTF document holds no text.") from error


@dataclass(frozen=True, slots=True)
class _Group:
    """What a group inherits, and gives back at its end."""

    is_silent: bool = False
    is_title: bool = False
    is_fonts: bool = False
    encoding: str = ""  # of the font in use; "" for the document's
    fallback_length: int = 1  # characters to pass over after \u, for readers that know no Unicode


class _Reader:
    def __init__(self, assembly: Assembly, limits: Limits) -> None:
        self.assembly = assembly
        self.title = ""
        self.has_ended = False
        self._limits = limits
        self._group = _Group()
        self._outer: list[_Group] = []
        self._fonts: dict[int, str] = {}
        self._font_defined = 0
        self._document_encoding = "cp1252"
        self._bytes = b""  # of the text being collected, not yet decoded
        self._parts: list[str] = []
        self._cells: list[str] = []
        self._to_pass = 0
        self._outline_level = 0
        self._is_item = False
        self._header = ""

    def read(self, source: Source) -> None:
        at = 0
        while not self.has_ended and (found := _TOKEN.match(source, at)):
            at = found.end()
            text, word, number, byte, brace, symbol = found.groups()
            if text:
                self._add_bytes(text)
            elif word:
                value = int(number) if number else None
                if word == b"bin" and value and value > 0:
                    at += value
                else:
                    self._control(word.decode("ascii").lower(), value)
            elif byte:
                self._add_bytes(bytes([int(byte, 16)]))
            elif brace:
                self._open_group() if brace == b"{" else self._close_group()
            elif symbol == b"*":
                self._group = replace(self._group, is_silent=True)
            elif symbol:
                self._add_text(_SYMBOLS.get(symbol, ""))
        self._end_paragraph()

    def _open_group(self) -> None:
        self._decode()
        if len(self._outer) >= self._limits.nesting:
            raise HostileDocument(f"The RTF nests its groups more than {self._limits.nesting} levels deep.")
        self._outer.append(self._group)

    def _close_group(self) -> None:
        self._decode()
        if self._group.is_title and not (self._outer and self._outer[-1].is_title):
            self.title = "".join(self._parts).strip()
            self._parts.clear()
        if self._outer:
            self._group = self._outer.pop()
        self.has_ended = not self._outer

    def _control(self, word: str, number: int | None) -> None:
        if word in _PASSED_OVER:
            self._group = replace(self._group, is_silent=True, is_fonts=word == "fonttbl")
        elif word == "title" and not self._group.is_silent:
            self._decode()
            self._parts.clear()
            self._group = replace(self._group, is_title=True)
        elif word in ("par", "sect", "page", "cell", "nestcell", "row", "nestrow"):
            if not self._group.is_silent:
                self._end(word)
        elif word == "u" and number is not None:
            self._add_text(chr(number % 0x10000))
            self._to_pass = self._group.fallback_length
        elif word in _CHARACTERS:
            self._add_text(_CHARACTERS[word])
        else:
            self._property(word, number)

    def _property(self, word: str, number: int | None) -> None:
        if word == "uc":
            self._group = replace(self._group, fallback_length=min(max(number or 0, 0), 16))
        elif word == "ansicpg":
            self._document_encoding = _known(f"cp{number}")
        elif word in ("mac", "pc"):
            self._document_encoding = "mac_roman" if word == "mac" else "cp437"
        elif word == "f" and number is not None:
            self._decode()
            self._font_defined = number
            if not self._group.is_fonts:
                self._group = replace(self._group, encoding=self._fonts.get(number, ""))
        elif word == "fcharset" and self._group.is_fonts and number:
            self._fonts[self._font_defined] = _CODE_PAGES.get(number, "")
        elif word == "pard":
            self._outline_level, self._is_item = 0, False
        elif word == "outlinelevel" and number is not None:
            self._outline_level = number + 1 if 0 <= number < 9 else 0
        elif word in ("listtext", "pntext"):
            self._is_item = True
        elif word == "trowd" and not self._cells:
            self._header = self._header or ""

    def _add_bytes(self, data: bytes) -> None:
        if self._to_pass:
            passed = min(self._to_pass, len(data))
            self._to_pass -= passed
            data = data[passed:]
        if not self._group.is_silent:
            self._bytes += data

    def _add_text(self, text: str) -> None:
        if not self._group.is_silent:
            self._decode()
            self._parts.append(text)

    def _decode(self) -> None:
        if self._bytes:
            self._parts.append(self._bytes.decode(self._group.encoding or self._document_encoding, "replace"))
            self._bytes = b""

    def _end(self, word: str) -> None:
        self._decode()
        if word in ("cell", "nestcell"):
            self._cells.append(self._taken())
        elif word in ("row", "nestrow"):
            cells, self._cells = self._cells, []
            self.assembly.add_row(cells, table_header=self._header)
            self._header = self._header or " | ".join(cells)
        else:
            self._end_paragraph()

    def _end_paragraph(self) -> None:
        self._decode()
        if self._cells:  # a paragraph inside a cell
            self._parts.append("\n")
            return
        text = self._taken()
        if not text.strip():
            return
        self._header = ""
        if self._outline_level and len(text) < 300:
            self.assembly.add(text, BlockKind.HEADING, level=self._outline_level)
        elif self._is_item:
            self.assembly.add(text.replace("\t", " ", 1), BlockKind.LIST_ITEM, level=1)
        else:
            self.assembly.add(text)

    def _taken(self) -> str:
        """The text collected so far; halves of characters beyond the first plane are joined."""
        text = "".join(self._parts)
        self._parts.clear()
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _known(encoding: str) -> str:
    try:
        b"".decode(encoding)
    except LookupError:
        return "cp1252"
    return encoding
