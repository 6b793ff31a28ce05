import io
import zipfile

import pytest

from ingest.document import Document
from ingest.errors import DamagedDocument, EmptyDocument, EncryptedDocument, HostileDocument
from ingest.parsing.epub import parse_epub
from ingest.parsing.limits import Limits

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
)
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
  <metadata><dc:title>My Book</dc:title></metadata>
  <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="one" href="text/ch%201.xhtml" media-type="application/xhtml+xml"/>
    <item id="two" href="text/../ch2.xhtml" media-type="application/xhtml+xml"/>
    <item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>
    <item id="pic" href="p.png" media-type="image/png"/>
  </manifest>
  <spine><itemref idref="nav"/><itemref idref="two"/>
    <itemref idref="pic"/><itemref idref="one"/>{more}</spine></package>"""
ONE = "<?xml version='1.0'?><!DOCTYPE html><html><body><h1>One</h1><p>first words</p></body></html>"
TWO = "<html><body><h1>Two</h1><h2>Sub</h2><p>second words</p></body></html>"


def book(**changes: str) -> bytes:
    parts = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/content.opf": PACKAGE.replace("{more}", ""),
        "OEBPS/nav.xhtml": "<html><body><p>Contents</p></body></html>",
        "OEBPS/text/ch 1.xhtml": ONE,
        "OEBPS/ch2.xhtml": TWO,
        **changes,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()


def read(source: bytes) -> Document:
    return parse_epub(source, Limits())


def test_chapters_come_in_the_order_of_the_spine() -> None:
    document = read(book())
    texts = [document.text[block.start : block.end] for block in document.blocks]
    assert texts == ["Two", "Sub", "second words", "One", "first words"]
    assert document.blocks[-1].heading_path == ("One",)
    assert document.title == "My Book"


def test_a_missing_chapter_is_said() -> None:
    document = read(book(**{"OEBPS/content.opf": PACKAGE.replace("{more}", '<itemref idref="gone"/>')}))
    assert "gone.xhtml" in document.warnings[0]


def test_protection_against_copying_is_said() -> None:
    encryption = '<e><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></e>'
    with pytest.raises(EncryptedDocument):
        read(book(**{"META-INF/encryption.xml": encryption}))
    fonts = '<e><EncryptionMethod Algorithm="http://www.idpf.org/2008/embedding"/></e>'
    assert read(book(**{"META-INF/encryption.xml": fonts})).blocks


def test_a_book_of_pictures_is_empty() -> None:
    blank = "<html><body><img src='p.png'></body></html>"
    with pytest.raises(EmptyDocument):
        read(book(**{"OEBPS/text/ch 1.xhtml": blank, "OEBPS/ch2.xhtml": blank}))


@pytest.mark.parametrize("part", ["META-INF/container.xml", "OEBPS/content.opf"])
def test_entities_in_its_own_parts_are_refused(part: str) -> None:
    with pytest.raises(HostileDocument):
        read(book(**{part: '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'}))


def test_a_bomb_is_refused_before_it_expands() -> None:
    with pytest.raises(HostileDocument):
        read(book(**{"OEBPS/ch2.xhtml": "<p>" + " " * 50_000_000}))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_off_book_is_damaged(kept: float) -> None:
    whole = book()
    with pytest.raises(DamagedDocument):
        read(whole[: int(len(whole) * kept)])


def test_a_book_that_does_not_say_where_it_is() -> None:
    with pytest.raises(DamagedDocument):
        read(book(**{"META-INF/container.xml": "<container/>"}))
