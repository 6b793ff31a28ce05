"""XML parts of documents, parsed with everything dangerous switched off: the only door to lxml's parsers.

No DTD, no entities, no network, no huge trees. A DOCTYPE is refused before the parser sees it: no office program
writes one, and every known way of making a small XML file expand starts with it.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from lxml import etree

from ingest.errors import DamagedDocument, DocumentTooLarge, HostileDocument
from ingest.parsing.limits import Limits

# Atomic groups: without them the ways to split a prolog into instructions and comments grow exponentially.
PROLOG_WITH_DOCTYPE = re.compile(
    rb"(?:\xef\xbb\xbf)?+(?>\s++|<\?(?s:.*?)\?>|<!--(?s:.*?)-->)*+<!DOCTYPE", re.IGNORECASE
)
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
PROLOG_BYTES = 64 * 1024
TREE_BYTES_PER_XML_BYTE = 12  # measured on office documents, where tags outweigh text
LIBXML_DEPTH = 256


def parse_xml(data: bytes, limits: Limits, *, part: str) -> etree._Element:
    """The root of one whole part; `part` names it in the error."""
    _refuse_doctype(data, part)
    most = limits.memory_bytes // TREE_BYTES_PER_XML_BYTE
    if len(data) > most:
        raise DocumentTooLarge(
            f"The part {part!r} of this file is {len(data):,} bytes of XML; at most {most:,} can be read."
        )
    try:
        root = etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _refusal(error, part) from error
    if root.getroottree().docinfo.internalDTD is not None:  # an encoding we could not look through
        raise _doctype_refusal(part)
    if _too_deep(limits.nesting)(root):
        raise HostileDocument(f"The part {part!r} of this file is nested more than {limits.nesting} levels deep.")
    return root


def stream_elements(pieces: Iterable[bytes], tags: Iterable[str], *, part: str) -> Iterator[etree._Element]:
    """Each element with one of `tags` when it ends, from a part that need not fit into memory; it is emptied after use.

    Tags must not contain each other. Nesting is bounded by libxml's own limit."""
    parser = etree.XMLPullParser(
        events=("end",), tag=tuple(tags), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    head = b""
    try:
        for piece in pieces:
            if len(head) < PROLOG_BYTES:
                head += piece
                _refuse_doctype(head, part)
            parser.feed(piece)
            for _, element in parser.read_events():
                yield element
                _forget(element)
        root = parser.close()
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _refusal(error, part) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype_refusal(part)


def _forget(element: etree._Element) -> None:
    """Drop the element's content and its finished elder siblings, or the tree grows with the part."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def _refuse_doctype(data: bytes, part: str) -> None:
    if data.startswith(UTF_16_MARKS):
        data = data.replace(b"\0", b"").lstrip(b"\xff\xfe")
    if PROLOG_WITH_DOCTYPE.match(data):
        raise _doctype_refusal(part)


def _doctype_refusal(part: str) -> HostileDocument:
    return HostileDocument(
        f"The part {part!r} of this file declares a DOCTYPE, which documents never need; it is not read."
    )


def _refusal(error: Exception, part: str) -> DamagedDocument | HostileDocument:
    reason = str(error)
    if "depth" in reason:
        return HostileDocument(f"The part {part!r} of this file is nested too deeply.")
    return DamagedDocument(f"The part {part!r} of this file is not well-formed XML. Save it again.")


@lru_cache(maxsize=8)
def _too_deep(nesting: int) -> etree.XPath:
    """Walks level by level inside libxml, which refuses more than LIBXML_DEPTH levels by itself."""
    return etree.XPath(f"boolean({'/*' * (min(nesting, LIBXML_DEPTH) + 1)})")
