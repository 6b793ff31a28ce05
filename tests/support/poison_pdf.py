"""PDFs that nobody should have to open, written object by object."""

import io
import zlib

from pypdf import PdfReader, PdfWriter

MARKER = "harmless words"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
Objects = dict[int, bytes]


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def shown(text: str) -> bytes:
    return b"BT /F1 12 Tf 72 700 Td (%s) Tj ET" % text.encode("latin-1")


def page(contents: int = 4, parent: int = 2) -> bytes:
    return (
        b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>" % (parent, contents)
    )


def one_page(contents: bytes | None = None) -> Objects:
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: page(),
        4: stream(shown(MARKER)) if contents is None else contents,
        5: FONT,
    }


def pdf(objects: Objects, *, size: int | None = None, trailer: bytes = b"") -> bytes:
    written = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, content in sorted(objects.items()):
        places[number] = len(written)
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(written)
    last = max(objects) + 1
    rows = b"".join(
        b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n" for number in range(last)
    )
    written += b"xref\n0 %d\n%s" % (last, rows)
    written += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (size or last, trailer)
    written += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(written)


def good() -> bytes:
    return pdf(one_page())


def encrypted(password: str) -> bytes:
    """With a password to open it; an empty one locks only what may be done with it."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(good())))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def scanned() -> bytes:
    picture = zlib.compress(bytes(100 * 100))
    objects = one_page(stream(b"q 612 0 0 792 0 0 cm /Im1 Do Q"))
    objects[3] = objects[3].replace(b"/Resources << ", b"/Resources << /XObject << /Im1 6 0 R >> ")
    entries = b"/Type /XObject /Subtype /Image /Width 100 /Height 100 /ColorSpace /DeviceGray"
    objects[6] = stream(picture, entries + b" /BitsPerComponent 8 /Filter /FlateDecode")
    return pdf(objects)


def recursive_page_tree() -> bytes:
    objects = one_page()
    objects[2] = b"<< /Type /Pages /Kids [2 0 R 6 0 R] /Count 3 >>"
    objects[6] = b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 2 >>"
    return pdf(objects)


def page_tree_that_doubles() -> bytes:
    """Forty levels, each naming the next twice: a trillion pages in four kilobytes."""
    objects = one_page()
    objects[2] = b"<< /Type /Pages /Kids [10 0 R 10 0 R] /Count 1099511627776 >>"
    for level in range(10, 50):
        child = b"3 0 R" if level == 49 else b"%d 0 R" % (level + 1)
        objects[level] = b"<< /Type /Pages /Parent 2 0 R /Kids [%s %s] /Count %d >>" % (child, child, 1 << (50 - level))
    return pdf(objects)


def circular_references() -> bytes:
    objects = one_page()
    objects[1] = b"<< /Type /Catalog /Pages 2 0 R /Outlines 7 0 R >>"
    objects[4] = b"[4 0 R 6 0 R 8 0 R]"
    objects[6] = b"[4 0 R]"
    objects[7] = b"<< /Type /Outlines /First 9 0 R /Last 9 0 R /Count 1 >>"
    objects[8] = stream(shown(MARKER))
    objects[9] = b"<< /Title (Chapter) /Parent 9 0 R /Next 9 0 R /First 9 0 R /Last 9 0 R /Dest [3 0 R /Fit] >>"
    return pdf(objects)


def form_that_contains_itself() -> bytes:
    objects = one_page(stream(shown(MARKER) + b" /Fm1 Do"))
    objects[3] = objects[3].replace(b"/Resources << ", b"/Resources << /XObject << /Fm1 6 0 R >> ")
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << /XObject << /Fm1 6 0 R >> >>"
    objects[6] = stream(b"/Fm1 Do /Fm1 Do", form)
    return pdf(objects)


def previous_table_is_this_one() -> bytes:
    written = good()
    at = written.rindex(b"xref\n0")
    return written.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % at)


def length_that_names_itself() -> bytes:
    objects = one_page()
    objects[4] = b"<< /Length 4 0 R >>\nstream\n%s\nendstream" % shown(MARKER)
    return pdf(objects)


def stacked_filters(layers: int = 6, size: int = 1 << 28) -> bytes:
    """A quarter of a gigabyte of white space, deflated over and over into some hundred bytes."""
    packer = zlib.compressobj(9)
    content = b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)), packer.flush()])
    for _ in range(layers - 1):
        content = zlib.compress(content, 9)
    return pdf(one_page(stream(content, b"/Filter [%s]" % (b"/FlateDecode " * layers))))


def run_length_over_deflate(size: int = 1 << 24) -> bytes:
    """Each pair of bytes becomes 128: two gigabytes in a few kilobytes."""
    content = zlib.compress(zlib.compress(b"\x81 " * (size // 2) + b"\x80", 9), 9)
    return pdf(one_page(stream(content, b"/Filter [/FlateDecode /FlateDecode /RunLengthDecode]")))


def huge_size() -> bytes:
    return pdf(one_page(), size=2_000_000_000)


def deep_arrays(depth: int = 200_000) -> bytes:
    objects = one_page()
    objects[6] = b"[" * depth + b"]" * depth
    objects[1] = b"<< /Type /Catalog /Pages 2 0 R /Deep 6 0 R /Names 6 0 R >>"
    return pdf(objects)


def unfinished_inline_image() -> bytes:
    content = shown(MARKER) + b" BI /W 4 /H 4 /BPC 8 /CS /G ID " + b"\xffEIEI " * 200_000
    return pdf(one_page(stream(content)))


def object_streams_in_a_ring() -> bytes:
    """Two object streams, each said to extend the other, and the pages inside them."""
    inner = b"2 0 << /Type /Pages /Kids [3 0 R] /Count 1 >>"
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        3: page(),
        4: stream(shown(MARKER)),
        5: FONT,
        6: stream(inner, b"/Type /ObjStm /N 1 /First 4 /Extends 7 0 R"),
        7: stream(inner, b"/Type /ObjStm /N 1 /First 4 /Extends 6 0 R"),
    }
    written = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, content in objects.items():
        places[number] = len(written)
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(written)
    rows = bytearray(b"\x00\x00\x00\x00\xff")
    for number in range(1, 8):
        if number in places:
            rows += b"\x01" + places[number].to_bytes(3, "big") + b"\x00"
        else:
            rows += b"\x02" + (6).to_bytes(3, "big") + b"\x00"
    rows += b"\x01" + start.to_bytes(3, "big") + b"\x00"
    table = stream(bytes(rows), b"/Type /XRef /Size 9 /W [1 3 1] /Root 1 0 R")
    written += b"8 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (table, start)
    return bytes(written)


def many_pages(count: int) -> bytes:
    objects: Objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 5: FONT}
    first = 10
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(count))
    objects[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    for number in range(count):
        objects[first + 2 * number] = page(contents=first + 2 * number + 1)
        objects[first + 2 * number + 1] = stream(shown(f"This is page number {number + 1} of many."))
    return pdf(objects)


def endless_text(size: int = 40 << 20) -> bytes:
    """One page that shows the same words a million times."""
    line = b"(words without an end) Tj 0 -1 Td "
    content = b"BT /F1 1 Tf 72 700 Td " + line * (size // len(line)) + b"ET"
    return pdf(one_page(stream(zlib.compress(content, 9), b"/Filter /FlateDecode")))
