import io
import mmap
import random
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pypdf
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, SimpleDocTemplate

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import (
    DamagedDocument,
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    HostileDocument,
    NoTextLayer,
)
from ingest.parsing.limits import Limits
from ingest.parsing.pdf import parse_pdf
from tests.support import poison_pdf
from tests.support.readings import block_with, lawful, text_of, texts

LIMITS = Limits()
WIDTH, HEIGHT = A4
STYLES = getSampleStyleSheet()
PROSE = (
    "The committee met in spring and read the report of the year before, which had been late. "
    "It found the figures sound but the words unclear, and asked the authors for another version of both. "
)


def drawn(draw: Callable[[Canvas], None], **settings: object) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, **settings)
    draw(canvas)
    canvas.save()
    return target.getvalue()


def flowing(*parts: tuple[str, str]) -> bytes:
    """Paragraphs set by reportlab: (name of a style, text)."""
    target = io.BytesIO()
    SimpleDocTemplate(target, pagesize=A4).build([Paragraph(text, STYLES[style]) for style, text in parts])
    return target.getvalue()


def read(source: bytes) -> Document:
    return lawful(parse_pdf(source, LIMITS))


def lines(canvas: Canvas, left: float, top: float, texts: list[str], leading: float = 14) -> None:
    for at, text in enumerate(texts):
        canvas.drawString(left, top - at * leading, text)


def test_lines_of_a_paragraph_become_one_line() -> None:
    found = read(flowing(("BodyText", PROSE * 3), ("BodyText", "A second paragraph. " * 8)))
    assert texts(found) == [(PROSE * 3).strip(), ("A second paragraph. " * 8).strip()]
    assert {block.kind for block in found.blocks} == {BlockKind.PARAGRAPH}


def test_pages_are_places() -> None:
    def draw(canvas: Canvas) -> None:
        for number in ("one", "two", "three"):
            canvas.drawString(72, 700, f"This is page {number}.")
            canvas.showPage()

    found = read(drawn(draw))
    assert [(text_of(found, block), block.place) for block in found.blocks] == [
        ("This is page one.", 1),
        ("This is page two.", 2),
        ("This is page three.", 3),
    ]
    assert (found.place_kind, found.place_count) == (PlaceKind.PAGE, 3)


def test_larger_lines_are_headings_with_levels_by_size() -> None:
    chapters = [
        part
        for chapter in ("First things", "Second things")
        for part in (
            ("Heading1", chapter),
            ("BodyText", PROSE),
            ("Heading2", f"More of {chapter}"),
            ("BodyText", PROSE),
        )
    ]
    found = read(flowing(*chapters))
    headings = [block for block in found.blocks if block.kind is BlockKind.HEADING]
    assert [(text_of(found, block), block.level) for block in headings] == [
        ("First things", 1),
        ("More of First things", 2),
        ("Second things", 1),
        ("More of Second things", 2),
    ]
    assert found.blocks[-1].heading_path == ("Second things", "More of Second things")


def test_bold_lines_of_their_own_are_headings() -> None:
    def draw(canvas: Canvas) -> None:
        top = 780
        for section in ("Aims", "Means"):
            canvas.setFont("Helvetica-Bold", 11)
            canvas.drawString(72, top, section)
            canvas.setFont("Helvetica", 11)
            lines(canvas, 72, top - 20, [PROSE[:80], PROSE[80:150], PROSE[150:190]] * 2)
            top -= 140

    found = read(drawn(draw))
    assert texts(found, BlockKind.HEADING) == ["Aims", "Means"]


def test_a_document_set_in_one_size_has_no_headings() -> None:
    assert not texts(read(flowing(("BodyText", PROSE), ("BodyText", PROSE))), BlockKind.HEADING)


