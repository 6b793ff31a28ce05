"""The words of a Word paragraph, after everything a reader would not see has been taken out of the tree.

Insertions are kept and deletions dropped, as if all tracked changes were accepted. Hidden text, phonetic guides and
prompts of empty form fields go; text boxes are cut out and handed to the paragraph they are anchored in.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.docx_styles import W, is_on

MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
TEXT, MATH_TEXT, TAB, BREAK = f"{W}t", f"{MATH}t", f"{W}tab", f"{W}br"
PAGE_TURN = f"{W}lastRenderedPageBreak"
NOTE_KINDS = {f"{W}footnoteReference": "footnotes", f"{W}endnoteReference": "endnotes"}
PLAIN_MARKS = {
    f"{W}cr": "\n",
    f"{W}ptab": "\t",
    f"{W}noBreakHyphen": "-",
}
COMMENT = f"{W}commentReference"
SYMBOL = f"{W}sym"
SPOKEN = frozenset((TEXT, TAB, BREAK, PAGE_TURN, MATH_TEXT, COMMENT, SYMBOL, *NOTE_KINDS, *PLAIN_MARKS))
# Marked on a paragraph whose end was deleted: its words go on in the next one.
GOES_ON = "carrel-goes-on"
DELETIONS = (f"{W}del", f"{W}moveFrom")
UNSEEN = (*DELETIONS, FALLBACK, f"{W}rt", f"{W}vanish", f"{W}txbxContent", f"{W}showingPlcHdr")

TextBoxes = dict[etree._Element, list[etree._Element]]


@dataclass(slots=True)
class Inline:
    """One paragraph read: its text, and what it refers to."""

    text: str = ""
    pages_before: int = 0  # pages turned before its first word
    pages_within: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)  # (footnotes | endnotes, id)
    comments: int = 0


def prepare(root: etree._Element) -> TextBoxes:
    """Takes out of the tree what is not to be read; returns the text boxes by the paragraph that holds them."""
    boxes: defaultdict[etree._Element, list[etree._Element]] = defaultdict(list)
    for element in list(root.iter(*UNSEEN)):
        tag = element.tag
        parent = element.getparent()
        if parent is None:
            continue
        if tag == f"{W}txbxContent":
            host = next(element.iterancestors(f"{W}p"), None)
            _remove(element)
            if host is not None:
                boxes[host].append(element)
        elif tag == f"{W}vanish":
            run = parent.getparent()
            if is_on(element) and parent.tag == f"{W}rPr" and run is not None and run.tag == f"{W}r":
                _remove(run)
        elif tag == f"{W}showingPlcHdr":
            _drop_prompt(parent)
        elif tag in DELETIONS and parent.tag == f"{W}trPr":
            _remove(parent.getparent())
        elif tag in DELETIONS and parent.tag == f"{W}rPr":
            paragraph = next(parent.iterancestors(f"{W}p"), None)
            if paragraph is not None:
                paragraph.set(GOES_ON, "1")
        else:
            _remove(element)
    return boxes


def _drop_prompt(properties: etree._Element) -> None:
    field_element = properties.getparent()
    content = field_element.find(f"{W}sdtContent") if field_element is not None else None
    if content is not None:
        _remove(content)


def _remove(element: etree._Element | None) -> None:
    parent = element.getparent() if element is not None else None
    if element is not None and parent is not None:
        parent.remove(element)


def read_inline(paragraph: etree._Element) -> Inline:
    found = Inline()
    parts: list[str] = []
    for element in paragraph.iter():  # asking lxml for some tags only costs eight times as much
        tag = element.tag
        if tag not in SPOKEN:
            continue
        if tag in (TEXT, MATH_TEXT):
            if element.text:
                parts.append(element.text)
        elif tag == PAGE_TURN:
            if parts:
                found.pages_within += 1
            else:
                found.pages_before += 1
        elif tag == BREAK:
            if element.get(f"{W}type") not in ("page", "column"):
                parts.append("\n")
        elif tag == TAB:
            # The same name stands for a tab stop among a paragraph's properties.
            if (parent := element.getparent()) is not None and parent.tag != f"{W}tabs":
                parts.append("\t")
        elif tag in NOTE_KINDS:
            found.notes.append((NOTE_KINDS[tag], element.get(f"{W}id", "")))
        elif tag == COMMENT:
            found.comments += 1
        else:
            parts.append(PLAIN_MARKS.get(str(tag)) or _symbol(element))
    found.text = "".join(parts)
    return found


def _symbol(element: etree._Element) -> str:
    """A character of a symbol font: only those outside its private range mean something elsewhere."""
    try:
        code = int(element.get(f"{W}char", ""), 16)
    except ValueError:
        return ""
    return chr(code) if 32 <= code < 0xD800 or 0xF900 <= code < 0x110000 else ""
