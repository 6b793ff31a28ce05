"""What every parser promises for every input: a document that keeps the laws of `Document`, or a DocumentError."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.document import BlockKind, Document
from ingest.errors import DocumentError
from ingest.parsing.allowance import TextAllowance
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits
from ingest.parsing.registry import SUPPORTED_EXTENSIONS, parse
from tests.support.tokenizers import recount

LIMITS = Limits()
TEXT_EXTENSIONS = [name for name in SUPPORTED_EXTENSIONS if name not in (".pdf", ".docx", ".pptx", ".xlsx")]
# The bytes that formats give a meaning to, so that chance meets it.
MARKS = st.sampled_from(
    [
        *("\n", "\n\n", "\r\n", "\r", " ", "    ", "\t", "\0", "\x0c", "\x85", "\u2028", "\u200b", "\ufeff", "\ud800"),
        *("# ", "## x", "- ", "  - ", "1. ", "```", "~~~", "|", "|--|--|", "a | b", "===", "---", "= x =", "    code"),
        *("<!--", "-->", "<p>", "</p>", "<table><tr><td>", "<li>", "<b>", "<pre>", "<main>", "<nav>", "&amp;", "&#0;"),
        *(
            "<![CDATA[",
            "<?xml version='1.0'?>",
            "<a b='c'>",
            "</a>",
            "{",
            "}",
            "[",
            "]",
            '"',
            ",",
            ":",
            '{"a": 1}',
            "\\",
        ),
        *("\\par ", "\\u-1?", "\\'e9", "{\\rtf1 ", "\\cell ", "\\row ", "\\section{x}", "* x", "class A:", "def f():"),
        *("Subject: x\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n", "é", "漢", "😀", "word"),
    ]
)
TEXTS = st.lists(st.one_of(MARKS, st.text(max_size=8)), max_size=40).map("".join)
NAMES = st.sampled_from(TEXT_EXTENSIONS).map(lambda extension: "file" + extension)


# Control characters in number make bytes binary, or UTF-16: the guess is then free to differ.
WRITTEN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff") | st.sampled_from("\t\n\r\f"),
    min_size=1,
)


def assert_lawful(document: Document) -> None:
    text = document.text
    end_before = 0
    for block in document.blocks:
        assert end_before <= block.start < block.end <= len(text)
        assert not text[end_before : block.start].strip(), "text between blocks"
        assert text[block.start : block.end].strip(), "a block of nothing"
        assert block.level >= 0
        assert block.kind is not BlockKind.HEADING or block.level > 0
        end_before = block.end
    assert not text[end_before:].strip(), "text after the last block"
    assert document.blocks
    text.encode("utf-8")
    assert "\0" not in text


def parse_lawfully(source: bytes, name: str) -> Document | None:
    try:
        document = parse(source, name, LIMITS)
    except DocumentError as error:
        refusal = str(error)
    else:
        assert_lawful(document)
        return document
    assert refusal.endswith("."), "a sentence"
    return None


@given(text=TEXTS, name=NAMES)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_lawfully_under_any_name(text: str, name: str) -> None:
    parse_lawfully(text.encode("utf-8", "surrogatepass"), name)


@given(source=st.binary(max_size=300), name=NAMES)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_lawfully_or_refused_in_a_sentence(source: bytes, name: str) -> None:
    parse_lawfully(source, name)


@given(
    prefix=st.sampled_from(
        [b"%PDF-1.7\n", b"PK\x03\x04", b"{\\rtf1 ", b"\xff\xfe", b"\xfe\xff", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
    ),
    rest=st.binary(max_size=200),
)
@settings(deadline=None)
def test_a_format_s_first_bytes_promise_nothing_about_the_rest(prefix: bytes, rest: bytes) -> None:
    parse_lawfully(prefix + rest, "file.txt")


@given(text=WRITTEN)
@settings(deadline=None)
@pytest.mark.parametrize("name", ["a.txt", "a.py", "a.csv", "a.tex"])
def test_what_is_kept_as_written_is_kept_to_the_character(name: str, text: str) -> None:
    source = ("é" + text).encode()  # a first character that no signature has
    document = parse_lawfully(source, name)
    if document:
        assert document.text == source.decode()


@given(text=WRITTEN)
@settings(deadline=None)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_at_the_front_settles_the_encoding(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding), LIMITS).text == text


SAMPLES = {
    "a.md": b"---\ntitle: T\n---\n# A\n\n- x\n  - y\n\n| a | b |\n|---|"
    b"---|\n| 1 | 2 |\n\n```py\nx\n```\n<!-- c -->\nB\n-\nend\n",
    "a.html": b"<meta charset=utf-8><title>T</title><nav>n</nav><main"
    b"><h1>A</h1><table><tr><th>a<th>b<tr><td>1<td>2</table>"
    b"<ul><li>x<ol><li>y</ol></ul><pre>\n c\n</pre><p>d&eacute;<br>e</main>",
    "a.csv": b'name,age\r\n"Ann, ""A""",3\r\n"two\nlines",4\r\n',
    "a.json": b'{"a": [1, 2.5e3, {"b": "\\u00e9\\ud83d\\ude00"}], "messages":'
    b' [{"role": "user", "content": "hi"}], "n": null}',
    "a.jsonl": b'{"a": 1}\n{"b": [true, false]}\n"c"\n',
    "a.xml": b"<?xml version='1.0' encoding='utf-8'?><r a='1'><!-- c "
    b"--><section><title>T</title><p>x <b>y</b></p></section>"
    b"<i>&#233;</i><![CDATA[z]]></r>",
    "a.rtf": b"{\\rtf1\\ansi{\\fonttbl{\\f0\\fcharset204 A;}}{\\info{"
    b"\\title T}}\\pard\\outlinelevel0 H\\par\\pard \\u8364?"
    b"\\'e9{\\f0 \\'e9}\\par\\trowd a\\cell b\\cell\\row{\\pict 00}\\bin3 abc}",
    "a.eml": b"From: a\r\nSubject: =?utf-8?q?x=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain; charset=latin-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx=E9\r\n--b\r\n"
    b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--b--\r\n",
    "a.ipynb": b'{"cells": [{"cell_type": "markdown", "source": '
    b'["# A\\n", "x"]}, {"cell_type": "code", "source": "y"}]}',
    "a.py": b"import x\n\n\nclass A:\n    def f(self):\n        pass\n\n        return 1\n\n\ndef g(): ...\n",
    "a.rst": b"=====\nTitle\n=====\n\nA\n---\n\nx::\n\n  y\n\n=== ===\na   b\n=== ===\n",
}


