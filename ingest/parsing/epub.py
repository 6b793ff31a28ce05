"""EPUB -> Document: the chapters of the spine, in reading order, each read as the HTML that it is."""

import posixpath
from typing import Final
from urllib.parse import unquote

from lxml import etree

from ingest.document import Document
from ingest.errors import DamagedDocument, EmptyDocument, EncryptedDocument
from ingest.parsing.archive import Archive, open_archive
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode
from ingest.parsing.html import add_html
from ingest.parsing.limits import Limits, Source
from ingest.parsing.safe_xml import parse_xml

MEDIA_TYPE: Final = "application/epub+zip"
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_CHAPTER_TYPES: Final = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_FONT_SCRAMBLERS: Final = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def parse_epub(source: Source, limits: Limits) -> Document:
    archive = open_archive(source, limits)
    _refuse_encrypted(archive)
    assembly = Assembly(limits)
    package_name = _package_name(archive, limits)
    package = parse_xml(archive.read(package_name), limits, part=package_name)
    for chapter in _chapters(package, package_name):
        if chapter not in archive:
            assembly.warnings.append(f"The chapter {chapter[:200]!r} is missing from the book.")
            continue
        assembly.forget_headings()
        add_html(decode(archive.read(chapter), limits, markup=True).text, assembly, limits)
    try:
        return assembly.finish(MEDIA_TYPE, title=_title(package))
    except EmptyDocument as error:
        raise EmptyDocument("The book holds no text: its pages may be pictures.") from error


def _refuse_encrypted(archive: Archive) -> None:
    """Scrambled fonts are common and no hindrance; anything else encrypted is the text."""
    if _ENCRYPTION not in archive:
        return
    listing = archive.read(_ENCRYPTION)
    methods = listing.count(b"EncryptionMethod ")
    if methods > sum(listing.count(scrambler) for scrambler in _FONT_SCRAMBLERS):
        raise EncryptedDocument("The book is protected against copying. Only books without protection can be read.")


def _package_name(archive: Archive, limits: Limits) -> str:
    container = parse_xml(archive.read(_CONTAINER), limits, part=_CONTAINER)
    for root_file in container.iter("{*}rootfile"):
        if name := root_file.get("full-path"):
            return str(name)
    raise DamagedDocument("The book does not say where its contents are. Save it again.")


def _chapters(package: etree._Element, package_name: str) -> list[str]:
    folder = posixpath.dirname(package_name)
    files: dict[str, str] = {}
    for item in package.iter("{*}item"):
        if item.get("media-type") in _CHAPTER_TYPES and "nav" not in (item.get("properties") or "").split():
            path = unquote((item.get("href") or "").partition("#")[0])
            files[item.get("id") or ""] = posixpath.normpath(posixpath.join(folder, path))
    spine = [files[reference] for entry in package.iter("{*}itemref") if (reference := entry.get("idref")) in files]
    return list(dict.fromkeys(spine)) or sorted(files.values())


def _title(package: etree._Element) -> str:
    for element in package.iter("{http://purl.org/dc/elements/1.1/}title"):
        return "".join(element.itertext())
    return ""
