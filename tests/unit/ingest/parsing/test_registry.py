import mmap
import tempfile

import pytest

from ingest.errors import (
    DamagedDocument,
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    UndecodableText,
    UnsupportedFile,
)
from ingest.parsing.limits import Limits
from ingest.parsing.registry import SUPPORTED_EXTENSIONS, detect, parse

LIMITS = Limits()
BINARY = bytes(range(256)) * 10
CONTRACT = (
    ".c .cpp .cs .css .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh .tex .ts .txt .csv .jsonl".split()
)


def test_every_extension_of_the_contract_is_supported() -> None:
    assert set(CONTRACT) <= set(SUPPORTED_EXTENSIONS)


@pytest.mark.parametrize("name", SUPPORTED_EXTENSIONS)
def test_plain_words_are_read_under_every_name_but_never_refused_as_unknown(name: str) -> None:
    try:
        document = parse(b"Some plain words.", f"a{name}", LIMITS)
    except DocumentError as error:
        assert name in (
            ".ipynb .xml .rss .atom .xsd .xsl .xslt .wsdl .opml .dita".split()
        )  # which have to be well-formed
        assert not isinstance(error, UnsupportedFile)  # noqa: PT017 - both outcomes are checked
    else:
        assert "Some plain words." in document.text


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (b"%PDF-1.7\n", "notes.txt", "pdf"),
        (b"\n\n%PDF-1.7\n", "notes", "pdf"),
        (b"From the printer\r\n%PDF-1.4\n1 0 obj\n", "x.pdf", "pdf"),
        (b"The mark %PDF-1.4 begins a PDF.", "x.md", "markdown"),
        (b"{\\rtf1 hello}", "letter.doc", "rtf"),
        (b"<html><p>saved as Word</p>", "page.html", "html"),
        (b"words", "report.pdf", "text"),
        (b"words", "report.docx", "text"),
        (b"words", "README", "text"),
        (b"words", "x.unknown", "text"),
        (b"all:\n\tmake", "Makefile", "makefile"),
        (b"x", "C:\\Users\\Ann\\NOTES.MD", "markdown"),
        (b"x", "../../etc/a.PY", "python"),
        (b"MZ is where the file begins, and BM may be next.", "x.txt", "text"),
        (b"PK is short for a name", "x.txt", "text"),
        ("Ünïcode".encode("utf-16"), "x.csv", "csv"),
    ],
)
def test_bytes_decide_before_names(source: bytes, name: str, expected: str) -> None:
    assert detect(source, name).name == expected


@pytest.mark.parametrize(
    ("source", "name", "error"),
    [
        (b"", "x.txt", EmptyDocument),
        (b" \n\t\n", "x.txt", EmptyDocument),
        (b" \n\t\n", "x.html", EmptyDocument),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "x.txt", UnsupportedFile),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "x.pdf", UnsupportedFile),
        (b"GIF89a" + bytes(50), "x", UnsupportedFile),
        (b"RIFF\x10\0\0\0WAVEfmt ", "x.wav", UnsupportedFile),
        (b"\0\0\0\x20ftypisom" + bytes(50), "x.mp4", UnsupportedFile),
        (b"\x1f\x8b\x08" + bytes(50), "x.txt", UnsupportedFile),
        (b"MZ" + bytes(200) + b"This program cannot be run in DOS mode", "x.txt", UnsupportedFile),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "x.svg", UnsupportedFile),
        (b"<?xml version='1.0'?>\n<!-- a --><svg width='1'/>", "x.xml", UnsupportedFile),
        (b"PK\x05\x06" + bytes(18), "x.zip", UnsupportedFile),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), "x.doc", UnsupportedFile),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "x.docx", EncryptedDocument),
        (BINARY, "x.bin", UnsupportedFile),
        (BINARY, "x", UnsupportedFile),
        (BINARY, "x.txt", UndecodableText),
        (BINARY, "x.py", UndecodableText),
        (BINARY, "x.pdf", DamagedDocument),
        (BINARY, "x.docx", DamagedDocument),
        (b"PK\x03\x04" + bytes(100), "x.docx", DamagedDocument),
        (b"%PDF-1.7\ntruncated", "x.pdf", DamagedDocument),
    ],
)
def test_whose_fault_it_is(source: bytes, name: str, error: type[DocumentError]) -> None:
    with pytest.raises(error) as raised:
        parse(source, name, LIMITS)
    assert raised.type is error
    assert str(raised.value).endswith(".")


def test_a_refusal_says_what_is_supported_and_what_to_do() -> None:
    with pytest.raises(UnsupportedFile, match=r"Word 97-2003.*\.docx.*Supported are PDF, Word"):
        parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), "x.doc", LIMITS)


@pytest.mark.parametrize(
    "start", [b"<!-- -->" * 500, b"<!-- " * 800, b"<?xml?>" + b"<!--a--> \n" * 400, b"MZ" * 2000, b"%PDF-" * 800]
)
def test_looking_at_the_first_bytes_takes_no_exponential_time(start: bytes) -> None:
    assert detect(start + b"<a/>", "x.xml").name in ("xml", "pdf")


def test_a_file_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(DocumentTooLarge, match="101 bytes"):
        parse(b"x" * 101, "x.txt", Limits(source_bytes=100))


def test_a_mapped_file_is_read_like_one_in_memory() -> None:
    sources = {
        "a.txt": b"words\n\nmore", "a.md": b"# T\n\nx", "a.html": b"<p>x</p>", "a.csv": b"a,b\n1,2",
        "a.json": b'{"a": 1}',
        "a.jsonl": b'{"a": 1}\n{"a": 2}', "a.xml": b"<a>b</a>", "a.rtf": b"{\\rtf1 x}", "a.eml": b"Subject: s\n\nbody",
        "a.py": b"def f():\n    pass", "a.tex": b"\\section{x}\ny", "legacy.txt": "Привет, как дела?".encode("cp1251"),
    }  # fmt: skip
    for name, source in sources.items():
        with tempfile.TemporaryFile() as file:
            file.write(source)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert parse(mapped, name, LIMITS) == parse(source, name, LIMITS)