@given(
    name=st.sampled_from(sorted(SAMPLES)),
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 12), st.binary(max_size=4) | st.sampled_from([b"\xff", b"\0", b"<", b"{"])
        ),
        max_size=4,
    ),
    repeated=st.integers(1, 3),
)
@settings(max_examples=300, deadline=None)
def test_a_damaged_document_is_read_lawfully_or_refused(
    name: str, cuts: list[tuple[float, int, bytes]], repeated: int
) -> None:
    source = SAMPLES[name] * repeated
    for where, removed, inserted in cuts:
        at = int(where * len(source))
        source = source[:at] + inserted + source[at + removed :]
    parse_lawfully(source, name)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def keys_and_words(value: object) -> set[str]:
    if isinstance(value, dict):
        found = {key for key in value if isinstance(key, str)}
        return found.union(*map(keys_and_words, value.values()))
    if isinstance(value, list):
        return set[str]().union(*map(keys_and_words, value))
    return {value} if isinstance(value, str) else set()


@given(value=JSON_VALUES)
@settings(deadline=None)
def test_every_key_and_every_word_of_json_can_be_found_in_its_text(value: object) -> None:
    document = parse_lawfully(json.dumps(value).encode(), "file.json")
    words = {word for text in keys_and_words(value) for word in text.split() if word.isascii() and word.isalnum()}
    assert all(word in (document.text if document else "") for word in words)


@given(text=TEXTS)
@settings(deadline=None)
@example(text="\n" * 1000)
@example(text="a1 b2 don't")
def test_the_early_count_of_tokens_is_never_above_the_true_one(text: str) -> None:
    allowance = TextAllowance(LIMITS)
    allowance.take(text)
    assert allowance.least_tokens <= recount(text)
