"""Signatures: what the first bytes say a file is, whatever its name says. Knows no parser.

Only what is certain is answered: a kind that some parser reads, or the words for a kind that none does. Text
has no signature; that it is text, and which, is decided elsewhere.
"""

import re
from dataclasses import dataclass
from typing import Final

from ingest.parsing.limits import Source

_HEAD_BYTES: Final = 4096
_PDF_WITHIN_BYTES: Final = 1024  # readers accept what mail gateways and printers put in front
_ZIP_TAIL_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Signature:
    kind: str  # "pdf", "docx", …: the key of a format; "" if no parser reads it
    description: str  # for a person: "a PNG picture"


_REFUSED: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF87a", "a GIF picture"),
    (0, b"GIF89a", "a GIF picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"8BPS", "a Photoshop picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyp", "a video or sound recording"),
    (8, b"WAVE", "a sound recording"),
    (8, b"AVI ", "a video"),
    (0, b"ID3", "a sound recording"),
    (0, b"\xff\xfb", "a sound recording"),
    (0, b"OggS", "a sound recording"),
    (0, b"fLaC", "a sound recording"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"\x00\x00\x01\xba", "a video"),
    (0, b"\x1f\x8b", "a compressed archive (gzip)"),
    (0, b"BZh", "a compressed archive (bzip2)"),
    (0, b"\xfd7zXZ\0", "a compressed archive (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "a compressed archive (zstd)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"MSCF", "a cabinet archive"),
    (0, b"!<arch>\n", "a Unix library or package"),
    (0, b"\x7fELF", "an executable program"),
    (0, b"\xca\xfe\xba\xbe", "a compiled program"),
    (0, b"\xcf\xfa\xed\xfe", "an executable program"),
    (0, b"\xce\xfa\xed\xfe", "an executable program"),
    (0, b"\0asm", "a compiled program"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"wOFF", "a font"),
    (0, b"wOF2", "a font"),
    (0, b"\0\x01\0\0\0", "a font"),
    (0, b"OTTO\0", "a font"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 container"),
    (0, b"%!PS", "a PostScript program; print it to PDF"),
    (0, b"AT&TFORM", "a DjVu document; convert it to PDF"),
)
# Letters alone would also begin a text: these need more than their first bytes.
_TWO_LETTERS: Final = (
    (re.compile(rb"MZ(?s:.{58}).{0,2}(?s:.{0,4000})(?:PE\0\0|DOS mode)"), "an executable program"),
    (re.compile(rb"BM(?s:.{4})\0\0\0\0(?s:.{4})[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"), "a bitmap picture"),
)
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE_FOLDERS: Final = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"))
_OLD_OFFICE: Final = (
    ("WordDocument", "a Word 97-2003 document; save it as .docx"),
    ("PowerPoint Document", "a PowerPoint 97-2003 presentation; save it as .pptx"),
    ("Workbook", "an Excel 97-2003 workbook; save it as .xlsx"),
    ("__substg1.0_", "an Outlook message; save it as .eml"),
)
# Possessive throughout: comments without end must not be divided in every possible way.
_SVG: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]{0,200}+>\s*+)?+(?:<!--(?:(?!-->).)*+-->\s*+)*+(?:<!DOCTYPE svg[^>]*+>\s*+)?+<svg[\s>]",
    re.DOTALL,
)


def recognise(source: Source) -> Signature | None:
    """What the bytes certainly are; None for text and for binary without a known signature."""
    head = source[:_HEAD_BYTES]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(source, head)
    if head.startswith(_OLE):
        return _ole_kind(source)
    if re.match(rb"\s*\{\\rtf", head):
        return Signature("rtf", "an RTF document")
    if head[:_PDF_WITHIN_BYTES].find(b"%PDF-") >= 0 and _is_pdf(head):
        return Signature("pdf", "a PDF document")
    for at, magic, description in _REFUSED:
        if head.startswith(magic, at) and not (at and at < 257 and magic != b"ftyp" and _is_ascii_text(head)):
            return Signature("", description)
    for pattern, description in _TWO_LETTERS:
        if pattern.match(head):
            return Signature("", description)
    return Signature("", "an SVG picture") if _SVG.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def _is_pdf(head: bytes) -> bool:
    """At the very front always; further on only with an object behind it: prose may well mention %PDF-1.7."""
    at = head.find(b"%PDF-")
    return not head[:at].strip() or re.search(rb"[\r\n]\d+ \d+ obj\b", head[at:]) is not None


def _is_ascii_text(head: bytes) -> bool:
    return head.isascii() and b"\0" not in head


def _zip_kind(source: Source, head: bytes) -> Signature:
    names = _member_names(source)
    if "META-INF/container.xml" in names or head[30:].startswith(b"mimetypeapplication/epub+zip"):
        return Signature("epub", "an EPUB book")
    if head[30:].startswith(b"mimetypeapplication/vnd.oasis.opendocument"):
        return Signature("", "an OpenDocument file; save it as .docx, .pptx, .xlsx or PDF")
    if "[Content_Types].xml" in names or "_rels/.rels" in names:
        for folder, kind in _OFFICE_FOLDERS:
            if any(name.startswith(folder) for name in names):
                return Signature(kind, f"an office document (.{kind})")
    return Signature("", "a zip archive; upload the files inside it one by one")


def _member_names(source: Source) -> set[str]:
    """From the directory at the end; of a truncated file, from the headers in front of the members themselves."""
    tail = source[max(0, len(source) - _ZIP_TAIL_BYTES) :]
    names = _names_after(tail, b"PK\x01\x02", length_at=28, name_at=46)
    return names or _names_after(source[:_ZIP_TAIL_BYTES], b"PK\x03\x04", length_at=26, name_at=30)


def _names_after(data: bytes, magic: bytes, *, length_at: int, name_at: int) -> set[str]:
    names = set()
    at = data.find(magic)
    while at >= 0:
        length = int.from_bytes(data[at + length_at : at + length_at + 2], "little")
        names.add(data[at + name_at : at + name_at + length].decode("utf-8", "replace"))
        at = data.find(magic, at + 4)
    return names


def _ole_kind(source: Source) -> Signature:
    if source.find("EncryptedPackage".encode("utf-16-le")) >= 0:
        return Signature("encrypted", "a document protected by a password")
    for stream, description in _OLD_OFFICE:
        if source.find(stream.encode("utf-16-le")) >= 0:
            return Signature("", description)
    return Signature("", "a file of an old office program; save it as .docx, .pptx, .xlsx or PDF")
