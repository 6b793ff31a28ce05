"""PDF pages -> lines of text with their place on the page: the only room that speaks to pdfium.

pdfium is not thread-safe: one document at a time in a process. Everything it is asked for is a number or a string;
no object of it leaves this room. Lines come in the order of the page's content stream, which keeps columns apart.
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter

import numpy as np
import pypdfium2.raw as pdfium

from ingest.errors import DamagedDocument, DocumentTooLarge, EncryptedDocument
from ingest.parsing.limits import Limits, Source
from ingest.parsing.pdf_columns import Span, in_reading_order
from ingest.parsing.pdf_shapes import Line, OutlineEntry, Page

LINE_HYPHEN = "\ufffe"  # pdfium's word for a hyphen that ends a line within a word
BOLD_FONT = ("bold", "black", "heavy", "demi", "cmbx", "sfbx", "-bd", "medi")
MONOSPACED_FONT = ("mono", "courier", "consol", "cmtt", "sftt", "lmtt", "menlo", "typewriter", "inconsol", "fixed")
MOST_OUTLINE_ENTRIES = 20_000
DEEPEST_OUTLINE = 9
LONGEST_STRING_BYTES = 8192


class PdfFile:
    """An opened PDF; a context manager."""

    def __init__(self, source: Source, limits: Limits) -> None:
        # pdfium reads the caller's bytes in place, for as long as the document is open.
        self._bytes = np.frombuffer(source, dtype=np.uint8)
        address = ctypes.c_void_p(self._bytes.ctypes.data)
        self._pdf = pdfium.FPDF_LoadMemDocument64(address, len(source), None)
        if not self._pdf:
            if pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
                raise EncryptedDocument("This PDF is protected by a password. Save it without one and upload it again.")
            raise DamagedDocument("This PDF cannot be opened: it is cut off or damaged. Export it again.")
        self.page_count = pdfium.FPDF_GetPageCount(self._pdf)
        if self.page_count > limits.pages:
            real = pdfium.FPDF_LoadPage(self._pdf, limits.pages)
            if real:
                pdfium.FPDF_ClosePage(real)
            claimed = self.page_count
            self.close()
            if real:
                raise DocumentTooLarge(f"This PDF has {claimed:,} pages; at most {limits.pages:,} are read.")
            raise DamagedDocument(f"This PDF claims to have {claimed:,} pages, and has not. Export it again.")

    def __enter__(self) -> "PdfFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pdfium.FPDF_CloseDocument(self._pdf)
        del self._bytes

    @property
    def title(self) -> str:
        return _utf_16(lambda buffer, size: pdfium.FPDF_GetMetaText(self._pdf, b"Title", buffer, size))

    def pages(self) -> Iterator[Page]:
        reader = LineReader()
        for index in range(self.page_count):
            page = pdfium.FPDF_LoadPage(self._pdf, index)
            if not page:
                yield Page(index + 1, 0.0, [], readable=False)
                continue
            try:
                yield Page(index + 1, pdfium.FPDF_GetPageHeightF(page), reader.read(page, index + 1))
            finally:
                pdfium.FPDF_ClosePage(page)

    def holds_pictures(self) -> bool:
        """Whether one of the first pages shows an image: what tells a scan from an empty page."""
        for index in range(min(self.page_count, 5)):
            page = pdfium.FPDF_LoadPage(self._pdf, index)
            if not page:
                continue
            try:
                for at in range(min(pdfium.FPDFPage_CountObjects(page), 1000)):
                    kind = pdfium.FPDFPageObj_GetType(pdfium.FPDFPage_GetObject(page, at))
                    if kind in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM):
                        return True
            finally:
                pdfium.FPDF_ClosePage(page)
        return False

    def outline(self) -> list[OutlineEntry]:
        """Bookmarks in order. An outline may bite its own tail, so every entry is visited once."""
        entries: list[OutlineEntry] = []
        seen: set[int] = set()
        pending = [(pdfium.FPDFBookmark_GetFirstChild(self._pdf, None), 1)]
        while pending and len(entries) < MOST_OUTLINE_ENTRIES:
            bookmark, level = pending.pop()
            address = ctypes.cast(bookmark, ctypes.c_void_p).value
            if address is None or address in seen:
                continue
            seen.add(address)
            page = self._page_of(bookmark)
            if page is not None:
                entries.append(OutlineEntry(_bookmark_title(bookmark), level, page))
            pending.append((pdfium.FPDFBookmark_GetNextSibling(self._pdf, bookmark), level))
            if level < DEEPEST_OUTLINE:
                pending.append((pdfium.FPDFBookmark_GetFirstChild(self._pdf, bookmark), level + 1))
        return entries

    def _page_of(self, bookmark: object) -> int | None:
        destination = pdfium.FPDFBookmark_GetDest(self._pdf, bookmark)
        if not destination and (action := pdfium.FPDFBookmark_GetAction(bookmark)):
            destination = pdfium.FPDFAction_GetDest(self._pdf, action)
        if not destination:
            return None
        index = int(pdfium.FPDFDest_GetDestPageIndex(self._pdf, destination))
        return index + 1 if index >= 0 else None


class LineReader:
    """Reads one page after the other into the same few C variables: calls are what costs here."""

    def __init__(self) -> None:
        self._x = ctypes.c_double()
        self._y = ctypes.c_double()
        self._matrix = pdfium.FS_MATRIX()
        self._box = pdfium.FS_RECTF()
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()
        self._fonts: dict[bytes, tuple[bool, bool]] = {}

    def read(self, page: object, number: int) -> list[Line]:
        text_page = pdfium.FPDFText_LoadPage(page)
        if not text_page:
            return []
        try:
            return self._lines(text_page, number)
        finally:
            pdfium.FPDFText_ClosePage(text_page)

    def _lines(self, text_page: object, number: int) -> list[Line]:
        count = pdfium.FPDFText_CountChars(text_page)
        if count <= 0:
            return []
        # The text may leave out characters of the list, or hold two units for one: room for both.
        units = (ctypes.c_ushort * (2 * count + 2))()
        written = pdfium.FPDFText_GetText(text_page, 0, count, units)
        text = bytes(memoryview(units)[: max(0, written - 1)]).decode("utf-16-le", "ignore")
        shifted = written - 1 != count
        units_of = len if len(text) == written - 1 else _utf_16_units  # pdfium counts in UTF-16
        lines: list[Line] = []
        spans: list[Span] = []
        at = 0
        for piece in text.replace(LINE_HYPHEN, LINE_HYPHEN + "\n").split("\n"):
            hyphenated = piece.endswith(LINE_HYPHEN)
            words = piece.rstrip(LINE_HYPHEN).replace("\r", "")
            if words and not words.isspace():
                first = at + len(piece) - len(piece.lstrip())
                last = at + units_of(piece.rstrip(LINE_HYPHEN + "\r ")) - 1
                if shifted:
                    first, last = (
                        max(0, pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, i)) for i in (first, last)
                    )
                lines.append(self._line(text_page, words.strip(), number, first, last, hyphenated=hyphenated))
                spans.append(Span(first, last))
            at += units_of(piece) + (0 if hyphenated else 1)
        return in_reading_order(lines, spans, partial(self._is_drawn, text_page), partial(self._boxes, text_page))

    def _is_drawn(self, text_page: object, x: float, y: float) -> bool:
        return bool(pdfium.FPDFText_GetCharIndexAtPos(text_page, x, y, 3.0, 3.0) >= 0)

    def _boxes(self, text_page: object, first: int, last: int) -> list[tuple[float, float]]:
        box = self._box
        places = []
        for at in range(first, last + 1):
            pdfium.FPDFText_GetLooseCharBox(text_page, at, box)
            places.append((box.left, box.right))
        return places

    def _line(self, text_page: object, text: str, page: int, first: int, last: int, *, hyphenated: bool) -> Line:
        box = self._box
        pdfium.FPDFText_GetLooseCharBox(text_page, last, box)
        size, left, y, turned = self._glyph(text_page, first)
        if len(text) > 3:
            # A line may start with the raised number of a note: the larger of two characters speaks for it.
            middle = next(at for at in range(len(text) // 2, len(text)) if not text[at].isspace())
            other, _, height, _ = self._glyph(text_page, min(first + middle, last))
            size, y = max((size, y), (other, height), key=itemgetter(0))
        bold, monospaced = self._font(text_page, first)
        if (bold or monospaced) and last - first > 2:
            ends_bold, ends_monospaced = self._font(text_page, last)
            bold, monospaced = bold and ends_bold, monospaced and ends_monospaced
        right = (box.right, box.top, -box.bottom)[turned]
        return Line(text, page, left, max(left, right), y, size, bold, monospaced, hyphenated)

    def _glyph(self, text_page: object, at: int) -> tuple[float, float, float, int]:
        """Size, place along the line, height of the line, and whether the line runs up (1) or down (2) the page."""
        matrix = self._matrix
        pdfium.FPDFText_GetCharOrigin(text_page, at, self._x, self._y)
        pdfium.FPDFText_GetMatrix(text_page, at, matrix)
        size = pdfium.FPDFText_GetFontSize(text_page, at) * math.hypot(matrix.c, matrix.d)
        x, y = self._x.value, self._y.value
        if abs(matrix.b) <= abs(matrix.a):
            return size, x, y, 0
        return (size, y, -x, 1) if matrix.b > 0 else (size, -y, x, 2)

    def _font(self, text_page: object, at: int) -> tuple[bool, bool]:
        pdfium.FPDFText_GetFontInfo(text_page, at, self._name, len(self._name), self._flags)
        key = self._name.value
        found = self._fonts.get(key)
        if found is None:
            name = key.decode("latin-1").lower()
            found = any(part in name for part in BOLD_FONT), any(part in name for part in MONOSPACED_FONT)
            if len(self._fonts) < 10_000:
                self._fonts[key] = found
        return found


def _utf_16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _bookmark_title(bookmark: object) -> str:
    return _utf_16(lambda buffer, size: pdfium.FPDFBookmark_GetTitle(bookmark, buffer, size))


def _utf_16(ask: Callable[[object, int], int]) -> str:
    """A string of pdfium's: asked for its size first, then for itself."""
    size = ask(None, 0)
    if size <= 2 or size > LONGEST_STRING_BYTES:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(buffer, size)
    return buffer.raw.decode("utf-16-le", "ignore").partition("\0")[0].strip()
