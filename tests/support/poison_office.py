"""Office documents and other zip containers that nobody should have to open."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import docx
import openpyxl
import pptx

MARKER = "harmless words"
SECRET = "the secret of the machine"
LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY l0 "lol">'
    + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
).encode()
DOCTYPE = b"<!DOCTYPE root>"
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SHARED_ROWS = "".join(
    f'<row r="{row}"><c r="A{row}" t="s"><v>{2 * row - 2}</v></c><c r="B{row}" t="s"><v>{2 * row - 1}</v></c></row>'
    for row in (1, 2)
)
ONE_OF_MANY = re.compile(r"slideLayout([2-9]|1\d)\.xml")  # the others are the same again


def external(target: str) -> bytes:
    return f'<!DOCTYPE root [<!ENTITY outside SYSTEM "{target}">]>'.encode()


def good_docx() -> bytes:
    document = docx.Document()
    document.add_heading("A heading", level=1)
    document.add_paragraph(MARKER)
    document.add_table(rows=2, cols=2).cell(0, 0).text = "cell"
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def good_pptx() -> bytes:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "A heading"
    slide.placeholders[1].text = MARKER
    slide.notes_slide.notes_text_frame.text = "notes"
    target = io.BytesIO()
    presentation.save(target)
    return target.getvalue()


def good_xlsx(strings: tuple[str, ...] = ("name", "value", MARKER, "one"), rows: str = SHARED_ROWS) -> bytes:
    """As spreadsheet programs write it: the cells name strings that stand in a part of their own."""
    target = io.BytesIO()
    openpyxl.Workbook().save(target)
    relation = (
        f'<Relationship Id="shared" Type="{RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    )
    items = "".join(f"<si><t>{string}</t></si>" for string in strings)
    sheet = f'<worksheet xmlns="{SHEETS}"><sheetData>{rows}</sheetData></worksheet>'.encode()

    def change(name: str, content: bytes) -> bytes:
        if name == "xl/_rels/workbook.xml.rels":
            return content.replace(b"</Relationships>", relation.encode())
        return sheet if name == MAIN_PART["xlsx"] else content

    shared = {"xl/sharedStrings.xml": f'<sst xmlns="{SHEETS}">{items}</sst>'.encode()}
    return rewritten(target.getvalue(), change, shared)


GOOD: dict[str, Callable[[], bytes]] = {"docx": good_docx, "pptx": good_pptx, "xlsx": good_xlsx}
MAIN_PART = {"docx": "word/document.xml", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/worksheets/sheet1.xml"}


def xml_parts(container: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        names = [name for name in archive.namelist() if name.endswith((".xml", ".rels"))]
    return [name for name in names if not ONE_OF_MANY.search(name)]


def rewritten(container: bytes, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None) -> bytes:
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(container)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written,
    ):
        for name in source.namelist():
            written.writestr(name, change(name, source.read(name)))
        for name, content in (extra or {}).items():
            written.writestr(name, content)
    return target.getvalue()


def with_part(container: bytes, part: str, content: bytes) -> bytes:
    return rewritten(container, lambda name, old: content if name == part else old)


def with_prolog(container: bytes, part: str, prolog: bytes, entity: bytes) -> bytes:
    """`prolog` before the root element of one part, and `entity` used wherever the part has text."""

    def change(name: str, content: bytes) -> bytes:
        if name != part:
            return content
        rest = content[content.find(b"?>") + 2 :] if content.startswith(b"<?xml") else content
        opening, closing, inside = rest.partition(b">")
        if not opening.endswith(b"/"):
            inside = entity + inside.replace(MARKER.encode(), entity)
        return b'<?xml version="1.0" encoding="UTF-8"?>' + prolog + opening + closing + inside

    return rewritten(container, change)


def dense(container: bytes, part: str, size: int = 1 << 28) -> bytes:
    """One part inflates a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = b" " * (1 << 20)
    crc = 0
    packed = []
    for _ in range(size >> 20):
        packed.append(packer.compress(piece))
        crc = zlib.crc32(piece, crc)
    packed.append(packer.flush())
    return _container(
        [(name, content) for name, content in _members(container) if name != part], part, packed, crc, size
    )


def lying_about_its_size(container: bytes, part: str, size: int = 1 << 28) -> bytes:
    """The same, but the directory says that the part is small."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = b" " * (1 << 20)
    packed = [*(packer.compress(piece) for _ in range(size >> 20)), packer.flush()]
    others = [(name, content) for name, content in _members(container) if name != part]
    return _container(others, part, packed, 0, sum(map(len, packed)) * 2)


def nested(container: bytes, part: str, depth: int = 6) -> bytes:
    """Archives of ten archives of ten archives, as embedded objects."""
    content = zlib.compress(b" " * 1_000_000)
    for level in range(depth):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
            for number in range(10):
                written.writestr(f"{level}-{number}.zip", content)
        content = target.getvalue()
    return rewritten(container, lambda _, old: old, {f"{part.partition('/')[0]}/embeddings/oleObject1.bin": content})


def overlapping(container: bytes, count: int = 200, kernel_size: int = 100_000) -> bytes:
    """Members that quote each other's headers, so that all of them share one kernel of packed bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = b"a" * kernel_size
    packed = packer.compress(plain) + packer.flush()
    entries = []
    for number in reversed(range(count)):
        name = b"extra/item%d.xml" % number
        header = _local_header(name, zlib.crc32(plain), len(packed), len(plain))
        entries.append((name, zlib.crc32(plain), len(packed), len(plain), len(header) + len(packed)))
        body = header + packed
        # A stored block of deflate holds this member's header; what follows it is this member's own data.
        packed = b"\x00" + struct.pack("<HH", len(header), len(header) ^ 0xFFFF) + body
        plain = header + plain
    target = io.BytesIO()
    directory = bytearray()
    for member, content in _members(container):
        crc, size = zlib.crc32(content), len(content)
        directory += _directory_entry(member.encode(), crc, size, size, target.tell(), 0)
        target.write(_local_header(member.encode(), crc, size, size, method=0) + content)
    target.write(body)
    for name, crc, packed_size, size, distance in entries:
        directory += _directory_entry(name, crc, packed_size, size, target.tell() - distance, 8)
    _finish(target, bytes(directory), len(entries) + len(_members(container)))
    return target.getvalue()


