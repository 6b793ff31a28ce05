"""Parsing: pages and documents a second against the usual libraries, and how much of the text they agree on.

    python -m benchmarks parsing [FOLDER]

FOLDER holds real PDFs (searched to any depth, also `.pdf.gz`). On Debian and Ubuntu these packages bring some, from
LaTeX manuals to two-column papers:

    apt-get install r-doc-pdf debian-policy gnuplot-doc pari-doc octave-doc texlive-publishers-doc

Without FOLDER, PDFs under /usr/share/doc are taken; without any, some are generated. DOCX, PPTX and XLSX are always
generated, and read by their libraries as paragraphs and cells, which is less than what is kept here. Times are CPU
seconds of one thread.
"""

import gzip
import io
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import docx
import openpyxl
import pptx
import pypdf
from pptx.util import Inches
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

from benchmarks.figure import Figure
from ingest.document import Document
from ingest.errors import DocumentError
from ingest.parsing.docx import parse_docx
from ingest.parsing.limits import Limits, Source
from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pptx import parse_pptx
from ingest.parsing.xlsx import parse_xlsx

PDF_TARGET = 5.0
MOST_PDFS = 20
FEWEST_PAGES = 4
MOST_PAGES = 130  # of one file, or the run is one manual
T = TypeVar("T")
WORD = re.compile(r"\w+")
SENTENCE = "The committee reviewed the quarterly figures and asked for a second reading of section {0}. "


def run(arguments: list[str]) -> Iterable[Figure]:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns once for every odd font of every page
    yield from pdf_figures(Path(arguments[0]) if arguments else None)
    yield from office_figures("DOCX", parse_docx, a_docx(), read_by_python_docx, "python-docx")
    yield from office_figures("PPTX", parse_pptx, a_pptx(), read_by_python_pptx, "python-pptx")
    yield from office_figures("XLSX", parse_xlsx, an_xlsx(), read_by_openpyxl, "openpyxl read-only")


