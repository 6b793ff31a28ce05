"""Jupyter notebooks -> Document: the cells in order, words as Markdown, code as code; outputs are left out."""

import json
from typing import Final

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, EmptyDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode, storable
from ingest.parsing.limits import Limits, Source
from ingest.parsing.markdown import markdown_document

MEDIA_TYPE: Final = "application/x-ipynb+json"


def parse_notebook(source: Source, limits: Limits) -> Document:
    decoded = decode(source, limits, markup=True)
    assembly = Assembly(limits)
    assembly.warnings.extend(decoded.warnings)
    outputs = 0
    for cell in _cells(decoded.text):
        words = _words(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            _add_markdown(words, assembly)
        else:
            assembly.add(storable(words), BlockKind.CODE)
        found = cell.get("outputs")
        outputs += len(found) if isinstance(found, list) else 0
    if outputs:
        assembly.warnings.append(f"{outputs:,} outputs of cells were left out.")
    try:
        return assembly.finish(MEDIA_TYPE)
    except EmptyDocument as error:
        raise EmptyDocument("The notebook has no cell with anything in it.") from error


def _cells(text: str) -> list[dict[str, object]]:
    """Of today's notebooks, and of those of the third version, which had them in worksheets."""
    try:
        notebook = json.loads(text, parse_int=str, parse_float=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DamagedDocument("The notebook is no valid JSON: it is damaged or cut off.") from error
    sheets = notebook.get("worksheets") if isinstance(notebook, dict) else None
    holders = [notebook, *(sheets if isinstance(sheets, list) else [])]
    cells = [
        holder["cells"] for holder in holders if isinstance(holder, dict) and isinstance(holder.get("cells"), list)
    ]
    return [cell for group in cells for cell in group if isinstance(cell, dict)]


def _words(source: object) -> str:
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _add_markdown(words: str, assembly: Assembly) -> None:
    if not words.strip():
        return
    document = markdown_document(storable(words))
    for block in document.blocks:
        text = document.text[block.start : block.end]
        if block.kind is BlockKind.HEADING:
            text = text.strip("# \t\r\n=-")
        assembly.add(text, block.kind, level=block.level, table_header=block.table_header)
