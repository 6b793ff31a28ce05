"""PDF -> Document: text and places from pdfium, and from pypdf where pdfium gives up.

Pages are places. Headings come from the outline or from the type; running headers and footers are left out.
"""

import logging
import re
import struct
import zlib
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

from ingest.document import Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentTooLarge, EmptyDocument, EncryptedDocument, NoTextLayer
from ingest.parsing.assembly import Assembly
from ingest.parsing.limits import Limits, Source
from ingest.parsing.pdf_flow import Flow
from ingest.parsing.pdf_guard import refuse_bombs
from ingest.parsing.pdf_headings import body_size, find_headings
from ingest.parsing.pdf_lines import PdfFile
from ingest.parsing.pdf_running import drop_running_lines
from ingest.parsing.pdf_shapes import OutlineEntry, Page

MEDIA_TYPE = "application/pdf"
FILE_NAME_TITLE = re.compile(
    r"\.(?:docx?|pdf|tex|dvi|indd|pptx?|xlsx?|rtf|odt|qxd|pages|html?)$|^\(?(?:untitled|anonymous)\b|^microsoft ",
    re.IGNORECASE,
)
# Whatever pypdf trips over in a damaged file; it has no error of its own for most of it.
PYPDF_TRIPS = (
    PyPdfError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08\x0e-\x1f]")
MOST_UNREADABLE_SHARE = 0.3


def parse_pdf(source: Source, limits: Limits) -> Document:
    refuse_bombs(source, limits)
    try:
        with PdfFile(source, limits) as pdf:
            if pdf.page_count < 1:
                raise DamagedDocument("This PDF has no pages. Export it again.")
            pages = list(pdf.pages())
            if any(page.lines for page in pages):
                return _document(pages, pdf.outline(), pdf.title, limits)
            if any(page.readable for page in pages):
                raise _no_text(pictures=pdf.holds_pictures(), page_count=len(pages))
            failure = DamagedDocument("None of the pages of this PDF can be read. Export it again.")
    except DamagedDocument as error:
        failure = error
    return _by_pypdf(source, limits, failure)


def _document(pages: list[Page], outline: list[OutlineEntry], title: str, limits: Limits) -> Document:
    _refuse_unreadable(pages)
    warnings = _warnings(pages)
    drop_running_lines(pages)
    assembly = Assembly(limits)
    assembly.warnings += warnings
    flow = Flow(assembly, find_headings(pages, outline, body_size(pages)), pages)
    for page in pages:
        flow.add_page(page)
    flow.finish()
    if not title or FILE_NAME_TITLE.search(title):
        title = flow.title
    return assembly.finish(MEDIA_TYPE, title=title, place_kind=PlaceKind.PAGE, place_count=len(pages))


def _warnings(pages: list[Page]) -> list[str]:
    damaged = [page.number for page in pages if not page.readable]
    silent = [page.number for page in pages if page.readable and not page.lines]
    warnings = []
    if damaged:
        warnings.append(
            f"{len(damaged)} of {len(pages)} pages are damaged and were left out, the first is {damaged[0]}."
        )
    if silent:
        warnings.append(f"{len(silent)} of {len(pages)} pages hold no text, the first is {silent[0]}.")
    return warnings


def _no_text(*, pictures: bool, page_count: int) -> NoTextLayer | EmptyDocument:
    if pictures:
        return NoTextLayer(
            f"This PDF ({page_count:,} pages) is made of pictures without text. Upload it after text recognition (OCR)."
        )
    return EmptyDocument("This PDF holds no text.")


def _refuse_unreadable(pages: list[Page]) -> None:
    """Fonts without a way back to characters give text that is none; it would only poison the store."""
    text = "".join(line.text for page in pages for line in page.lines)
    if len(UNREADABLE.findall(text)) > MOST_UNREADABLE_SHARE * len(text):
        raise NoTextLayer(
            "The fonts of this PDF do not say which characters they draw. Upload it again after text recognition (OCR)."
        )


def _by_pypdf(source: Source, limits: Limits, failure: DamagedDocument) -> Document:
    """A second opinion, page by page; if it fails too, the first failure stands."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    assembly = Assembly(limits)
    count = 0
    try:
        reader = PdfReader(BytesIO(source[:]), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise FileNotDecryptedError
        for page in reader.pages:
            count += 1
            if count > limits.pages:
                raise DocumentTooLarge(f"This PDF has more than {limits.pages:,} pages.")
            for paragraph in re.split(r"\n\s*\n", page.extract_text()):
                assembly.add(paragraph, place=count)
    except (FileNotDecryptedError, DependencyError) as error:
        raise EncryptedDocument(
            "This PDF is protected by a password. Save it without one and upload it again."
        ) from error
    except PYPDF_TRIPS as error:
        raise failure from error
    if count == 0:
        raise failure
    return assembly.finish(MEDIA_TYPE, place_kind=PlaceKind.PAGE, place_count=count)
