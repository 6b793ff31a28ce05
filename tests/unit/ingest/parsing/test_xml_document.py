import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, DocumentError, EmptyDocument, HostileDocument
from ingest.parsing.limits import Limits
from ingest.parsing.xml_document import parse_xml_document


def read(text: str | bytes) -> Document:
    return parse_xml_document(text if isinstance(text, bytes) else text.encode(), Limits())


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_data_becomes_names_and_values() -> None:
    document = read(
        '<people><person id="7"><name>Ann</name><age unit="years">3</age></person><total>1</total></people>'
    )
    assert texts(document) == ["person:\n  id: 7\n  name: Ann\n  age: 3\n    unit: years", "total: 1"]


def test_rows_of_attributes_are_records() -> None:
    assert texts(read('<rows><row Id="1" T="a b"/><row Id="2"/></rows>')) == [
        "row:\n  Id: 1\n  T: a b",
        "row:\n  Id: 2",
    ]


def test_prose_is_read_as_prose_under_its_titles() -> None:
    document = read(
        "<article><title>Doc</title><section><title>One</title><para>Hello <b>big</b> world.</para></section>"
        "<section><title>Two</title><para>x</para></section></article>"
    )
    assert [(block.kind, block.level) for block in document.blocks] == [
        (BlockKind.HEADING, 1), (BlockKind.HEADING, 2), (BlockKind.PARAGRAPH, 0),
        (BlockKind.HEADING, 2), (BlockKind.PARAGRAPH, 0),
    ]  # fmt: skip
    assert texts(document)[2] == "Hello big world."
    assert document.blocks[-1].heading_path == ("Doc", "Two")
    assert document.title == "Doc"


def test_namespaces_are_left_out_of_names() -> None:
    assert texts(read('<a xmlns:x="urn:x"><x:b x:c="1">2</x:b></a>')) == ["b: 2\n  c: 1"]


def test_many_records_come_in_order_and_in_many_blocks() -> None:
    document = read("<r>" + "".join(f"<item><n>{n}</n><t>words of it</t></item>" for n in range(500)) + "</r>")
    assert len(document.blocks) > 100
    found = [line.split()[-1] for line in document.text.splitlines() if " n: " in line]
    assert found == [str(n) for n in range(500)]


def test_character_references_and_cdata_are_text() -> None:
    assert read("<a>&#x26;&lt;<![CDATA[<raw>]]></a>").text == "a: &<<raw>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_needs_no_declaration(encoding: str) -> None:
    assert read("<a>Grüße</a>".encode(encoding)).text == "a: Grüße"


def test_a_declared_or_guessed_legacy_encoding_is_read() -> None:
    assert read("<?xml version='1.0' encoding='koi8-r'?><a>Привет</a>".encode("koi8-r")).text == "a: Привет"
    sentence = "Привет, как дела? Это обычный русский текст."
    assert read(f"<a>{sentence}</a>".encode("cp1251")).text == f"a: {sentence}"


BILLION_LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><l>&i;</l>"
)


@pytest.mark.parametrize(
    "text",
    [
        BILLION_LAUGHS,
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x">%p;]><x/>',
        '<!DOCTYPE html PUBLIC "-//W3C//DTD" "http://127.0.0.1:9/x.dtd"><html/>',
        "<!DOCTYPE x><x>y</x>",
        "<?xml version='1.0'?><!-- c --><!DOCTYPE x><x>y</x>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_a_doctype_is_refused_and_nothing_it_defines_is_read(text: str, encoding: str) -> None:
    if encoding == "utf-16-le":
        text = "\ufeff" + text
    with pytest.raises(HostileDocument, match="DOCTYPE"):
        read(text.encode(encoding))


@pytest.mark.parametrize("text", ["<a>" * 100_000, "<a>" * 300 + "x" + "</a>" * 300, '<a b="1">' * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(HostileDocument, match="200 levels"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "<a><b>cut",
        "<a>&undefined;</a>",
        "<a></b>",
        "no xml",
        "<a/><b/>",
        "<?xml version='1.0' encoding='x-none'?><a>b</a>",
    ],
)
def test_what_is_not_well_formed_is_damaged(text: str) -> None:
    with pytest.raises(DamagedDocument):
        read(text)


def test_without_words_or_values_it_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        read(" \n ")
    with pytest.raises(EmptyDocument):
        read("<a><b/> <c></c></a>")


@pytest.mark.parametrize(
    "text",
    [
        "<a>" + "x" * 12_000_000 + "</a>",
        "<a b='" + "x" * 12_000_000 + "'/>",
        "<a " + " ".join(f"b{n}='1'" for n in range(100_000)) + "/>",
    ],
)
def test_long_parts_are_read_or_refused(text: str) -> None:
    try:
        assert read(text).blocks
    except DocumentError as error:
        refusal = str(error)
        assert refusal.endswith(".")
