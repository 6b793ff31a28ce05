"""HTML -> Document: what a reader of the page came for, without navigation, scripts and page furniture.

The tree is built by lexbor, as browsers do it, and walked without recursion. What would make that tree huge or
deep is refused before it is built: lexbor has no limits of its own.
"""

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.document import BlockKind, Document
from ingest.errors import DocumentTooLarge, EmptyDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode
from ingest.parsing.html_guard import guarded_markup
from ingest.parsing.limits import Limits, Source

MEDIA_TYPE = "text/html"
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 4096
_SILENT = frozenset(
    "script style noscript template iframe object embed canvas audio video svg button select input textarea datalist "
    "nav head map menu annotation annotation-xml".split()
)
_FURNITURE = frozenset(["header", "footer", "aside"])  # unless inside an article, where they belong to it
_HOMES = frozenset(["article", "main"])
_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dir div dl dt fieldset figcaption figure footer "
    "form header hgroup hr html legend main p search section summary table tbody td tfoot th thead tr ul ol".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = ", ".join(
    [
        *(f"[role={role}]" for role in "navigation banner contentinfo search menu menubar dialog".split()),
        *("[aria-hidden=true]", "[hidden]", "[style*='display:none']", "[style*='display: none']"),
        *(".navbar", ".navigation", ".nav-menu", ".breadcrumb", ".breadcrumbs", ".sidebar", ".sphinxsidebar"),
        *(".site-header", ".site-footer", ".page-footer", ".cookie-banner", ".cookie-consent", ".skip-link"),
        *(".headerlink", ".anchor-link", ".mw-editsection", ".noprint", ".pagination", ".share-buttons"),
        *(".visually-hidden", ".sr-only"),
    ]
)
_ANCHOR_SIGNS = " §¶"  # links to themselves that generators put beside headings
_LINE_BREAK = "\ue000"  # stands for <br> until white space has been folded
_LEAST_MAIN_SHARE = 5  # <main> is believed if it has at least a fifth of the page's text


def parse_html(source: Source, limits: Limits) -> Document:
    declared = _DECLARED.search(source[:_DECLARED_WITHIN_BYTES])
    decoded = decode(source, limits, declared=declared.group(1).decode("ascii") if declared else "", markup=True)
    assembly = Assembly(limits)
    assembly.warnings.extend(decoded.warnings)
    title = add_html(decoded.text, assembly, limits)
    try:
        return assembly.finish(MEDIA_TYPE, title=title)
    except EmptyDocument as error:
        raise EmptyDocument("The page holds no text: it may be drawn by scripts, which are not run.") from error


def add_html(markup: str, assembly: Assembly, limits: Limits, *, place: int | None = None) -> str:
    """Add a page's blocks; returns its title."""
    tree = LexborHTMLParser(guarded_markup(markup, limits))
    tree.strip_tags(["script", "style", "template"])
    title = tree.css_first("title")
    body = tree.body or tree.root
    if body is None:
        return ""
    hidden = {node.mem_id for node in body.css(_HIDDEN) if not node.css_first("h1, main")}
    page = _Page(assembly, limits, place)
    page.read(_main_part(tree, body), hidden)
    if not page.has_text:  # all of it looked like furniture: then none of it is
        page.read(body, set(), furniture=_SILENT - {"nav", "menu"})
    return title.text(deep=True) if title is not None else ""


def _main_part(tree: LexborHTMLParser, body: LexborNode) -> LexborNode:
    found = tree.css("main, [role=main]")
    if len(found) != 1:
        return body
    return found[0] if len(found[0].text()) * _LEAST_MAIN_SHARE >= len(body.text()) else body


@dataclass(slots=True)
class _List:
    ordered: bool
    items: int = 0


@dataclass(slots=True)
class _Pending:
    """The block whose text is being collected."""

    kind: BlockKind = BlockKind.PARAGRAPH
    level: int = 0
    prefix: str = ""
    parts: list[str] = field(default_factory=list)