def test_the_outline_is_believed_where_its_entries_are_found() -> None:
    def draw(canvas: Canvas) -> None:
        for number, (title, level) in enumerate((("Alpha", 0), ("Beta in short", 1), ("Gamma", 0))):
            canvas.bookmarkPage(str(number))
            canvas.addOutlineEntry(title, str(number), level)
            canvas.drawString(72, 740, f"{number + 1}.  {title}")
            lines(canvas, 72, 700, [PROSE[:80], PROSE[80:160]])
            canvas.showPage()

    found = read(drawn(draw))
    headings = [block for block in found.blocks if block.kind is BlockKind.HEADING]
    assert [(text_of(found, block), block.level, block.place) for block in headings] == [
        ("1. Alpha", 1, 1),
        ("2. Beta in short", 2, 2),
        ("3. Gamma", 1, 3),
    ]


def test_a_heading_over_two_lines_is_one_heading() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 20)
        lines(canvas, 72, 760, ["On the many lives of", "a single heading"], leading=24)
        canvas.setFont("Helvetica", 10)
        lines(canvas, 72, 690, [PROSE[:90], PROSE[90:180]] * 3)

    found = read(drawn(draw))
    assert texts(found, BlockKind.HEADING) == ["On the many lives of a single heading"]
    assert found.title == "On the many lives of a single heading"


def test_the_title_comes_from_the_properties_unless_it_is_a_file_name() -> None:
    def titled(title: str) -> bytes:
        def draw(canvas: Canvas) -> None:
            canvas.setTitle(title)
            canvas.drawString(72, 700, "Words.")

        return drawn(draw)

    assert read(titled("Letters – Grüße")).title == "Letters – Grüße"
    for name in ("report-final.docx", "Microsoft Word - report", "untitled", "paper.tex"):
        assert read(titled(name)).title == ""


def test_running_heads_and_feet_are_left_out() -> None:
    def draw(canvas: Canvas) -> None:
        for page in range(1, 6):
            canvas.drawString(72, 815, "The Yearly Report of the House")
            canvas.drawRightString(WIDTH - 72, 30, f"Page {page} of 5")
            lines(canvas, 72, 740, [f"On page {page} stands this line, which is", "followed by that one."])
            canvas.showPage()

    found = read(drawn(draw))
    assert "Yearly Report" not in found.text
    assert "of 5" not in found.text
    assert texts(found)[2] == "On page 3 stands this line, which is followed by that one."


def test_what_repeats_but_is_all_a_page_has_is_kept() -> None:
    def draw(canvas: Canvas) -> None:
        for page in range(1, 30):
            canvas.drawString(72, 790, f"Slip number {page}")
            canvas.showPage()

    assert len(texts(read(drawn(draw)))) == 29


def test_words_broken_at_the_end_of_a_line_are_joined_with_care() -> None:
    def draw(canvas: Canvas) -> None:
        lines(
            canvas,
            72,
            760,
            [
                "It is a well-known fact that every committee makes a pro-",
                "gramme of its own, and that each of them holds a text-",
                "based view of things, as text-based programmes do in every",
                "programme; see also the text-based rules of the year 1990-",
                "1995, and the House of Anglo-",
                "Saxons for all that came before.",
            ],
        )

    text = read(drawn(draw)).text
    assert "makes a programme of" in text
    assert "holds a text-based view" in text
    assert "1990-1995" in text
    assert "Anglo-Saxons" in text


def two_columns(order: str) -> bytes:
    left = [f"Left column line {n} of prose goes on" for n in range(30)]
    right = [f"Right column line {n} of prose goes on" for n in range(30)]

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 16)
        canvas.drawString(72, 790, "A title over both of the two columns of this page")
        canvas.setFont("Helvetica", 10)
        if order == "columns":
            lines(canvas, 60, 740, left)
            lines(canvas, 320, 740, right)
        else:
            for at in range(30):
                canvas.drawString(60, 740 - 14 * at, left[at])
                canvas.drawString(320, 740 - 14 * at, right[at])

    return drawn(draw)


@pytest.mark.parametrize("order", ["columns", "rows"])
def test_columns_are_read_one_after_the_other(order: str) -> None:
    text = read(two_columns(order)).text
    places = [text.index(f"{side} column line {n} of") for side in ("Left", "Right") for n in range(30)]
    assert places == sorted(places)
    assert text.index("A title") < places[0]


