import json

import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, DocumentTooLarge, EmptyDocument, HostileDocument
from ingest.parsing.json_document import parse_json, parse_json_lines
from ingest.parsing.limits import Limits


def read(value: object) -> Document:
    return parse_json(value if isinstance(value, bytes) else json.dumps(value).encode(), Limits())


def read_lines(*lines: str) -> Document:
    return parse_json_lines("\n".join(lines).encode(), Limits())


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_keys_and_values_become_readable_lines() -> None:
    document = read(
        {
            "name": "Ann",
            "address": {"city": "Bern"},
            "tags": ["a", "b"],
            "orders": [{"sku": 1, "paid": True}, {"sku": 2}],
        }
    )
    assert document.text == (
        "name: Ann\naddress:\n  city: Bern\ntags: a, b\norders:\n  - sku: 1\n    paid: true\n  - sku: 2"
    )


def test_each_member_of_a_list_is_a_block() -> None:
    assert texts(read([{"id": 1, "t": "x"}, {"id": 2, "t": "y"}])) == ["id: 1\nt: x", "id: 2\nt: y"]


def test_numbers_stay_as_they_were_written() -> None:
    assert texts(read(b'{"a": 1.50, "b": 1e400, "c": ' + b"9" * 5000 + b', "d": -0.0}')) == [
        "a: 1.50\nb: 1e400\nc: " + "9" * 5000 + "\nd: -0.0"
    ]


def test_escapes_are_undone_and_halves_of_characters_replaced() -> None:
    assert read(b'{"a": "\\u6f22\\ud83d\\ude00 \\ud800 x\\ny"}').text == "a: 漢😀 � x\ny"


def test_long_parts_stand_under_their_keys_and_short_ones_before_them() -> None:
    users = [{"name": "Ann " * 100}, {"name": "Bob " * 100}, {"n": "x " * 400}]
    document = read({"users": users, "version": 3, "log": {"entries": ["word " * 200]}})
    assert [(block.kind, block.heading_path) for block in document.blocks] == [
        (BlockKind.PARAGRAPH, ()),
        (BlockKind.HEADING, ()),
        (BlockKind.PARAGRAPH, ("users",)),
        (BlockKind.PARAGRAPH, ("users",)),
        (BlockKind.PARAGRAPH, ("users",)),
        (BlockKind.HEADING, ()),
        (BlockKind.PARAGRAPH, ("log",)),
    ]
    assert texts(document)[0] == "version: 3"


def test_a_record_is_not_under_the_headings_of_the_one_before() -> None:
    document = read([{"body": {"text": ["word " * 500]}}, {"id": 2}])
    assert [block.heading_path for block in document.blocks] == [(), ("body",), ("body", "text"), ()]


def test_conversations_read_like_conversations() -> None:
    document = read_lines(
        '{"messages": [{"role": "system", "content": "Be nice"}, {"role": "user", "content": "Hi"}]}',
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}]}]}',
    )
    assert texts(document) == ["messages:\n  system: Be nice\n  user: Hi", "messages:\n  user: Look"]


def test_every_line_of_json_lines_is_a_block() -> None:
    assert texts(read_lines('{"a": 1}', "", '{"a": 2}', '"words"')) == ["a: 1", "a: 2", "words"]


def test_a_broken_line_is_kept_as_text_and_said() -> None:
    document = read_lines('{"a": 1}', '{"a": ', '{"a": 3}')
    assert "Line 2" in document.warnings[0]
    assert '{"a":' in document.text
    assert "a: 3" in document.text


def test_lines_that_are_no_json_at_all_are_damaged() -> None:
    with pytest.raises(DamagedDocument, match="JSON Lines"):
        read_lines(*["not json"] * 20)


def test_values_one_after_the_other_are_read_like_lines() -> None:
    assert texts(read(b'{"a": 1}\n{"a": 2}')) == ["a: 1", "a: 2"]


@pytest.mark.parametrize(
    "source", [b'{"a": [1, 2', b'{"a": 1, // comment\n}', b"[1, 2,]", b"{'a': 1}", b"[1] trailing"]
)
def test_what_is_no_json_is_read_as_text_and_said(source: bytes) -> None:
    document = read(source)
    assert document.text == source.decode()
    assert "no valid JSON (line 1, column" in document.warnings[0]


@pytest.mark.parametrize(
    "source",
    [b"[" * 1_000_000, b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b'[{"a":' * 5000],
    ids=["never closed", "lists", "objects", "both"],
)
def test_deep_json_is_refused(source: bytes) -> None:
    with pytest.raises(HostileDocument, match="200 levels"):
        read(source)
    with pytest.raises(HostileDocument, match="200 levels"):
        parse_json_lines(source, Limits())


def test_as_deep_as_the_limit_is_read() -> None:
    assert read(b"[" * 190 + b"1" + b"]" * 190).text.endswith("1")


def test_one_line_of_a_hundred_megabytes_is_refused_or_read() -> None:
    line = b'{"text": "' + b"word " * 20_000_000 + b'"}'
    with pytest.raises(DocumentTooLarge):
        parse_json_lines(line, Limits())
    assert len(parse_json_lines(line[:10_000_000] + b'"}', Limits()).blocks) == 1


def test_values_without_number_are_refused() -> None:
    with pytest.raises(DocumentTooLarge, match="values"):
        parse_json(b"[" + b"[]," * 3000 + b"1]", Limits(tokens=2000))


@pytest.mark.parametrize("source", [b"{}", b"[]", b"[[], {}]", b'""', b"null"])
def test_values_that_say_nothing_are_an_empty_document(source: bytes) -> None:
    with pytest.raises(EmptyDocument):
        read(source)


def test_the_title_is_the_document_s_own() -> None:
    assert read({"title": "Report", "body": "x"}).title == "Report"
    assert read([{"title": "One"}, {"title": "Two"}]).title == ""