class _Page:
    def __init__(self, assembly: Assembly, limits: Limits, place: int | None) -> None:
        self._assembly = assembly
        self._limits = limits
        self._place = place
        self._pending = _Pending()
        self._lists: list[_List] = []
        self._homes = 0
        self._silent = _SILENT
        self._hidden: set[int] = set()
        self._furniture_counts = False
        self.has_text = False

    def read(self, root: LexborNode, hidden: set[int], furniture: frozenset[str] = _SILENT) -> None:
        self._hidden, self._silent = hidden, furniture
        self._furniture_counts = furniture is not _SILENT
        node: LexborNode | None = root
        outermost = root.mem_id
        while node is not None:
            child = node.first_child if self._enter(node) else None
            if child is not None:
                node = child
                continue
            while True:
                self._leave(node.tag or "")
                if node.mem_id == outermost:
                    node = None
                    break
                if (following := node.next) is not None:
                    node = following
                    break
                parent = node.parent
                if parent is None:
                    node = None
                    break
                node = parent
        self._flush()

    def _enter(self, node: LexborNode) -> bool:
        """Begin an element; whether to go into it."""
        tag = node.tag or ""
        if tag == "-text":
            self._pending.parts.append(node.text_content or "")
            return False
        if tag[:1] in "-!_" or tag in self._silent or (self._hidden and node.mem_id in self._hidden):
            return False
        if tag in _HOMES:
            self._homes += 1
        elif tag in _FURNITURE and not self._homes and not self._furniture_counts and not node.css_first("h1, main"):
            return False
        if tag == "br":
            self._pending.parts.append(_LINE_BREAK)
        elif tag == "img":
            self._pending.parts.append(f" {node.attributes.get('alt') or ''} ")
        elif tag in _HEADINGS:
            self._start(BlockKind.HEADING, _HEADINGS[tag])
        elif tag == "li":
            self._start_item()
        elif tag == "pre":
            self._flush()
            self._add_code(node)
            return False
        elif tag == "table" and _is_data(node):
            self._flush()
            self._add_table(node)
            return False
        elif tag in _BLOCKS:
            self._open_block(tag)
        return True

    def _open_block(self, tag: str) -> None:
        if not (tag in ("p", "div") and self._pending.prefix and not self._has_pending_text()):
            self._flush()  # except <li><p>: the paragraph is the item
        if tag in ("ul", "ol"):
            self._lists.append(_List(tag == "ol"))

    def _leave(self, tag: str) -> None:
        if tag in _HOMES:
            self._homes = max(0, self._homes - 1)
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        if tag in _BLOCKS or tag in _HEADINGS or tag == "li":
            self._flush()

    def _start(self, kind: BlockKind, level: int, prefix: str = "") -> None:
        self._flush()
        self._pending = _Pending(kind, level, prefix)

    def _start_item(self) -> None:
        depth = max(1, len(self._lists))
        prefix = "- "
        if self._lists and self._lists[-1].ordered:
            self._lists[-1].items += 1
            prefix = f"{self._lists[-1].items}. "
        self._start(BlockKind.LIST_ITEM, depth, "  " * (depth - 1) + prefix)

    def _has_pending_text(self) -> bool:
        return any(not part.isspace() for part in self._pending.parts)

    def _flush(self) -> None:
        pending = self._pending
        if not pending.parts and not pending.prefix:
            return
        self._pending = _Pending()
        if text := folded("".join(pending.parts)):
            self._add(pending.prefix.lstrip() + text, pending.kind, pending.level)

    def _add(self, text: str, kind: BlockKind, level: int = 0) -> None:
        if kind is BlockKind.HEADING:
            text = " ".join(text.split()).strip(_ANCHOR_SIGNS)
        self.has_text = True
        self._assembly.add(text, kind, level=level, place=self._place)

    def _add_code(self, node: LexborNode) -> None:
        if (text := node.text(deep=True)).strip():
            self._add(text, BlockKind.CODE)

    def _add_table(self, table: LexborNode) -> None:
        header = ""
        if (caption := table.css_first("caption")) is not None and (text := folded(caption.text())):
            self._add(text, BlockKind.PARAGRAPH)
        for number, row in enumerate(table.css("tr")):
            cells = [child for child in row.iter() if child.tag in ("td", "th")]
            if len(cells) > self._limits.columns:
                raise DocumentTooLarge(
                    f"A table row has {len(cells):,} columns; the most that is read is {self._limits.columns:,}."
                )
            texts = [" ".join(cell.text(separator=" ").split()) for cell in cells]
            if not any(texts):
                continue
            self.has_text = True
            self._assembly.add_row(texts, place=self._place, table_header=header)
            if number == 0 and (all(cell.tag == "th" for cell in cells) or _in_head(row)):
                header = " | ".join(texts)


def _in_head(row: LexborNode) -> bool:
    return row.parent is not None and row.parent.tag == "thead"


def _is_data(table: LexborNode) -> bool:
    """Rows and columns of short texts; not a table that only arranges the page."""
    if table.css_first("table table, h1, h2, h3, pre, article, main, ul ul") is not None:
        return False
    return table.css_first("td + td, th + th, th + td, tr + tr") is not None


def folded(text: str) -> str:
    """White space as a browser shows it: one space, or the line breaks that were asked for."""
    if _LINE_BREAK not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split(_LINE_BREAK))
    return "\n".join(lines).strip()