def test_set_in_columns_a_paragraph_goes_on_in_the_next_column() -> None:
    target = io.BytesIO()
    template = BaseDocTemplate(target, pagesize=A4)
    frames = [Frame(50, 500, 240, 290), Frame(310, 500, 240, 290)]
    template.addPageTemplates([PageTemplate(frames=frames)])
    template.build([Paragraph(PROSE * 9, STYLES["BodyText"])])
    assert texts(read(target.getvalue())) == [(PROSE * 9).strip()]


def test_a_paragraph_goes_on_over_the_page_and_belongs_to_the_first() -> None:
    found = read(flowing(*[("BodyText", PROSE * 60)]))
    assert texts(found) == [(PROSE * 60).strip()]
    assert found.blocks[0].place == 1
    assert found.place_count > 1


def test_bullets_and_numbers_start_list_items() -> None:
    def draw(canvas: Canvas) -> None:
        lines(
            canvas,
            72,
            760,
            [
                "These are needed:",
                "• a first thing that takes a good deal more room than one line can",
                "  offer to it",
                "• a second thing",
                "1. count them",
                "2. pay for them",
            ],
        )

    found = read(drawn(draw))
    assert texts(found, BlockKind.LIST_ITEM) == [
        "• a first thing that takes a good deal more room than one line can offer to it",
        "• a second thing",
        "1. count them",
        "2. pay for them",
    ]


def test_lines_in_a_typewriter_face_are_code_with_their_indentation() -> None:
    def draw(canvas: Canvas) -> None:
        lines(canvas, 72, 760, [PROSE[:80], PROSE[80:150]])
        canvas.setFont("Courier", 10)
        canvas.drawString(72, 700, "def f(x):")
        canvas.drawString(72 + 4 * 6, 688, "return x")
        canvas.setFont("Helvetica", 12)
        lines(canvas, 72, 650, [PROSE[:80]])

    found = read(drawn(draw))
    assert texts(found, BlockKind.CODE) == ["def f(x):\n    return x"]


def test_rows_of_a_table_stay_lines() -> None:
    def draw(canvas: Canvas) -> None:
        lines(canvas, 72, 760, [PROSE[:90], PROSE[90:170], PROSE[:90], PROSE[90:160]])
        for row in range(4):
            for column in range(3):
                canvas.drawString(72 + 90 * column, 660 - 14 * row, f"c{row}{column}")

    rows = read(drawn(draw)).text.splitlines()
    assert [row for row in rows if row.startswith("c")] == [f"c{n}0 c{n}1 c{n}2" for n in range(4)]


def test_text_on_turned_pages_is_read_line_by_line() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.rotate(90)
        lines(canvas, 100, -80, ["These lines run up the page and are", "as good as any other."])

    assert texts(read(drawn(draw))) == ["These lines run up the page and are as good as any other."]


def test_dot_leaders_are_not_worth_their_tokens() -> None:
    def draw(canvas: Canvas) -> None:
        lines(canvas, 72, 760, ["Contents", "1 Beginning " + ". " * 60 + "3", "2 End " + "." * 80 + " 9"])

    text = read(drawn(draw)).text
    assert "1 Beginning … 3" in text
    assert ". ." not in text


def test_a_mapped_file_is_read_in_place_and_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(flowing(("BodyText", "Words.")))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert parse_pdf(mapped, LIMITS).text == "Words."


