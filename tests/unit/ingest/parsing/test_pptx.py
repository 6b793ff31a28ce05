import io
import zipfile
from contextlib import suppress
from itertools import pairwise

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.presentation import Presentation
from pptx.util import Inches

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentError, DocumentTooLarge, EmptyDocument, HostileDocument
from ingest.parsing.limits import Limits
from ingest.parsing.pptx import parse_pptx
from tests.support.readings import block_with, lawful, text_of, texts

LIMITS = Limits()
ONE = Inches(1)


def saved(deck: Presentation) -> bytes:
    target = io.BytesIO()
    deck.save(target)
    return target.getvalue()


def read(deck: Presentation | bytes) -> Document:
    return lawful(parse_pptx(deck if isinstance(deck, bytes) else saved(deck), LIMITS))


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


def with_slides(*titles: str) -> Presentation:
    deck = pptx.Presentation()
    for title in titles:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = f"About {title}"
    return deck


def test_slides_are_places_and_their_titles_headings() -> None:
    found = read(with_slides("One", "Two"))
    assert [(text_of(found, block), block.kind, block.place) for block in found.blocks] == [
        ("One", BlockKind.HEADING, 1),
        ("- About One", BlockKind.LIST_ITEM, 1),
        ("Two", BlockKind.HEADING, 2),
        ("- About Two", BlockKind.LIST_ITEM, 2),
    ]
    assert (found.place_kind, found.place_count) == (PlaceKind.SLIDE, 2)
    assert block_with(found, "About Two").heading_path == ("Two",)
    assert found.title == "One"


def test_a_slide_without_title_stands_under_no_heading_of_the_slide_before() -> None:
    deck = with_slides("One")
    deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, ONE, ONE).text_frame.text = "Loose"
    assert block_with(read(deck), "Loose").heading_path == ()


def test_slides_come_in_the_order_they_are_shown() -> None:
    deck = with_slides("One", "Two", "Three")
    order = deck.slides._sldIdLst
    order.insert(0, order[2])
    assert texts(read(deck), BlockKind.HEADING) == ["Three", "One", "Two"]


def test_hidden_slides_are_read() -> None:
    deck = with_slides("One", "Two")
    deck.slides[1]._element.set("show", "0")
    assert "About Two" in read(deck).text


def test_the_body_keeps_its_levels() -> None:
    deck = with_slides("One")
    frame = deck.slides[0].placeholders[1].text_frame
    for level in (1, 2):
        added = frame.add_paragraph()
        added.text, added.level = f"level {level}", level
    found = read(deck)
    assert [block.level for block in found.blocks if block.kind is BlockKind.LIST_ITEM] == [1, 2, 3]


def test_text_boxes_are_paragraphs_also_within_groups() -> None:
    deck = with_slides("One")
    shapes = deck.slides[0].shapes
    shapes.add_textbox(0, 0, ONE, ONE).text_frame.text = "boxed"
    group = shapes.add_group_shape().shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, ONE, ONE).text_frame.text = "grouped"
    found = read(deck)
    assert block_with(found, "boxed").kind is BlockKind.PARAGRAPH
    assert block_with(found, "grouped").kind is BlockKind.PARAGRAPH


def test_tables_know_their_header_if_they_have_one() -> None:
    deck = with_slides("One")
    table = deck.slides[0].shapes.add_table(2, 2, 0, 0, ONE, ONE).table
    for at, cell in enumerate(table.iter_cells()):
        cell.text = ("name", "value", "a", "1")[at]
    assert block_with(read(deck), "a | 1").table_header == "name | value"
    table.first_row = False
    assert block_with(read(deck), "a | 1").table_header == ""


def test_merged_cells_keep_the_columns() -> None:
    deck = with_slides("One")
    table = deck.slides[0].shapes.add_table(3, 3, 0, 0, ONE, ONE).table
    for at, cell in enumerate(table.iter_cells()):
        cell.text = f"c{at}"
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(0, 0).merge(table.cell(0, 1))
    assert texts(read(deck), BlockKind.TABLE_ROW) == ["c0 c1 |  | c2", "c3 c6 | c4 | c5", "c3 c6 | c7 | c8"]


def test_notes_come_last_as_notes_of_their_slide() -> None:
    deck = with_slides("One", "Two")
    deck.slides[0].notes_slide.notes_text_frame.text = "Say it slowly.\nTwice."
    found = read(deck)
    notes = block_with(found, "slowly")
    assert (notes.kind, notes.place, text_of(found, notes)) == (BlockKind.NOTES, 1, "Say it slowly.\nTwice.")


def test_dates_footers_and_slide_numbers_are_left_out() -> None:
    deck = with_slides("One")
    source = saved(deck)
    body = b'<p:ph idx="1"/>'
    assert "About" not in read(changed(source, "ppt/slides/slide1.xml", body, b'<p:ph type="ftr" idx="1"/>')).text


def test_a_chart_is_read_as_the_table_it_was_drawn_from() -> None:
    deck = with_slides("One")
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("2023", (1.5, 2))
    data.add_series("2024", (3, 4))
    deck.slides[0].shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, ONE, ONE, data)
    found = read(deck)
    assert texts(found, BlockKind.TABLE_ROW) == ["| 2023 | 2024", "North | 1.5 | 3", "South | 2 | 4"]


def test_line_breaks_within_a_title_become_spaces() -> None:
    deck = with_slides("One\vline")
    assert texts(read(deck), BlockKind.HEADING) == ["One line"]


def test_a_deck_without_words_is_empty() -> None:
    deck = pptx.Presentation()
    with pytest.raises(EmptyDocument):
        read(deck)
    deck.slides.add_slide(deck.slide_layouts[6])
    with pytest.raises(EmptyDocument):
        read(deck)


def test_too_many_slides_are_refused() -> None:
    with pytest.raises(DocumentTooLarge, match="2 slides"):
        parse_pptx(saved(with_slides("One", "Two")), Limits(pages=1))


def test_a_missing_slide_is_damage() -> None:
    source = changed(
        saved(with_slides("One")), "ppt/_rels/presentation.xml.rels", b"slides/slide1.xml", b"slides/no.xml"
    )
    with pytest.raises(DamagedDocument, match="missing"):
        read(source)


@pytest.mark.parametrize("part", ["ppt/presentation.xml", "ppt/slides/slide1.xml", "ppt/notesSlides/notesSlide1.xml"])
def test_entities_in_any_part_that_is_read_are_refused(part: str) -> None:
    deck = with_slides("One")
    deck.slides[0].notes_slide.notes_text_frame.text = "note"
    declaration = b"<?xml version='1.0' encoding='UTF-8' standalone='yes'?>"
    with pytest.raises(HostileDocument, match=part):
        read(changed(saved(deck), part, declaration, declaration + b'<!DOCTYPE x [<!ENTITY l "ha">]>'))


def test_damage_anywhere_ends_in_a_document_error_or_in_text() -> None:
    deck = with_slides("One")
    deck.slides[0].shapes.add_table(2, 2, 0, 0, ONE, ONE)
    source = saved(deck)
    content = zipfile.ZipFile(io.BytesIO(source)).read("ppt/slides/slide1.xml")
    for start, end in pairwise(range(0, len(content), 199)):
        with suppress(DocumentError):
            lawful(parse_pptx(changed(source, "ppt/slides/slide1.xml", content[start:end], b""), LIMITS))