def pdf_figures(folder: Path | None) -> Iterator[Figure]:
    ours = theirs = 0.0
    pages = files = 0
    ratios: list[float] = []
    shared = of_ours = of_theirs = 0
    for name, source in list(real_pdfs(folder)) or [("generated", a_pdf(60))]:
        try:
            document, seconds = timed(partial(parse_pdf, source, Limits()))
            text, peer_seconds = timed(partial(read_by_pypdf, source), runs=1)
        except DocumentError as error:
            print(f"{name}: {error}")
            continue
        files, pages = files + 1, pages + document.place_count
        ours, theirs = ours + seconds, theirs + peer_seconds
        ratios.append(peer_seconds / seconds)
        mine, others = words(document.text), words(text)
        common, both = (mine & others).total(), max(1, mine.total() + others.total())
        shared, of_ours, of_theirs = shared + common, of_ours + mine.total(), of_theirs + others.total()
        print(
            f"  {name[:40]:40} {document.place_count:5} pages  {document.place_count / seconds:7.0f}/s  "
            f"{peer_seconds / seconds:5.1f}x pypdf  word overlap {2 * common / both:.3f}"
        )
    if not files:
        return
    ratio = theirs / ours
    against = f"pypdf {pypdf.__version__}: {pages / theirs:.1f} pages/s"
    target = f"at least {PDF_TARGET:g} x"
    yield Figure("PDF, all files", pages / ours, "pages/s", against, ratio, target, ratio >= PDF_TARGET)
    yield Figure("PDF, median file", sorted(ratios)[len(ratios) // 2], "times", f"{files} files", None, target)
    yield Figure("PDF, words shared (F1)", 2 * shared / (of_ours + of_theirs), "", "pypdf's text")
    yield Figure(
        "PDF, pypdf's words found here", shared / max(1, of_theirs), "", "pypdf's text; running heads are dropped"
    )


def real_pdfs(folder: Path | None) -> Iterator[tuple[str, bytes]]:
    """Spread evenly over all there are, so that many kinds of file are seen; the same file twice is taken once."""
    root = folder or Path("/usr/share/doc")
    paths = {path.name: path for path in root.rglob("*") if path.name.endswith((".pdf", ".pdf.gz")) and path.is_file()}
    fitting = []
    for name, path in sorted(paths.items()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            count = len(pypdf.PdfReader(io.BytesIO(data)).pages)
        except pypdf.errors.PyPdfError:
            continue
        if FEWEST_PAGES <= count <= MOST_PAGES:
            fitting.append((name, data))
    step = max(1, -(-len(fitting) // MOST_PDFS))
    yield from fitting[::step]
    if folder is not None and not fitting:
        print(f"{folder} holds no PDF of {FEWEST_PAGES} to {MOST_PAGES} pages; a generated one is measured instead")


def office_figures(
    kind: str,
    parse: Callable[[Source, Limits], Document],
    source: bytes,
    peer: Callable[[bytes], str],
    peer_name: str,
) -> Iterator[Figure]:
    document, seconds = timed(lambda: parse(source, Limits()), runs=7)
    text, peer_seconds = timed(lambda: peer(source), runs=7)
    ratio = peer_seconds / seconds
    against = f"{peer_name}: {1 / peer_seconds:.1f}/s"
    yield Figure(f"{kind}, structure kept", 1 / seconds, "documents/s", against, ratio, "at least 1 x", ratio >= 1)
    mine, others = words(document.text), words(text)
    yield Figure(f"{kind}, peer's words found here", (mine & others).total() / others.total(), "", peer_name)


def timed(action: Callable[[], T], runs: int = 2) -> tuple[T, float]:
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        result = action()
        best = min(best, time.process_time() - start)
    return result, best


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.casefold()))


def read_by_pypdf(source: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(source)).pages)


def read_by_python_docx(source: bytes) -> str:
    document = docx.Document(io.BytesIO(source))
    parts = [paragraph.text for paragraph in document.paragraphs]
    parts += [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join(parts)


def read_by_python_pptx(source: bytes) -> str:
    parts: list[str] = []
    for slide in pptx.Presentation(io.BytesIO(source)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                parts += [paragraph.text for paragraph in shape.text_frame.paragraphs]
            if shape.has_table:
                parts += [cell.text for row in shape.table.rows for cell in row.cells]
        if slide.has_notes_slide:
            parts.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(parts)


def read_by_openpyxl(source: bytes) -> str:
    book = openpyxl.load_workbook(io.BytesIO(source), read_only=True, data_only=True)
    rows = (row for sheet in book for row in sheet.iter_rows(values_only=True))
    return "\n".join(" ".join(str(cell) for cell in row if cell is not None) for row in rows)


def a_docx(sections: int = 60) -> bytes:
    """A report: headings of three levels, 480 paragraphs, lists and a table in every other section."""
    document = docx.Document()
    document.add_heading("Annual report", 0)
    for section in range(sections):
        document.add_heading(f"Section {section}", 1 + section % 3)
        for paragraph in range(8):
            text = document.add_paragraph(SENTENCE.format(section) * 3)
            text.add_run(f"Emphasis {paragraph}").bold = True
        for item in range(5):
            document.add_paragraph(f"Item {item} of section {section}", "List Bullet" if item % 2 else "List Number")
        if section % 2:
            table = document.add_table(6, 4)
            for at, cell in enumerate(cell for row in table.rows for cell in row.cells):
                cell.text = f"cell {section}/{at}"
    return saved(document)


def a_pptx(slides: int = 60) -> bytes:
    deck = pptx.Presentation()
    for number in range(slides):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Slide about topic {number}"
        frame = slide.placeholders[1].text_frame
        frame.text = SENTENCE.format(number)
        for level in range(5):
            paragraph = frame.add_paragraph()
            paragraph.text, paragraph.level = f"Point {level} of {number}", level % 3
        if number % 3 == 0:
            table = slide.shapes.add_table(5, 4, Inches(1), Inches(4), Inches(6), Inches(2)).table
            for at, cell in enumerate(table.iter_cells()):
                cell.text = f"cell {number}/{at}"
        slide.notes_slide.notes_text_frame.text = f"Remember to mention {number}."
    return saved(deck)


def an_xlsx(rows: int = 4000) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["Region", "Product", "Units", "Price", "Sold"])
    for row in range(rows):
        book.active.append([f"Region {row % 7}", f"Product {row}", row, row * 1.25, row % 2 == 0])
    return saved(book)


def a_pdf(chapters: int) -> bytes:
    target = io.BytesIO()
    styles = getSampleStyleSheet()
    flow: list[Paragraph | Table] = []
    for chapter in range(chapters):
        flow.append(Paragraph(f"Chapter {chapter}", styles["Heading1"]))
        flow += [Paragraph(SENTENCE.format(chapter) * 6, styles["BodyText"]) for _ in range(6)]
        flow.append(Table([[f"row {row}", f"value {row * chapter}"] for row in range(5)]))
    SimpleDocTemplate(target).build(flow)
    return target.getvalue()


def saved(document: object) -> bytes:
    target = io.BytesIO()
    document.save(target)  # type: ignore[attr-defined] # the three libraries agree on this and on nothing else
    return target.getvalue()