def test_characters_beyond_the_first_plane_do_not_shift_the_lines() -> None:
    # Two code units a character, in a font whose map says so.
    cmap = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <00> <FF>
    endcodespacerange 1 beginbfchar <41> <D835DEFC> endbfchar endcmap end end"""
    objects = poison_pdf.one_page(
        poison_pdf.stream(
            b"BT /F1 12 Tf 72 700 Td (AAAA) Tj 0 -14 Td (" + b"and words " * 8 + b") Tj /F1 24 Tf 0 -60 Td (CDE) Tj ET"
        )
    )
    objects[5] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>"
    objects[6] = poison_pdf.stream(cmap)
    found = read(poison_pdf.pdf(objects))
    assert found.text.startswith("\U0001d6fc" * 4)
    assert block_with(found, "CDE").kind is BlockKind.HEADING


def test_a_password_is_asked_for_only_where_one_is_needed() -> None:
    assert poison_pdf.MARKER in read(poison_pdf.encrypted("")).text
    with pytest.raises(EncryptedDocument, match="password"):
        read(poison_pdf.encrypted("open sesame"))


def test_a_scan_is_told_from_an_empty_document() -> None:
    picture = ImageReader(Image.new("L", (40, 40), 128))
    with pytest.raises(NoTextLayer, match="pictures"):
        read(drawn(lambda canvas: canvas.drawImage(picture, 0, 0, WIDTH, HEIGHT)))
    with pytest.raises(EmptyDocument):
        read(drawn(lambda canvas: canvas.showPage()))


def test_pages_without_text_are_counted_in_a_warning() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 700, "Words.")
        canvas.showPage()
        canvas.showPage()

    assert read(drawn(draw)).warnings == ("1 of 2 pages hold no text, the first is 2.",)


def test_fonts_that_name_no_characters_are_no_text() -> None:
    private = b"""begincmap 1 begincodespacerange <00> <FF> endcodespacerange
    1 beginbfrange <20> <7F> <E020> endbfrange endcmap"""
    objects = poison_pdf.one_page()
    objects[5] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>"
    objects[6] = poison_pdf.stream(private)
    with pytest.raises(NoTextLayer, match="fonts"):
        read(poison_pdf.pdf(objects))


def test_a_page_count_beyond_the_limit_is_refused_and_a_false_one_is_damage() -> None:
    with pytest.raises(DocumentTooLarge, match="30 pages"):
        parse_pdf(poison_pdf.many_pages(30), Limits(pages=29))
    objects = poison_pdf.one_page()
    objects[2] = b"<< /Type /Pages /Kids [2 0 R 6 0 R] /Count 1000000 >>"
    objects[6] = b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 1000000 >>"
    with pytest.raises(DamagedDocument, match="claims"):
        read(poison_pdf.pdf(objects))


def test_ten_thousand_pages_are_read() -> None:
    found = read(poison_pdf.many_pages(10_000))
    assert found.place_count == 10_000
    assert found.blocks[-1].place == 10_000


@pytest.mark.parametrize(
    "make",
    [
        poison_pdf.circular_references,
        poison_pdf.previous_table_is_this_one,
        poison_pdf.length_that_names_itself,
        poison_pdf.object_streams_in_a_ring,
        poison_pdf.huge_size,
        poison_pdf.deep_arrays,
        poison_pdf.unfinished_inline_image,
        poison_pdf.page_tree_that_doubles,
        poison_pdf.recursive_page_tree,
    ],
)
def test_rings_and_lies_in_the_structure_end(make: Callable[[], bytes]) -> None:
    try:
        found = read(make())
    except DocumentError as error:
        refusal = str(error)
    else:
        assert poison_pdf.MARKER in found.text
        return
    assert refusal.endswith(".")


def test_bombs_are_found_before_they_are_unpacked() -> None:
    with pytest.raises(HostileDocument, match="packed"):
        read(poison_pdf.stacked_filters())
    with pytest.raises(DocumentTooLarge, match="more text than fits"):
        read(poison_pdf.endless_text())
    with pytest.raises(HostileDocument, match="contain each other"):
        read(poison_pdf.form_that_contains_itself())


def test_forms_that_each_draw_the_next_twice_are_refused() -> None:
    def chain(length: int) -> bytes:
        objects = poison_pdf.one_page(poison_pdf.stream(poison_pdf.shown("harmless words") + b" /X Do"))
        objects[3] = objects[3].replace(b"/Resources << ", b"/Resources << /XObject << /X 10 0 R >> ")
        form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>"
        for at in range(length):
            objects[10 + at] = poison_pdf.stream(b"/X Do /X Do" if at < length - 1 else b"", form % (11 + at))
        return poison_pdf.pdf(objects)

    assert "harmless" in read(chain(4)).text
    with pytest.raises(HostileDocument):
        read(chain(40))


def test_a_dense_stream_within_the_limits_is_welcome() -> None:
    content = poison_pdf.shown("harmless words") + b"\n" * 8_000_000
    packed = poison_pdf.stream(zlib.compress(content, 9), b"/Filter /FlateDecode")
    assert "harmless" in read(poison_pdf.pdf(poison_pdf.one_page(packed))).text


def test_a_file_without_a_single_page_is_damage() -> None:
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Kids [] /Count 0 >>"}
    with pytest.raises(DamagedDocument, match="no pages"):
        read(poison_pdf.pdf(objects))


def test_a_wrong_table_of_objects_is_mended() -> None:
    source = poison_pdf.good()
    assert poison_pdf.MARKER in read(source.replace(b"startxref\n", b"startxref\n9")).text
    assert poison_pdf.MARKER in read(b"\n\n" + source).text


def test_every_cut_and_many_flips_end_in_text_or_a_document_error() -> None:
    source = flowing(("Heading1", "Heading"), ("BodyText", PROSE))
    chance = random.Random(7)
    for cut in range(0, len(source), 61):
        with suppress(DocumentError):
            read(source[:cut])
    for _ in range(150):
        broken = bytearray(source)
        for _ in range(4):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with suppress(DocumentError):
            read(bytes(broken))


def test_what_pdfium_cannot_open_is_tried_by_the_other_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    source = flowing(("BodyText", PROSE))
    monkeypatch.setattr("ingest.parsing.pdf_lines.pdfium.FPDF_LoadMemDocument64", lambda *_: None)
    monkeypatch.setattr("ingest.parsing.pdf_lines.pdfium.FPDF_GetLastError", lambda: 3)
    found = read(source)
    assert found.text.split() == PROSE.split()
    assert found.blocks[0].place == 1
    with pytest.raises(DamagedDocument):
        read(b"%PDF-1.7 and nothing else")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(source))
    writer.encrypt("secret")
    target = io.BytesIO()
    writer.write(target)
    with pytest.raises(EncryptedDocument):
        read(target.getvalue())


def test_heads_that_name_the_chapter_and_pages_counted_from_a_thousand_are_running_too() -> None:
    def draw(canvas: Canvas) -> None:
        for page in range(12):
            canvas.drawString(72, 815, "The Journal" if page % 2 else f"Chapter {page // 4}: of things")
            canvas.drawString(280, 30, str(page + 1201))
            lines(canvas, 72, 700, [f"{page} {PROSE[:70]}", PROSE[:70]])
            canvas.showPage()

    text = read(drawn(draw)).text
    assert "Journal" not in text
    assert "of things" not in text
    assert "1205" not in text


def test_numbers_that_count_no_pages_make_a_line_its_own() -> None:
    def draw(canvas: Canvas) -> None:
        for number in (88412, 71203, 90310, 55501):
            canvas.drawString(72, 790, f"Invoice {number}")
            lines(canvas, 72, 700, [f"To be paid for {number}: {number * 3}"])
            canvas.showPage()

    assert [line for line in read(drawn(draw)).text.splitlines() if line.startswith("Invoice")] == [
        f"Invoice {number}" for number in (88412, 71203, 90310, 55501)
    ]


def test_what_browsers_print_around_a_page_is_left_out() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 8)
        for page in (1, 2):
            canvas.drawString(24, 820, "11/20/26, 9:49 PM")
            canvas.drawString(260, 820, "Results of 2024")
            canvas.drawString(24, 17, f"https://house.example/results?id=778812 {page}/2")
            lines(canvas, 72, 700, [f"{page} {PROSE[:70]}", PROSE[:70]])
            canvas.showPage()

    text = read(drawn(draw)).text
    assert "9:49" not in text
    assert "house.example" not in text


def test_the_bold_head_of_a_table_is_no_heading() -> None:
    def draw(canvas: Canvas) -> None:
        lines(canvas, 72, 760, [PROSE[:90], PROSE[90:170]] * 2)
        for row in range(4):
            canvas.setFont("Helvetica" if row else "Helvetica-Bold", 12)
            for column, name in enumerate(("Region", "Revenue", "Comment")):
                canvas.drawString(72 + 150 * column, 660 - 16 * row, name if row == 0 else f"{name[:3]} {row}")

    found = read(drawn(draw))
    assert not texts(found, BlockKind.HEADING)
    assert "Region Revenue Comment\nReg 1 Rev 1 Com 1" in found.text
