"""Every bad document there is a rule for: how it is made, and how reading it must end.

Tests and `python -m benchmarks poison` share this list. Small documents are made in memory, large ones are written
to their file piece by piece.
"""

import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import (
    DamagedDocument,
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    HostileDocument,
    InvalidFile,
    NoTextLayer,
    UndecodableText,
    UnsupportedFile,
)
from tests.support import poison_office as office
from tests.support import poison_pdf as pdf

MARKER = "harmless words"
MEBIBYTE = 1 << 20
Outcomes = tuple[type[DocumentError], ...]
Write = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Poison:
    """`refused`: the errors that are right. `finds`: what the text must hold if it is read; None: it must not be."""

    label: str
    name: str  # under which it is uploaded
    write: Write
    refused: Outcomes = ()
    finds: str | None = None
    hides: str = ""  # what the text must not hold


def small(make: bytes | Callable[[], bytes]) -> Write:
    def write(path: Path) -> None:
        path.write_bytes(make if isinstance(make, bytes) else make())

    return write


def pieces(piece: bytes, count: int, before: bytes = b"", after: bytes = b"") -> Write:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(before)
            for _ in range(count):
                file.write(piece)
            file.write(after)

    return write


def hole(size: int) -> Write:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return write


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def repeated(text: str, size: int) -> bytes:
    return text.encode() * (size // len(text.encode()))


WORDS = b"words and words and again words to fill a line until it ends\n" * 17_000  # about a mebibyte
EMPTY_NAMES = ("a.txt", "a.md", "a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.csv", "a.tsv", "a.json", "a.jsonl")
MORE_EMPTY_NAMES = ("a.html", "a.xml", "a.py", "a.rtf", "a.eml", "a.epub", "a", "a.unknown")


def nothing_inside() -> Iterator[Poison]:
    for name in EMPTY_NAMES + MORE_EMPTY_NAMES:
        yield Poison(f"empty {name}", name, small(b""), (EmptyDocument, UnsupportedFile))
    for name in ("a.txt", "a.md", "a.html", "a.csv", "a.py", "a.jsonl", "a.json", "a.xml"):
        yield Poison(f"white space only {name}", name, small(b" \n\t \r\n\n" * 500), (EmptyDocument, DamagedDocument))
    yield Poison(
        "tags and no text", "a.html", small(b"<html><body><p></p><script>x=1</script></body></html>"), (EmptyDocument,)
    )
    yield Poison("a mark and nothing else", "a.txt", small(b"\xef\xbb\xbf"), (EmptyDocument,))


def wrong_names() -> Iterator[Poison]:
    binary = (UnsupportedFile, UndecodableText)
    picture = b"\x89PNG\r\n\x1a\n" + noise(5000)
    program = b"\x7fELF\x02\x01\x01" + bytes(9) + noise(5000)
    for name in ("a.txt", "a.md", "a.csv", "a.json", "a.py"):
        yield Poison(f"noise as {name}", name, small(lambda: noise(20_000)), (*binary, DamagedDocument))
    yield Poison("picture as a.txt", "a.txt", small(picture), binary)
    yield Poison("program as a.md", "a.md", small(program), binary)
    for kind, make in office.GOOD.items():
        yield Poison(f"{kind} as a.txt", "a.txt", small(make), finds=MARKER)
        yield Poison(f"{kind} as a.pdf", "a.pdf", small(make), finds=MARKER)
        yield Poison(
            f"text as a.{kind}", f"a.{kind}", small(MARKER.encode()), (DamagedDocument, UnsupportedFile), MARKER
        )
    yield Poison("docx as a.pptx", "a.pptx", small(office.good_docx), finds=MARKER)
    yield Poison("PDF as a.txt", "a.txt", small(pdf.good), finds=MARKER)
    yield Poison("PDF as a.docx", "a.docx", small(pdf.good), finds=MARKER)
    yield Poison("text as a.pdf", "a.pdf", small(MARKER.encode()), (DamagedDocument, UnsupportedFile), MARKER)
    yield Poison("HTML as a.txt", "a.txt", small(f"<p>{MARKER}</p>".encode()), finds=MARKER)
    yield Poison("PDF and zip at once", "a.pdf", small(lambda: pdf.good() + office.good_docx()), (InvalidFile,), MARKER)


def cut_off() -> Iterator[Poison]:
    for kind, make in office.GOOD.items():
        yield Poison(f"{kind} cut in half", f"a.{kind}", small(_half(make)), (DamagedDocument,))
    yield Poison(
        "PDF cut in half", "a.pdf", small(_half(pdf.good)), (DamagedDocument, NoTextLayer, EmptyDocument), MARKER
    )
    yield Poison("PDF of a head only", "a.pdf", small(b"%PDF-1.7\n"), (DamagedDocument, NoTextLayer, EmptyDocument))
    yield Poison("JSON cut in half", "a.json", small(b'{"words": ["harmless words", "and'), (DamagedDocument,), MARKER)
    yield Poison("XML cut in half", "a.xml", small(b"<a><b>harmless words</b><c>"), (DamagedDocument,), MARKER)


def _half(make: Callable[[], bytes]) -> Callable[[], bytes]:
    def half() -> bytes:
        whole = make()
        return whole[: len(whole) // 2]

    return half


def pdfs() -> Iterator[Poison]:
    unread = (DamagedDocument, HostileDocument, EmptyDocument, NoTextLayer)
    large = (*unread, DocumentTooLarge)
    yield Poison("PDF with a password", "a.pdf", small(lambda: pdf.encrypted("open sesame")), (EncryptedDocument,))
    yield Poison("PDF with an empty password", "a.pdf", small(lambda: pdf.encrypted("")), finds=MARKER)
    yield Poison("PDF of scans without text", "a.pdf", small(pdf.scanned), (NoTextLayer,))
    yield Poison("PDF whose page tree recurs", "a.pdf", small(pdf.recursive_page_tree), unread, MARKER)
    yield Poison("PDF whose page tree doubles", "a.pdf", small(pdf.page_tree_that_doubles), large)
    yield Poison("PDF of circular references", "a.pdf", small(pdf.circular_references), unread, MARKER)
    yield Poison("PDF with a form in itself", "a.pdf", small(pdf.form_that_contains_itself), large, MARKER)
    yield Poison("PDF whose /Prev is itself", "a.pdf", small(pdf.previous_table_is_this_one), unread, MARKER)
    yield Poison("PDF with a circular /Length", "a.pdf", small(pdf.length_that_names_itself), unread, MARKER)
    yield Poison("PDF with object streams in a ring", "a.pdf", small(pdf.object_streams_in_a_ring), unread, MARKER)
    yield Poison("PDF bomb of stacked filters", "a.pdf", small(pdf.stacked_filters), large)
    yield Poison("PDF bomb of run lengths", "a.pdf", small(pdf.run_length_over_deflate), large)
    yield Poison("PDF of a huge /Size", "a.pdf", small(pdf.huge_size), unread, MARKER)
    yield Poison("PDF of deep arrays", "a.pdf", small(pdf.deep_arrays), unread, MARKER)
    yield Poison("PDF with an endless picture", "a.pdf", small(pdf.unfinished_inline_image), unread, MARKER)
    yield Poison("PDF of a million lines a page", "a.pdf", small(pdf.endless_text), large, "words without an end")
    yield Poison("PDF of 10,000 pages", "a.pdf", small(lambda: pdf.many_pages(10_000)), finds="page number 10000 of")
    yield Poison("PDF of 20,001 pages", "a.pdf", small(lambda: pdf.many_pages(20_001)), (DocumentTooLarge,))


def zip_bombs() -> Iterator[Poison]:
    for kind, make in office.GOOD.items():
        part = office.MAIN_PART[kind]
        name = f"a.{kind}"
        yield Poison(f"{kind} bomb by ratio", name, small(_of(office.dense, make, part)), (HostileDocument,))
        lying = small(_of(office.lying_about_its_size, make, part))
        yield Poison(f"{kind} bomb with a false size", name, lying, (HostileDocument, DamagedDocument))
        yield Poison(f"{kind} bomb by nesting", name, small(_of(office.nested, make, part)), (HostileDocument,), MARKER)
        yield Poison(f"{kind} bomb by overlap", name, small(_of(office.overlapping, make)), (HostileDocument,))
        yield Poison(
            f"{kind} of 30,000 parts", name, small(_of(office.many_members, make)), (DocumentTooLarge, DamagedDocument)
        )
        yield Poison(f"{kind} with a password", name, small(office.encrypted_container), (EncryptedDocument,))


def _of(change: Callable[..., bytes], make: Callable[[], bytes], *arguments: str) -> Callable[[], bytes]:
    return lambda: change(make(), *arguments)


def entities() -> Iterator[Poison]:
    """A part that nobody needs may be left unread; one that is read must be refused."""
    for kind, make in office.GOOD.items():
        container = make()
        for part, way, _ in office.entity_variants(container):
            content = small(_variant(container, part, way))
            must = part == office.MAIN_PART[kind]
            finds = None if must else ""
            yield Poison(f"{way} in {part}", f"a.{kind}", content, (HostileDocument,), finds, hides="lollollol")
    for way, prolog, entity in (
        ("billion laughs", office.LAUGHS, b"&l9;"),
        ("external entity", office.external("file:///etc/hostname"), b"&outside;"),
        ("external entity by network", office.external("http://127.0.0.1:9/"), b"&outside;"),
        ("DOCTYPE", office.DOCTYPE, b""),
    ):
        document = b"<?xml version='1.0'?>" + prolog + b"<root><a>" + entity + b" harmless words</a></root>"
        yield Poison(f"{way} in a.xml", "a.xml", small(document), (HostileDocument,))
        hidden = document.decode().replace("<?xml version='1.0'?>", "<?xml version='1.0' encoding='UTF-16'?>")
        yield Poison(f"{way} in a.xml in UTF-16", "a.xml", small(hidden.encode("utf-16")), (HostileDocument,))
        chapter = (
            prolog + b"<html xmlns='http://www.w3.org/1999/xhtml'><body><p>" + entity + b" words</p></body></html>"
        )
        book = small(office.epub(chapter))
        yield Poison(f"{way} in a.epub", "a.epub", book, (HostileDocument, UnsupportedFile), "words", hides="lollollol")


def _variant(container: bytes, part: str, way: str) -> Callable[[], bytes]:
    return lambda: next(made for at, kind, made in office.entity_variants(container) if (at, kind) == (part, way))


def office_structures() -> Iterator[Poison]:
    unread = (DamagedDocument, HostileDocument, DocumentTooLarge)
    yield Poison("docx of nested tables", "a.docx", small(office.nested_tables), unread, MARKER)
    yield Poison("docx of two billion columns", "a.docx", small(office.wide_spans), unread, MARKER)
    yield Poison("pptx of nested groups", "a.pptx", small(office.nested_groups), unread, MARKER)
    yield Poison("xlsx with a far cell", "a.xlsx", small(office.far_cell), unread, MARKER)
    yield Poison("xlsx of one string 30,000 times", "a.xlsx", small(office.one_string_many_times), (DocumentTooLarge,))
    deep = b"<a>" * 100_000 + b"words" + b"</a>" * 100_000
    for kind, make in office.GOOD.items():
        document = small(_of(lambda old, part: office.with_part(old, part, deep), make, office.MAIN_PART[kind]))
        yield Poison(f"{kind} of deep elements", f"a.{kind}", document, (HostileDocument, DamagedDocument))


def structures() -> Iterator[Poison]:
    hostile, large = (HostileDocument,), (DocumentTooLarge,)
    either = (HostileDocument, DocumentTooLarge, DamagedDocument)
    yield Poison("deep JSON lists", "a.json", small(b"[" * 1_000_000 + b"]" * 1_000_000), hostile)
    yield Poison("deep JSON objects", "a.json", small(b'{"a":' * 300_000 + b"1" + b"}" * 300_000), hostile)
    yield Poison("deep JSON never closed", "a.json", small(b"[" * 5_000_000), (HostileDocument, DamagedDocument))
    yield Poison(
        "deep JSON in a line", "a.jsonl", small(b'{"a":1}\n' + b"[" * 100_000 + b"]" * 100_000 + b"\n"), hostile
    )
    yield Poison("JSON of a huge number", "a.json", small(b'{"a": ' + b"9" * 1_000_000 + b"}"), either, "9999")
    yield Poison("deep XML", "a.xml", small(b"<a>" * 100_000 + b"words" + b"</a>" * 100_000), either)
    yield Poison("XML of 200,000 attributes", "a.xml", small(_attributes), either, MARKER)
    deep_html = b"<div>" * 300_000 + b"harmless words" + b"</div>" * 300_000
    yield Poison("deep HTML", "a.html", small(deep_html), either, MARKER)
    yield Poison("HTML never closed", "a.html", small(b"<b><i>" * 500_000 + b"harmless words"), either, MARKER)
    wide = b"<table><tr><td colspan=2000000000 rowspan=2000000000>harmless words</td></tr></table>"
    yield Poison("HTML of two billion columns", "a.html", small(wide), either, MARKER)
    yield Poison("HTML of nested lists", "a.html", small(b"<ul><li>" * 50_000 + b"harmless words"), either, MARKER)
    yield Poison("quotes in quotes", "a.md", small(b">" * 200_000 + b" harmless words"), either, MARKER)
    yield Poison("open brackets", "a.md", small(b"[" * 300_000 + b"harmless words"), either, MARKER)
    yield Poison("emphasis in emphasis", "a.md", small(b"*a **a " * 50_000 + b"harmless words"), either, MARKER)
    yield Poison("backticks", "a.md", small(_backticks), either, MARKER)
    yield Poison(
        "pipes", "a.md", small(b"|" * 500_000 + b"\n" + b"|-" * 250_000 + b"\nharmless words\n"), either, MARKER
    )
    yield Poison(
        "deep RTF", "a.rtf", small(b"{\\rtf1 " + b"{" * 500_000 + b"words"), (*either, UnsupportedFile), "words"
    )
    yield Poison("messages in messages", "a.eml", small(lambda: _mail(1000)), (*either, UnsupportedFile), "words")
    yield Poison("CSV of 1,000,000 columns", "a.csv", small(b"x," * 1_000_000 + b"x\n"), large)
    yield Poison("CSV of a quote never closed", "a.csv", pieces(WORDS, 8, b'a,"b\n'), either, "words and words")
    yield Poison(
        "CSV of ragged rows",
        "a.csv",
        small(lambda: b"\n".join(b"x," * n for n in range(1500)) + b"\nharmless words"),
        either,
        MARKER,
    )


def _attributes() -> bytes:
    return b"<a " + b" ".join(b'a%d="1"' % n for n in range(200_000)) + b">harmless words</a>"


def _backticks() -> bytes:
    return b" ".join(b"`" * n for n in range(1, 1500)) + b" harmless words"


def _mail(depth: int) -> bytes:
    return (
        b"".join(
            b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\nContent-Type: message/rfc822\n\n' % (n, n)
            for n in range(depth)
        )
        + b"Subject: the last\n\nharmless words\n"
    )


def odd_characters() -> Iterator[Poison]:
    yield Poison(
        "NUL bytes in text", "a.txt", small(b"harmless\0 words\0\0 harmless words"), (UndecodableText,), MARKER
    )
    yield Poison("NUL bytes only", "a.txt", small(bytes(100_000)), (UnsupportedFile, UndecodableText, EmptyDocument))
    yield Poison("NUL characters in JSON", "a.json", small(b'{"a": "\\u0000harmless words\\u0000"}'), finds=MARKER)
    lone = json.dumps({"a": "\ud800 harmless words \udfff"}).encode()
    yield Poison("lone surrogates in JSON", "a.json", small(lone), finds=MARKER)
    yield Poison("lone surrogates in a line", "a.jsonl", small(lone + b"\n" + lone), finds=MARKER)
    yield Poison(
        "lone surrogates in text", "a.txt", small(b"harmless words \xed\xa0\x80 and \xed\xbf\xbf"), finds=MARKER
    )
    yield Poison("lone surrogates in HTML", "a.html", small(b"<p>&#xD800; harmless words &#xDFFF;</p>"), finds=MARKER)
    yield Poison(
        "a lone surrogate in UTF-16",
        "a.txt",
        small(b"\xff\xfe" + "harmless words".encode("utf-16-le") + b"\x00\xd8"),
        finds=MARKER,
    )
    yield Poison("invalid UTF-8", "a.txt", small(b"harmless words \xff\xfe\xc0\xaf\x80 and more of them"), finds=MARKER)
    yield Poison("half a character at the end", "a.txt", small("harmless words and €".encode()[:-1]), finds=MARKER)
    yield Poison("UTF-16 without a mark", "a.txt", small((MARKER * 20).encode("utf-16-le")), finds=MARKER)
    yield Poison(
        "marks upon marks",
        "a.txt",
        small(b"a" + "\u0301".encode() * 500_000 + b" harmless words"),
        finds=MARKER,
    )
    yield Poison("a name of odd characters", "a\udcff\n\u202etxt.txt", small(MARKER.encode()), finds=MARKER)


def large_texts() -> Iterator[Poison]:
    large = (DocumentTooLarge,)
    yield Poison("text of 512 MB", "a.txt", pieces(WORDS, 512 * MEBIBYTE // len(WORDS)), large)
    yield Poison("text of more than 512 MB", "a.txt", hole(512 * MEBIBYTE + 1), large)
    yield Poison(
        "512 MB of nothing",
        "a.txt",
        hole(512 * MEBIBYTE),
        (DocumentTooLarge, UnsupportedFile, UndecodableText, EmptyDocument),
    )
    yield Poison("512 MB of white space", "a.txt", pieces(b" " * MEBIBYTE, 512), (DocumentTooLarge, EmptyDocument))
    line = WORDS.replace(b"\n", b" ")
    yield Poison(
        "one line of JSON of 100 MB",
        "a.jsonl",
        pieces(line, 100 * MEBIBYTE // len(line), b'{"text": "', b'"}\n'),
        large,
    )
    yield Poison("JSON of 100 MB", "a.json", pieces(line, 100 * MEBIBYTE // len(line), b'{"text": "', b'"}'), large)
    yield Poison("JSON of ten million numbers", "a.json", pieces(b"1," * 500_000, 20, b"[", b"1]"), large)
    yield Poison("CSV of 100 MB", "a.csv", pieces(b"number,name\n" * 90_000, 100), large)
    yield Poison("XML of 50 MB", "a.xml", pieces(b"<b>some words</b>\n" * 58_000, 50, b"<a>", b"</a>"), large)
    yield Poison("HTML of 100 MB", "a.html", pieces(b"<p>some words</p>\n" * 58_000, 100), large)
    yield Poison("Markdown of 100 MB", "a.md", pieces(b"- some words\n\n" * 75_000, 100), large)
    yield Poison("source code of 100 MB", "a.py", pieces(b"value = function(1)\n" * 52_000, 100), large)
    yield Poison("two megabytes of one letter", "a.txt", small(b"a" * 2_000_000), (DocumentTooLarge,), "aaaa")
    yield Poison("two megabytes without a space", "a.txt", small(lambda: _base64(2_000_000)), (DocumentTooLarge,), "A")
    yield Poison("two megabytes of one emoji", "a.txt", small(repeated("😀", 2_000_000)), (DocumentTooLarge,), "😀")
    yield Poison(
        "a megabyte of no-break spaces",
        "a.txt",
        small(repeated("\u200b", 1_000_000) + b" harmless words"),
        large,
        MARKER,
    )
    yield Poison("two megabytes of lines", "a.txt", small(b"\n" * 2_000_000 + b"harmless words"), large, MARKER)
    yield Poison("half a megabyte of short lines", "a.md", small(b"a\n\n" * 180_000), large, "a")


def _base64(size: int) -> bytes:
    chance = random.Random(2)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return io.BytesIO(bytes(chance.choices(letters, k=size))).getvalue()


def all_poisons() -> list[Poison]:
    groups = (
        nothing_inside, wrong_names, cut_off, pdfs, zip_bombs, entities,
        office_structures, structures, odd_characters, large_texts,
    )  # fmt: skip
    return [poison for group in groups for poison in group()]


def judged(poison: Poison, error: Exception | None, text: str | None) -> str:
    """What is wrong with an outcome, in words; empty when it is as it must be."""
    if error is not None:
        if isinstance(error, poison.refused):
            return ""
        wanted = " or ".join(kind.__name__ for kind in poison.refused) or "its text"
        return f"{type(error).__name__} instead of {wanted}: {error}"
    assert text is not None
    if poison.finds is None:
        return f"read ({len(text):,} characters) instead of refused"
    if poison.finds not in text:
        return f"{poison.finds!r} is not in the text: {text[:80]!r}"
    if poison.hides and poison.hides in text:
        return f"{poison.hides!r} is in the text"
    return ""
