"""What others wrote reaches a terminal as signs to read, never as orders; and what words on the command line mean."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from carrel.failing import ServerError
from carrel.output import Output
from carrel.search import marked, parse_filters, typed

ORDERS = "red\x1b[31m title\x1b]0;owned\x07 eight-bit\x9b2J back\rhome del\x7f"


def shown(write_to: Output) -> str:
    assert isinstance(write_to.out.file, io.StringIO)
    return write_to.out.file.getvalue()


@pytest.fixture
def terminal() -> Output:
    output = Output()
    output.out = output.err = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    return output


@pytest.mark.parametrize(
    "write",
    [
        lambda output: output.table(["name"], [[ORDERS]]),
        lambda output: output.item({"filename": ORDERS}, {"name": "filename"}),
        lambda output: output.done({}, ORDERS),
        lambda output: output.remark(ORDERS),
        lambda output: output.say(Text.assemble((ORDERS, "bold"), " end")),
        lambda output: output.say(marked(ORDERS, "title"), soft_wrap=False),
    ],
)
def test_no_sign_of_a_name_or_a_document_is_obeyed(terminal: Output, write: object) -> None:
    write(terminal)  # type: ignore[operator]  # one of the above
    text = shown(terminal)
    assert "red␛[31m title␛]0;owned" in text
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\r", "\x7f"}


def test_lines_in_a_pipe_are_plain_too(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(["name"], [[ORDERS, "two\nlines"]])
    assert capsys.readouterr().out == (
        "red␛[31m title␛]0;owned␇ eight-bit\N{REPLACEMENT CHARACTER}2J back␍home del␡\ttwo lines\n"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("7.5", 7.5),
        ("true", True),
        ('"7"', "7"),
        *((text, text) for text in ("NaN", "-Infinity", "1e999", "null", "[1]", "2026-01-02", "007", "9" * 5_000)),
    ],
)
def test_a_value_is_a_number_only_if_json_can_carry_it(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_a_filter_with_what_is_no_number_is_refused() -> None:
    with pytest.raises(ServerError, match="NaN is no number of JSON"):
        parse_filters(['{"type":"eq","key":"a","value":NaN}'])
