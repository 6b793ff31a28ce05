from dataclasses import replace

import pytest

from ingest.errors import DamagedDocument, DocumentTooLarge, HostileDocument
from ingest.parsing.limits import Limits
from ingest.parsing.safe_xml import parse_xml, stream_elements

LIMITS = Limits()
LAUGHS = (
    """<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;"><!ENTITY z "&y;&y;&y;&y;&y;&y;&y;&y;">]>"""
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("prolog", [LAUGHS, OUTSIDE, "<!DOCTYPE a>", '<!doctype a SYSTEM "http://127.0.0.1:9/x.dtd">'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-7"])
@pytest.mark.parametrize("before", ["", "<!-- <?x?> -->", "<?x <!-- ?>\n "])
def test_every_doctype_is_refused(prolog: str, encoding: str, before: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?>{before}{prolog}<a>&x;</a>'.encode(encoding)
    with pytest.raises((HostileDocument, DamagedDocument)):
        parse_xml(document, LIMITS, part="p.xml")
    with pytest.raises((HostileDocument, DamagedDocument)):
        list(stream_elements([document[:7], document[7:]], ["a"], part="p.xml"))


def test_a_doctype_is_named_as_the_reason() -> None:
    with pytest.raises(HostileDocument, match=r"'p\.xml' .*DOCTYPE"):
        parse_xml(OUTSIDE.encode() + b"<a>&x;</a>", LIMITS, part="p.xml")


def test_the_word_may_stand_in_the_text() -> None:
    assert parse_xml(b"<a><![CDATA[<!DOCTYPE a>]]></a>", LIMITS, part="p").text == "<!DOCTYPE a>"


def test_a_prolog_of_many_instructions_is_judged_in_linear_time() -> None:
    with pytest.raises(DamagedDocument):
        parse_xml(b"<?a?><!--b-->" * 50_000 + b"<a", LIMITS, part="p")


@pytest.mark.parametrize("depth", [201, 255, 300, 100_000])
def test_depth_is_limited(depth: int) -> None:
    with pytest.raises(HostileDocument, match="deep"):
        parse_xml(b"<a>" * depth + b"</a>" * depth, LIMITS, part="p")


def test_depth_within_the_limit_is_read() -> None:
    assert parse_xml(b"<a>" * 200 + b"</a>" * 200, LIMITS, part="p").tag == "a"
    with pytest.raises(HostileDocument):
        parse_xml(b"<a>" * 11 + b"</a>" * 11, replace(LIMITS, nesting=10), part="p")


def test_a_part_larger_than_memory_allows_is_refused() -> None:
    with pytest.raises(DocumentTooLarge, match="bytes of XML"):
        parse_xml(b"<a>" + b" " * 200 + b"</a>", replace(LIMITS, memory_bytes=1200), part="p")


@pytest.mark.parametrize(
    "broken", [b"", b"<a>", b"<a></b>", b"text", b"<a>&undefined;</a>", b"<a>\xff</a>", b"<a>\0</a>"]
)
def test_what_is_not_well_formed_is_damage(broken: bytes) -> None:
    with pytest.raises(DamagedDocument, match="well-formed"):
        parse_xml(broken, LIMITS, part="p")
    with pytest.raises(DamagedDocument, match="well-formed"):
        list(stream_elements([broken], ["a"], part="p"))


def test_streamed_elements_come_whole_and_in_order() -> None:
    document = b"<r>" + b"".join(b"<a n='%d'><b>%d</b></a>" % (n, n) for n in range(1000)) + b"</r>"
    pieces = [document[at : at + 7] for at in range(0, len(document), 7)]
    found = [(element.get("n"), element[0].text) for element in stream_elements(pieces, ["a"], part="p")]
    assert found == [(str(n), str(n)) for n in range(1000)]
