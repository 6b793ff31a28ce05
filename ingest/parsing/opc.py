"""Office Open XML packages: parts of a zip container, and the relationships that join them.

Parts are found through relationships, never by guessing names. Every part is parsed by `safe_xml`.
"""

import posixpath
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from ingest.errors import DamagedDocument, UnsupportedFile
from ingest.parsing.archive import Archive, open_archive
from ingest.parsing.limits import Limits, Source
from ingest.parsing.safe_xml import parse_xml

RELATIONSHIP = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
RELATIONSHIP_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
DUBLIN_CORE_TITLE = "{http://purl.org/dc/elements/1.1/}title"
# The strict edition of the standard says the same things under other names.
STRICT = b"http://purl.oclc.org/ooxml/"
STRICT_NAMES = (
    (
        b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    ),
    (b"http://purl.oclc.org/ooxml/presentationml/main", b"http://schemas.openxmlformats.org/presentationml/2006/main"),
    (b"http://purl.oclc.org/ooxml/spreadsheetml/main", b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (b"http://purl.oclc.org/ooxml/drawingml/", b"http://schemas.openxmlformats.org/drawingml/2006/"),
    (
        b"http://purl.oclc.org/ooxml/officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)


@dataclass(frozen=True, slots=True)
class Relationship:
    kind: str  # the last word of its type: "styles", "slide", …
    target: str  # a part's name, or an address outside


class Package:
    def __init__(self, source: Source, limits: Limits) -> None:
        self._limits = limits
        self.archive: Archive = open_archive(source, limits)
        self._relationships: dict[str, dict[str, Relationship]] = {}
        self._names = {name.casefold(): name for name in self.archive.names}  # part names ignore case

    def main_part(self, root: str, what: str) -> str:
        """The part everything starts from, which must lie in `root`; `what` the file should be, for the error."""
        for relationship in self.relationships("").values():
            if relationship.kind == "officeDocument" and self.has(relationship.target):
                if relationship.target.casefold().startswith(root):
                    return relationship.target
                raise UnsupportedFile(f"This file is an office document, but not {what}. Upload it under its own name.")
        raise DamagedDocument(f"This file is not {what}, or parts of it are missing. Save it again.")

    def has(self, part: str) -> bool:
        return part.casefold() in self._names

    def name(self, part: str) -> str:
        return self._names.get(part.casefold(), part)

    def xml(self, part: str) -> etree._Element:
        data = self.archive.read(self.name(part))
        if STRICT in data:
            for strict, usual in STRICT_NAMES:
                data = data.replace(strict, usual)
        return parse_xml(data, self._limits, part=part)

    def relationships(self, part: str) -> dict[str, Relationship]:
        """By id; of a part without any: none."""
        if part not in self._relationships:
            self._relationships[part] = self._read_relationships(part)
        return self._relationships[part]

    def _read_relationships(self, part: str) -> dict[str, Relationship]:
        folder, _, name = part.rpartition("/")
        listing = posixpath.join(folder, "_rels", f"{name}.rels")
        if not self.has(listing):
            return {}
        found: dict[str, Relationship] = {}
        for element in self.xml(listing).iter(RELATIONSHIP):
            kind = element.get("Type", "").rpartition("/")[2]
            target = element.get("Target", "")
            if element.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, unquote(target))).lstrip("/")
            found[element.get("Id", "")] = Relationship(kind, target)
        return found

    def related(self, part: str, kind: str) -> str | None:
        """The first part of `kind` that `part` points to, if it is there."""
        for relationship in self.relationships(part).values():
            if relationship.kind == kind and self.has(relationship.target):
                return relationship.target
        return None

    def title(self) -> str:
        """What the document's properties call it. Properties too damaged to read are no reason to refuse the text."""
        part = self.related("", "core-properties")
        if part is None:
            return ""
        try:
            return str(self.xml(part).findtext(f".//{DUBLIN_CORE_TITLE}") or "")
        except DamagedDocument:
            return ""