def many_members(container: bytes, count: int = 30_000) -> bytes:
    return rewritten(container, lambda _, old: old, {f"extra/{n}": b"<a/>" for n in range(count)})


def nested_tables(depth: int = 400) -> bytes:
    table = f"<w:p><w:r><w:t>{MARKER}</w:t></w:r></w:p>"
    for _ in range(depth):
        table = f"<w:tbl><w:tr><w:tc>{table}<w:p/></w:tc></w:tr></w:tbl>"
    return _docx_body(table)


def wide_spans() -> bytes:
    cell = f'<w:tc><w:tcPr><w:gridSpan w:val="2000000000"/></w:tcPr><w:p><w:r><w:t>{MARKER}</w:t></w:r></w:p></w:tc>'
    return _docx_body(f"<w:tbl><w:tr>{cell}</w:tr><w:tr>{cell}</w:tr></w:tbl>")


def nested_groups(depth: int = 400) -> bytes:
    def change(name: str, content: bytes) -> bytes:
        if name != MAIN_PART["pptx"]:
            return content
        group = b"<p:grpSp><p:nvGrpSpPr><p:cNvPr id='9' name='g'/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>"
        return content.replace(b"</p:spTree>", group * depth + b"</p:grpSp>" * depth + b"</p:spTree>")

    return rewritten(good_pptx(), change)


def far_cell() -> bytes:
    """One cell in the last row and column: a sheet of seventeen billion cells to whoever allocates it."""
    cells = (
        f'<row r="1"><c r="A1" t="inlineStr"><is><t>{MARKER}</t></is></c></row>'
        '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far away</t></is></c></row>'
    )
    merged = '<mergeCells count="1"><mergeCell ref="A2:XFC1048575"/></mergeCells>'
    sheet = f'<worksheet xmlns="{SHEETS}"><sheetData>{cells}</sheetData>{merged}</worksheet>'
    return with_part(good_xlsx(), MAIN_PART["xlsx"], sheet.encode())


def one_string_many_times(size: int = 30_000, times: int = 30_000) -> bytes:
    """A shared string of kilobytes, used by every cell: gigabytes of text."""
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, times + 1))
    return good_xlsx(("word " * (size // 5),), rows)


def encrypted_container() -> bytes:
    """What an office program leaves under .docx when asked for a password."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(3000)


def epub(chapter: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        written.writestr(
            "META-INF/container.xml",
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        written.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>'
            '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="c"/></spine></package>',
        )
        written.writestr("c.xhtml", chapter)
    return target.getvalue()


def _docx_body(inner: str) -> bytes:
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{main}"><w:body>{inner}<w:p/></w:body></w:document>'
    return with_part(good_docx(), MAIN_PART["docx"], body.encode())


def _members(container: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _container(others: list[tuple[str, bytes]], part: str, packed: list[bytes], crc: int, size: int) -> bytes:
    target = io.BytesIO()
    directory = bytearray()
    for name, content in others:
        directory += _directory_entry(name.encode(), zlib.crc32(content), len(content), len(content), target.tell(), 0)
        target.write(_local_header(name.encode(), zlib.crc32(content), len(content), len(content), method=0) + content)
    content = b"".join(packed)
    directory += _directory_entry(part.encode(), crc, len(content), size, target.tell(), 8)
    target.write(_local_header(part.encode(), crc, len(content), size) + content)
    _finish(target, bytes(directory), len(others) + 1)
    return target.getvalue()


def _local_header(name: bytes, crc: int, packed: int, size: int, method: int = 8) -> bytes:
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, method, 0, 33, crc, packed, size, len(name), 0) + name


def _directory_entry(name: bytes, crc: int, packed: int, size: int, at: int, method: int) -> bytes:
    fields = (b"PK\x01\x02", 20, 20, 0, method, 0, 33, crc, packed, size, len(name), 0, 0, 0, 0, 0, at)
    return struct.pack("<4s6H3I5H2I", *fields) + name


def _finish(target: io.BytesIO, directory: bytes, count: int) -> None:
    at = target.tell()
    target.write(directory)
    target.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), at, 0))


def entity_variants(container: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(part, kind, document) for every XML part and each way of declaring an entity."""
    for part in xml_parts(container):
        yield part, "billion laughs", with_prolog(container, part, LAUGHS, b"&l9;")
        yield part, "external entity", with_prolog(container, part, external("file:///etc/hostname"), b"&outside;")
        yield part, "DOCTYPE", with_prolog(container, part, DOCTYPE, b"")
