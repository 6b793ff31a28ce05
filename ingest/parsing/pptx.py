"""Presentations -> Document, read from the XML itself, slide by slide in the order they are shown.

A slide's title is its heading; its notes come last. Dates, footers and slide numbers are left out; hidden slides are
read, for whoever uploads a deck wants what is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentTooLarge
from ingest.parsing.assembly import Assembly, row_text
from ingest.parsing.limits import Limits, Source
from ingest.parsing.opc import RELATIONSHIP_ID, Package, Relationship

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
DIAGRAM_IDS = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
DIAGRAM_DATA_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
TEXT, LINE_BREAK = f"{A}t", f"{A}br"
SHAPE, FRAME, GROUP = f"{P}sp", f"{P}graphicFrame", f"{P}grpSp"
TITLES = ("title", "ctrTitle")
FURNITURE = ("dt", "ftr", "hdr", "sldNum", "sldImg")
BULLETS, NO_BULLET = (f"{A}buChar", f"{A}buAutoNum", f"{A}buBlip"), f"{A}buNone"
LISTED = ("body", "obj", "")  # placeholders whose paragraphs have bullets unless they say otherwise


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    level: int  # from 1
    bullet: bool | None  # None: as the placeholder has it


def parse_pptx(source: Source, limits: Limits) -> Document:
    package = Package(source, limits)
    main = package.main_part("ppt/", "a presentation")
    slides = list(_slides(package, main))
    if len(slides) > limits.pages:
        raise DocumentTooLarge(f"This presentation has {len(slides):,} slides; at most {limits.pages:,} are read.")
    assembly = Assembly(limits)
    titles = [SlideReader(package, part, place, assembly).read() for place, part in enumerate(slides, start=1)]
    title = package.title() or (titles[0] if titles else "")
    return assembly.finish(MEDIA_TYPE, title=title, place_kind=PlaceKind.SLIDE, place_count=len(slides))


def _slides(package: Package, main: str) -> Iterator[str]:
    relationships = package.relationships(main)
    for entry in package.xml(main).iter(f"{P}sldId"):
        relationship = relationships.get(entry.get(RELATIONSHIP_ID, ""))
        if relationship is None or not package.has(relationship.target):
            raise DamagedDocument("A slide of this presentation is missing. Save it again.")
        yield relationship.target


class SlideReader:
    def __init__(self, package: Package, part: str, place: int, assembly: Assembly) -> None:
        self._package = package
        self._part = part
        self._place = place
        self._assembly = assembly

    def read(self) -> str:
        """Adds the slide; returns its title."""
        self._assembly.forget_headings()
        tree = self._tree(self._part)
        if tree is None:
            return ""
        title = ""
        shapes = list(_shapes(tree))
        for shape in (shape for shape in shapes if _placeholder(shape) in TITLES):
            title = " ".join(" ".join(paragraph.text for paragraph in _paragraphs(shape)).split())
            self._assembly.add(title, BlockKind.HEADING, level=1, place=self._place)
        for shape in shapes:
            self._read_shape(shape)
        self._read_notes()
        return title

    def _tree(self, part: str) -> etree._Element | None:
        root = self._package.xml(part)
        for element in list(root.iter(FALLBACK)):
            if (parent := element.getparent()) is not None:
                parent.remove(element)
        return next(root.iter(f"{P}spTree"), None)

    def _read_shape(self, shape: etree._Element) -> None:
        if shape.tag == FRAME:
            self._read_frame(shape)
            return
        kind = _placeholder(shape)
        if kind in TITLES or kind in FURNITURE:
            return
        for paragraph in _paragraphs(shape):
            bullet = kind in LISTED if paragraph.bullet is None else paragraph.bullet
            if bullet:
                self._assembly.add(
                    f"- {paragraph.text.strip()}" if paragraph.text.strip() else "",
                    BlockKind.LIST_ITEM,
                    level=paragraph.level,
                    place=self._place,
                )
            else:
                self._assembly.add(paragraph.text, place=self._place)

    def _read_frame(self, frame: etree._Element) -> None:
        for table in frame.iter(f"{A}tbl"):
            self._read_table(table)
        for element in frame.iter(f"{C}chart", DIAGRAM_IDS):
            chart = element.tag == f"{C}chart"
            target = self._target(element.get(RELATIONSHIP_ID if chart else DIAGRAM_DATA_ID, ""))
            if target is not None and chart:
                self._read_chart(self._package.xml(target))
            elif target is not None:
                for paragraph in self._package.xml(target).iter(f"{A}p"):
                    self._assembly.add(_words(paragraph), place=self._place)

    def _target(self, identity: str) -> str | None:
        relationship: Relationship | None = self._package.relationships(self._part).get(identity)
        return relationship.target if relationship is not None and self._package.has(relationship.target) else None

    def _read_table(self, table: etree._Element) -> None:
        properties = table.find(f"{A}tblPr")
        has_header = properties is not None and properties.get("firstRow") in ("1", "true")
        header = ""
        above: dict[int, str] = {}
        for at, row in enumerate(table.iterfind(f"{A}tr")):
            texts = []
            for column, cell in enumerate(row.iterfind(f"{A}tc")):
                if cell.get("vMerge") in ("1", "true"):
                    texts.append(above.get(column, ""))
                else:
                    texts.append(" ".join(_words(paragraph) for paragraph in cell.iter(f"{A}p")).strip())
                above[column] = texts[-1]
            self._assembly.add_row(texts, place=self._place, table_header=header)
            if at == 0 and has_header:
                header = row_text(texts)

    def _read_chart(self, chart: etree._Element) -> None:
        """The figures a chart was drawn from, as the table they came from."""
        for paragraph in (p for title in chart.iter(f"{C}title") for p in title.iter(f"{A}p")):
            self._assembly.add(_words(paragraph), place=self._place)
        series = list(chart.iter(f"{C}ser"))
        if not series:
            return
        names = [" ".join(_points(one, f"{C}tx").values()) for one in series]
        categories = _points(series[0], f"{C}cat") or _points(series[0], f"{C}xVal")
        values = [_points(one, f"{C}val") or _points(one, f"{C}yVal") for one in series]
        header = ["", *names]
        self._assembly.add_row(header, place=self._place)
        for at in sorted({point for column in (categories, *values) for point in column}):
            row = [categories.get(at, ""), *(column.get(at, "") for column in values)]
            self._assembly.add_row(row, place=self._place, table_header=row_text(header))

    def _read_notes(self) -> None:
        part = self._package.related(self._part, "notesSlide")
        tree = self._tree(part) if part is not None else None
        if tree is None:
            return
        texts = [
            paragraph.text
            for shape in _shapes(tree)
            if shape.tag == SHAPE and _placeholder(shape) not in FURNITURE
            for paragraph in _paragraphs(shape)
        ]
        self._assembly.add("\n".join(texts), BlockKind.NOTES, place=self._place)


def _shapes(tree: etree._Element) -> Iterator[etree._Element]:
    """Shapes and frames, those within groups where their group stands."""
    for element in tree:
        if element.tag in (SHAPE, FRAME, f"{P}cxnSp"):
            yield element
        elif element.tag == GROUP or str(element.tag).endswith(("}AlternateContent", "}Choice")):
            yield from _shapes(element)


def _placeholder(shape: etree._Element) -> str | None:
    """The kind of placeholder a shape is; an empty name is the general one, None is none."""
    for element in shape.iter(f"{P}ph"):
        return str(element.get("type", ""))
    return None


def _paragraphs(shape: etree._Element) -> Iterator[Paragraph]:
    for element in shape.iter(f"{A}p"):
        properties = element[0] if len(element) and element[0].tag == f"{A}pPr" else None
        level, bullet = 1, None
        if properties is not None:
            said = properties.get("lvl", "0")
            level = int(said) + 1 if said.isascii() and said.isdigit() and int(said) < 9 else 1
            for setting in properties:
                if setting.tag in BULLETS:
                    bullet = True
                elif setting.tag == NO_BULLET:
                    bullet = False
        yield Paragraph(_words(element), level, bullet)


def _words(paragraph: etree._Element) -> str:
    parts = []
    for element in paragraph.iter():
        if element.tag in (TEXT, MATH_TEXT):
            parts.append(element.text or "")
        elif element.tag == LINE_BREAK:
            parts.append("\n")
    return "".join(parts).replace("\v", "\n")


def _points(series: etree._Element, name: str) -> dict[int, str]:
    """The stored points of one column of a chart, by position."""
    holder = series.find(name)
    points: dict[int, str] = {}
    for point in holder.iter(f"{C}pt") if holder is not None else ():
        at = point.get("idx", "")
        if at.isascii() and at.isdigit():
            points[int(at)] = str(point.findtext(f"{C}v") or "")
    return points
