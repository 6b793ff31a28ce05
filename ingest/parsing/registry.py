"""Which format a file is in, and the parser that reads it; `parse` is the only door.

Bytes decide before names: a signature beats every ending, text beats the ending of a binary format. Among texts,
which look alike, the ending decides. Whatever happens inside, only leaves of `DocumentError` come out for a bad
document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Final

from ingest.document import Document
from ingest.errors import (
    DamagedDocument,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    HostileDocument,
    UndecodableText,
    UnsupportedFile,
)
from ingest.parsing import signatures
from ingest.parsing.csv_table import parse_csv, parse_tsv
from ingest.parsing.docx import parse_docx
from ingest.parsing.email_message import parse_email
from ingest.parsing.encoding import encoding_of
from ingest.parsing.epub import parse_epub
from ingest.parsing.html import parse_html
from ingest.parsing.json_document import parse_json, parse_json_lines
from ingest.parsing.languages import KNOWN_NAMES, LANGUAGES
from ingest.parsing.limits import Limits, Source
from ingest.parsing.markdown import parse_markdown
from ingest.parsing.marked_text import (
    parse_asciidoc,
    parse_latex,
    parse_mediawiki,
    parse_org,
    parse_restructured_text,
)
from ingest.parsing.notebook import parse_notebook
from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pptx import parse_pptx
from ingest.parsing.rtf import parse_rtf
from ingest.parsing.source_code import parse_source_code
from ingest.parsing.text import parse_text
from ingest.parsing.xlsx import parse_xlsx
from ingest.parsing.xml_document import parse_xml_document

Parser = Callable[[Source, Limits], Document]


@dataclass(frozen=True, slots=True)
class Format:
    name: str  # the key that `signatures` answers with, or a language
    extensions: tuple[str, ...]
    parse: Parser
    is_text: bool = True


_TEXT: Final = Format("text", (".txt", ".text", ".log", ".asc", ".srt", ".vtt"), parse_text)
_FORMATS: Final = (
    Format("pdf", (".pdf",), parse_pdf, is_text=False),
    Format("docx", (".docx", ".docm", ".dotx"), parse_docx, is_text=False),
    Format("pptx", (".pptx", ".pptm", ".ppsx"), parse_pptx, is_text=False),
    Format("xlsx", (".xlsx", ".xlsm"), parse_xlsx, is_text=False),
    Format("epub", (".epub",), parse_epub, is_text=False),
    Format("rtf", (".rtf",), parse_rtf, is_text=False),
    Format("html", (".html", ".htm", ".xhtml"), parse_html),
    Format("csv", (".csv",), parse_csv),
    Format("tsv", (".tsv", ".tab"), parse_tsv),
    Format("json", (".json", ".geojson", ".webmanifest"), parse_json),
    Format("notebook", (".ipynb",), parse_notebook),
    Format("json lines", (".jsonl", ".ndjson"), parse_json_lines),
    Format("xml", (".xml", ".rss", ".atom", ".xsd", ".xsl", ".xslt", ".wsdl", ".opml", ".dita"), parse_xml_document),
    Format("email", (".eml", ".mht", ".mhtml"), parse_email),
    Format("markdown", (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".rmd", ".qmd"), parse_markdown),
    Format("latex", (".tex", ".latex", ".ltx", ".sty", ".cls"), parse_latex),
    Format("restructured text", (".rst", ".rest"), parse_restructured_text),
    Format("org", (".org",), parse_org),
    Format("asciidoc", (".adoc", ".asciidoc"), parse_asciidoc),
    Format("mediawiki", (".wiki", ".mediawiki"), parse_mediawiki),
    _TEXT,
    *(
        Format(language, tuple(extensions.split()), partial(parse_source_code, language=language))
        for language, extensions in LANGUAGES.items()
    ),
)
_BY_NAME: Final = {format_.name: format_ for format_ in _FORMATS}
_BY_EXTENSION: Final = {extension: format_ for format_ in _FORMATS for extension in format_.extensions}
SUPPORTED_EXTENSIONS: Final = tuple(sorted(_BY_EXTENSION))
_SUPPORTED: Final = (
    "Supported are PDF, Word (.docx), PowerPoint (.pptx), Excel (.xlsx), EPUB, RTF, HTML, Markdown, CSV, TSV, JSON, "
    "JSON Lines, XML, e-mail (.eml), plain text in any common encoding, and source code of all common languages."
)


def parse(source: Source, name: str, limits: Limits) -> Document:
    """The document in `source`; `name` is the file's own, for what its bytes leave open. Raises a DocumentError."""
    if len(source) > limits.source_bytes:
        raise DocumentTooLarge(
            f"The file has {len(source):,} bytes; the most that one file may have is {limits.source_bytes:,}."
        )
    if not len(source):
        raise EmptyDocument("The file is empty: it has no bytes.")
    try:
        return detect(source, name).parse(source, limits)
    except MemoryError as error:
        raise DocumentTooLarge(
            f"The file needs more than {limits.memory_bytes >> 20:,} MiB of memory to be read. Split it up."
        ) from error
    except RecursionError as error:
        raise HostileDocument("The file nests its parts too deeply to be read.") from error


def detect(source: Source, name: str) -> Format:
    """The format of the file; raises UnsupportedFile, or another DocumentError where the name promised a known one."""
    named = _format_named(name)
    if signature := signatures.recognise(source):
        return _format_signed(signature, named)
    try:
        encoding_of(source)
    except UndecodableText as error:
        raise _binary_refusal(name, named, error) from error
    return named if named and named.is_text else _TEXT


def _format_named(name: str) -> Format | None:
    path = PurePath(name.strip().lower().replace("\\", "/"))
    if known := KNOWN_NAMES.get(path.name):
        return _BY_NAME[known]
    return _BY_EXTENSION.get(path.suffix)


def _format_signed(signature: signatures.Signature, named: Format | None) -> Format:
    if signature.kind == "encrypted":
        raise EncryptedDocument("The document is protected by a password. Save it without one and upload it again.")
    if found := _BY_NAME.get(signature.kind):
        return found
    if named and not named.is_text and signature.description.startswith("a zip archive"):
        raise DamagedDocument(f"The file is named .{named.name} but is another zip archive, or is damaged.")
    raise UnsupportedFile(f"The file is {signature.description}. {_SUPPORTED}")


def _binary_refusal(name: str, named: Format | None, error: UndecodableText) -> Exception:
    if named is None:
        return UnsupportedFile(
            f"Files of this kind ({PurePath(name).suffix or 'without an ending'}) cannot be read. {_SUPPORTED}"
        )
    if not named.is_text:
        return DamagedDocument(
            f"The file is named .{named.name} but does not begin like one: it is damaged or something else."
        )
    return error
