import io
import zipfile
from contextlib import suppress
from itertools import pairwise

import docx
import pytest
from docx.document import Document as WordDocument
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentError, EmptyDocument, HostileDocument, UnsupportedFile
from ingest.parsing.docx import parse_docx
from ingest.parsing.limits import Limits
from tests.support.readings import block_with, lawful, text_of, texts

LIMITS = Limits()
W = nsdecls("w")


def saved(document: WordDocument) -> bytes:
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def read(document: WordDocument | bytes) -> Document:
    return lawful(parse_docx(document if isinstance(document, bytes) else saved(document), LIMITS))


def of_body(xml: str) -> Document:
    """A document whose body holds `xml` and nothing else."""
    document = docx.Document()
    body = document.element.body
    for element in list(body):
        body.remove(element)
    for element in parse_xml(f"<w:body {nsdecls('w', 'r')}>{xml}</w:body>"):
        body.append(element)
    return read(document)


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(inside: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{inside}</w:p>"


def changed(source: bytes, part: str, old: bytes, new: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == part:
                assert old in content
                content = content.replace(old, new)
            after.writestr(name, content)
    return target.getvalue()


def test_headings_have_their_levels_and_stand_above_what_follows() -> None:
    document = docx.Document()
    document.add_heading("Guide", 0)
    document.add_heading("Part", 1)
    document.add_heading("Chapter", 2)
    document.add_paragraph("Words.")
    document.add_heading("Next part", 1)
    found = read(document)
    assert [(text_of(found, block), block.level) for block in found.blocks if block.kind is BlockKind.HEADING] == [
        ("Guide", 1),
        ("Part", 1),
        ("Chapter", 2),
        ("Next part", 1),
    ]
    assert block_with(found, "Words.").heading_path == ("Part", "Chapter")
    assert block_with(found, "Chapter").heading_path == ("Part",)
    assert found.title == "Guide"
    assert found.place_kind is None


def test_a_style_based_on_a_heading_is_a_heading() -> None:
    document = docx.Document()
    style = document.styles.add_style("House Section", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    deeper = document.styles.add_style("House Section, indented", WD_STYLE_TYPE.PARAGRAPH)
    deeper.base_style = style
    document.add_paragraph("Ours", style)
    document.add_paragraph("Ours, too", deeper)
    assert [(block.kind, block.level) for block in read(document).blocks] == [(BlockKind.HEADING, 2)] * 2


def test_styles_based_on_each_other_end() -> None:
    document = docx.Document()
    one = document.styles.add_style("One", WD_STYLE_TYPE.PARAGRAPH)
    two = document.styles.add_style("Two", WD_STYLE_TYPE.PARAGRAPH)
    one.base_style, two.base_style = two, one
    document.add_paragraph("Words", one)
    assert texts(read(document)) == ["Words"]


def test_an_outline_level_makes_a_heading_and_body_level_unmakes_one() -> None:
    found = of_body(
        paragraph(run("By level"), '<w:outlineLvl w:val="2"/>')
        + paragraph(run("Plain"), '<w:pStyle w:val="Heading1"/><w:outlineLvl w:val="9"/>')
    )
    assert [(block.kind, block.level) for block in found.blocks] == [(BlockKind.HEADING, 3), (BlockKind.PARAGRAPH, 0)]


def test_the_title_comes_from_the_properties_first() -> None:
    document = docx.Document()
    document.core_properties.title = "Of the properties"
    document.add_heading("Of the text", 0)
    assert read(document).title == "Of the properties"


def test_lists_keep_their_depth_and_get_their_numbers_back() -> None:
    document = docx.Document()
    for text, style in (
        ("bullet", "List Bullet"),
        ("deeper", "List Bullet 2"),
        ("first", "List Number"),
        ("second", "List Number"),
    ):
        document.add_paragraph(text, style)
    found = read(document)
    assert [(text_of(found, block), block.level) for block in found.blocks] == [
        ("- bullet", 1),
        ("- deeper", 2),
        ("1. first", 1),
        ("2. second", 1),
    ]
    assert {block.kind for block in found.blocks} == {BlockKind.LIST_ITEM}


def test_numbers_of_many_levels_count_as_word_counts() -> None:
    document = docx.Document()
    levels = "".join(
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for depth, (kind, text) in enumerate((("decimal", "%1."), ("decimal", "%1.%2"), ("lowerRoman", "(%3)")))
    )
    numbering = document.part.numbering_part.element
    numbering.insert(0, parse_xml(f'<w:abstractNum {W} w:abstractNumId="99">{levels}</w:abstractNum>'))
    numbering.append(parse_xml(f'<w:num {W} w:numId="99"><w:abstractNumId w:val="99"/></w:num>'))
    for text, depth in (("a", 0), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 0), ("g", 1), ("h", 2)):
        element = document.add_paragraph(text)._p
        element.get_or_add_pPr().append(
            parse_xml(f'<w:numPr {W}><w:ilvl w:val="{depth}"/><w:numId w:val="99"/></w:numPr>')
        )
    assert texts(read(document)) == ["1. a", "1.1 b", "1.2 c", "(i) d", "(ii) e", "2. f", "2.1 g", "(i) h"]


def test_a_list_can_be_left_by_number_zero() -> None:
    found = of_body(
        paragraph(
            run("out"), '<w:pStyle w:val="ListBullet"/><w:numPr><w:ilvl w:val="0"/><w:numId w:val="0"/></w:numPr>'
        )
    )
    assert [(block.kind, text_of(found, block)) for block in found.blocks] == [(BlockKind.PARAGRAPH, "out")]


def test_a_table_is_rows_that_know_their_header() -> None:
    document = docx.Document()
    table = document.add_table(3, 2)
    for at, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = ("name", "value", "a", "1", "b", "")[at]
    found = read(document)
    assert texts(found) == ["name | value", "a | 1", "b"]
    assert [block.table_header for block in found.blocks] == ["", "name | value", "name | value"]
    assert {block.kind for block in found.blocks} == {BlockKind.TABLE_ROW}


def test_rows_marked_as_header_are_the_header_all_of_them() -> None:
    document = docx.Document()
    table = document.add_table(4, 2)
    for at, row in enumerate(table.rows):
        row.cells[0].text, row.cells[1].text = f"{at}a", f"{at}b"
        if at < 2:
            row._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {W}/>"))
    assert [block.table_header for block in read(document).blocks] == ["", "", *["0a | 0b\n1a | 1b"] * 2]


def test_merged_cells_keep_the_columns_and_say_themselves_again_downwards() -> None:
    document = docx.Document()
    table = document.add_table(3, 3)
    for row_at, row in enumerate(table.rows):
        for at, cell in enumerate(row.cells):
            cell.text = f"{row_at}{at}"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "down"
    table.cell(1, 1).merge(table.cell(1, 2)).text = "across"
    assert texts(read(document)) == ["00 | 01 | 02", "down | across", "down | 21 | 22"]


def test_a_table_of_one_column_is_a_frame_around_ordinary_text() -> None:
    document = docx.Document()
    cell = document.add_table(1, 1).cell(0, 0)
    cell.add_paragraph("Boxed", "Heading 1")
    cell.add_paragraph("Words.")
    found = read(document)
    assert block_with(found, "Words.").kind is BlockKind.PARAGRAPH
    assert block_with(found, "Words.").heading_path == ("Boxed",)


def test_a_table_within_a_table_follows_its_row() -> None:
    document = docx.Document()
    table = document.add_table(2, 2)
    for at, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"outer{at}"
    inner = table.cell(0, 1).add_table(2, 2)
    for at, cell in enumerate(cell for row in inner.rows for cell in row.cells):
        cell.text = f"inner{at}"
    assert texts(read(document)) == ["outer0 | outer1", "inner0 | inner1", "inner2 | inner3", "outer2 | outer3"]


def test_paragraphs_in_code_styles_are_one_block_with_their_indentation() -> None:
    document = docx.Document()
    document.styles.add_style("Source Code", WD_STYLE_TYPE.PARAGRAPH)
    for line in ("def f():", "    return 1", "", "f()"):
        document.add_paragraph(line, "Source Code")
    document.add_paragraph("Words.")
    found = read(document)
    assert texts(found) == ["def f():\n    return 1\n\nf()", "Words."]
    assert found.blocks[0].kind is BlockKind.CODE


def test_insertions_are_kept_and_deletions_dropped() -> None:
    found = of_body(
        paragraph(
            run("Pay ")
            + '<w:del w:id="1"><w:r><w:delText>ten</w:delText></w:r></w:del>'
            + f'<w:ins w:id="2">{run("twenty")}</w:ins>'
            + run(" pounds")
            + f'<w:moveFrom w:id="3">{run(" moved away")}</w:moveFrom>'
        )
        + paragraph(f'<w:moveTo w:id="4">{run("moved here")}</w:moveTo>')
    )
    assert texts(found) == ["Pay twenty pounds", "moved here"]


def test_a_deleted_paragraph_end_joins_two_paragraphs() -> None:
    found = of_body(
        paragraph(run("One "), '<w:rPr><w:del w:id="1"/></w:rPr>')
        + paragraph(run("sentence."))
        + paragraph(run("Two."))
    )
    assert texts(found) == ["One sentence.", "Two."]


def test_a_deleted_row_is_no_row() -> None:
    row = "<w:tr><w:trPr>{}</w:trPr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr>"
    rows = [row.format(mark, paragraph(run(a)), paragraph(run(b))) for mark, a, b in (
        ("", "a", "b"), ('<w:del w:id="1"/>', "gone", "too"), ("", "c", "d"),
    )]  # fmt: skip
    assert texts(of_body(f"<w:tbl>{''.join(rows)}</w:tbl>")) == ["a | b", "c | d"]


def test_hidden_text_prompts_and_phonetic_guides_are_not_read() -> None:
    found = of_body(
        paragraph(run("Seen") + "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>")
        + paragraph('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown</w:t></w:r>')
        + "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>"
        + paragraph(run("Click here"))
        + "</w:sdtContent></w:sdt>"
        + "<w:sdt><w:sdtPr/><w:sdtContent>"
        + paragraph(run("Filled in"))
        + "</w:sdtContent></w:sdt>"
        + paragraph(f"<w:r><w:ruby><w:rt>{run('kan')}</w:rt><w:rubyBase>{run('漢')}</w:rubyBase></w:ruby></w:r>")
    )
    assert texts(found) == ["Seen", "shown", "Filled in", "漢"]


def test_breaks_tabs_and_hyphens_are_characters_and_tab_stops_are_not() -> None:
    found = of_body(
        paragraph(
            "<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t>"
            "<w:softHyphen/><w:t>e\u00adf</w:t></w:r>",
            '<w:tabs><w:tab w:val="left" w:pos="720"/></w:tabs>',
        )
    )
    assert texts(found) == ["a\tb\nc-def"]


def test_links_keep_their_words_and_field_codes_are_not_text() -> None:
    found = of_body(
        paragraph(
            run("See ")
            + f"<w:hyperlink>{run('the page')}</w:hyperlink>"
            + '<w:r><w:fldChar w:fldCharType="begin"/><w:instrText>PAGEREF x</w:instrText></w:r>'
            + run(" 7")
        )
    )
    assert texts(found) == ["See the page 7"]


def test_a_text_box_follows_the_paragraph_that_holds_it_once() -> None:
    box = f"<w:txbxContent>{paragraph(run('In the box'))}</w:txbxContent>"
    found = of_body(
        '<w:p xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        + run("Anchor")
        + f"<w:r><mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
        + f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"
        + paragraph(run("After"))
    )
    assert texts(found) == ["Anchor", "In the box", "After"]


def test_headers_and_footers_are_left_out() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Running head"
    document.sections[0].footer.paragraphs[0].text = "Running foot"
    document.add_paragraph("Words.")
    assert texts(read(document)) == ["Words."]


def test_comments_are_left_out_and_counted() -> None:
    document = docx.Document()
    commented = document.add_paragraph("Words.")
    document.add_comment(commented.runs, text="Says who?")
    found = read(document)
    assert texts(found) == ["Words."]
    assert found.warnings == ("Comments were left out (1).",)


def test_a_footnote_stands_behind_the_paragraph_that_refers_to_it() -> None:
    document = docx.Document()
    first = document.add_paragraph("Claimed.")
    document.add_paragraph("After.")
    reference = f'<w:r {W}><w:footnoteReference w:id="2"/></w:r>'
    first._p.append(parse_xml(reference))
    source = saved(document)
    notes = f'<w:footnotes {W}><w:footnote w:id="2"><w:p>{run("Proven.")}</w:p></w:footnote></w:footnotes>'
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "word/_rels/document.xml.rels":
                kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
                link = b'<Relationship Id="rIdN" Type="%s" Target="footnotes.xml"/></Relationships>' % kind
                content = content.replace(b"</Relationships>", link)
            after.writestr(name, content)
        after.writestr("word/footnotes.xml", notes)
    assert texts(read(target.getvalue())) == ["Claimed.", "Proven.", "After."]


def test_pages_are_known_where_word_recorded_them() -> None:
    turn = "<w:r><w:lastRenderedPageBreak/></w:r>"
    found = of_body(
        paragraph(run("One"))
        + paragraph(turn + run("Two"))
        + paragraph(run("still two") + turn + run(" and three"))
        + paragraph(run("Three"))
    )
    assert [block.place for block in found.blocks] == [1, 2, 2, 3]
    assert (found.place_kind, found.place_count) == (PlaceKind.PAGE, 3)


def test_the_strict_edition_of_the_format_is_read_alike() -> None:
    document = docx.Document()
    document.add_heading("Strict", 1)
    usual = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    strict = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
    source = changed(saved(document), "word/document.xml", usual, strict)
    found = read(changed(source, "word/styles.xml", usual, strict))
    assert [(block.kind, text_of(found, block)) for block in found.blocks] == [(BlockKind.HEADING, "Strict")]


def test_a_document_without_words_is_empty() -> None:
    document = docx.Document()
    document.add_paragraph("  \n ")
    with pytest.raises(EmptyDocument):
        read(document)


def test_another_office_document_is_refused_by_what_it_is_not() -> None:
    with pytest.raises((UnsupportedFile, DamagedDocument), match="not a Word document"):
        read(changed(saved(docx.Document()), "_rels/.rels", b"word/document.xml", b"docProps/app.xml"))


@pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml", "word/numbering.xml", "docProps/core.xml"])
def test_entities_in_any_part_that_is_read_are_refused(part: str) -> None:
    document = docx.Document()
    document.add_paragraph("Words.", "List Bullet")
    declaration = b"<?xml version='1.0' encoding='UTF-8' standalone='yes'?>"
    hostile = changed(saved(document), part, declaration, declaration + b'<!DOCTYPE x [<!ENTITY l "ha">]>')
    with pytest.raises(HostileDocument, match=part):
        read(hostile)


def test_damage_anywhere_ends_in_a_document_error_or_in_text() -> None:
    document = docx.Document()
    document.add_heading("Heading", 1)
    document.add_paragraph("Words.", "List Number")
    document.add_table(2, 2).cell(0, 0).text = "cell"
    source = saved(document)
    content = zipfile.ZipFile(io.BytesIO(source)).read("word/document.xml")
    for start, end in pairwise(range(0, len(content), 499)):
        with suppress(DocumentError):
            lawful(parse_docx(changed(source, "word/document.xml", content[start:end], b""), LIMITS))
    for number in (b"-1", b"x", b"99999999999999999999", b""):
        with suppress(DocumentError):
            broken = changed(source, "word/numbering.xml", b'w:val="1"', b'w:val="%s"' % number)
            lawful(parse_docx(broken, LIMITS))


def test_mathematics_is_text() -> None:
    math = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    found = of_body(paragraph(run("Let ") + f'<m:oMath xmlns:m="{math}"><m:r><m:t>x=2</m:t></m:r></m:oMath>'))
    assert texts(found) == ["Let x=2"]
