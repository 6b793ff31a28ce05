from textwrap import dedent

import pytest

from ingest.document import BlockKind, Document
from ingest.parsing.limits import Limits
from ingest.parsing.markdown import parse_markdown, without_comments

H, P, L, T, C = (
    BlockKind.HEADING,
    BlockKind.PARAGRAPH,
    BlockKind.LIST_ITEM,
    BlockKind.TABLE_ROW,
    BlockKind.CODE,
)


def read(text: str) -> Document:
    return parse_markdown(dedent(text).lstrip("\n").encode(), Limits())


def shape(document: Document) -> list[tuple[BlockKind, int, str]]:
    return [(block.kind, block.level, document.text[block.start : block.end].strip()) for block in document.blocks]


def test_headings_of_both_kinds_open_paths() -> None:
    document = read("""
        # Guide

        Intro.

        Install
        -------
        Run it.

        ### Linux ###
        Use apt.

        Usage
        =====
        Go.
        """)
    assert [(block.level, block.heading_path) for block in document.blocks if block.kind is H] == [
        (1, ()),
        (2, ("Guide",)),
        (3, ("Guide", "Install")),
        (1, ()),
    ]
    assert document.blocks[-3].heading_path == ("Guide", "Install", "Linux")
    assert document.blocks[-1].heading_path == ("Usage",)


def test_one_heading_on_top_is_the_title_and_one_of_many_is_not() -> None:
    assert read("# Guide\n\n## One\n\n## Two\n").title == "Guide"
    assert read("# Guide\n\n# Another\n").title == ""
    assert read("text\n").title == ""


def test_front_matter_gives_the_title_and_stays_in_the_text() -> None:
    document = read("---\ntitle: 'The Real Title'\ntags: [a]\n---\n# Heading\n\ntext\n")
    assert document.title == "The Real Title"
    assert [kind for kind, _, _ in shape(document)] == [P, H, P]


def test_a_rule_at_the_front_is_no_front_matter() -> None:
    assert shape(read("---\n\nhello\n\n---\n")) == [(P, 0, "---"), (P, 0, "hello"), (P, 0, "---")]


def test_lists_nest_by_indentation() -> None:
    document = read("""
        - one
          goes on
          - one a
            1. deep
        - two

          second paragraph of two
        * three

        after
        """)
    assert [(kind, level) for kind, level, _ in shape(document)] == [
        (L, 1), (L, 2), (L, 3), (L, 1), (L, 1), (P, 0),
    ]  # fmt: skip
    assert shape(document)[3][2] == "- two\n\n  second paragraph of two"


def test_a_year_at_the_start_of_a_line_begins_no_list() -> None:
    assert shape(read("He was born in\n1985. It was cold.\n")) == [(P, 0, "He was born in\n1985. It was cold.")]


def test_tables_know_their_header() -> None:
    document = read("""
        Prices:
        | item | price |
        |------|------:|
        | tea  | 3     |
        | cake | 4     |

        after
        """)
    assert [kind for kind, _, _ in shape(document)] == [P, T, T, T, P]
    assert [block.table_header for block in document.blocks] == ["", "", "| item | price |", "| item | price |", ""]
    assert shape(document)[1][2] == "| item | price |\n|------|------:|"


def test_code_is_whole_whatever_stands_in_it() -> None:
    document = read("""
        ```python
        # no heading

        - no item
        ```
        ~~~~
        ~~~
        still
        ~~~~

            indented

            code
        text
        """)
    assert [kind for kind, _, _ in shape(document)] == [C, C, C, P]
    assert shape(document)[0][2].endswith("- no item\n```")


def test_a_fence_never_closed_runs_to_the_end() -> None:
    assert [kind for kind, _, _ in shape(read("a\n\n```\ncode\n\n# code\n"))] == [P, C]


def test_code_inside_a_list_item_is_code() -> None:
    assert [kind for kind, _, _ in shape(read("- item\n\n  ```\n  x\n  ```\n\n- next\n"))] == [L, C, L]


def test_comments_go_but_not_from_code() -> None:
    document = read("a <!-- gone\n\nall of it --> b\n\n```\n<!-- kept -->\n```\n\n`<!-- kept, too -->`\n")
    assert "gone" not in document.text
    assert document.text.count("kept") == 2


def test_a_comment_never_closed_is_text() -> None:
    assert without_comments("a <!-- b") == "a <!-- b"
    assert without_comments("<!-- x --><!-- y" * 3).count("y") == 1


def test_embedded_pictures_leave_only_their_name() -> None:
    document = read(f"![logo](data:image/png;base64,{'QUJD' * 500})\n")
    assert document.text == "![logo](data:image/png;base64,)\n"


def test_headings_of_wiki_texts_count_where_they_are_the_custom() -> None:
    document = read(" = Top = \n text\n = = Sub = = \n more\n = = = Deep = = = \n end\n")
    assert [(kind, level) for kind, level, _ in shape(document) if kind is H] == [(H, 1), (H, 2), (H, 3)]
    assert document.blocks[-1].heading_path == ("Top", "Sub", "Deep")
    assert [kind for kind, _, _ in shape(read("# Real\n\nx = 1 =\n\n# Other\n\n= y =\n"))] == [H, P, H, P]


def test_a_text_without_comments_stays_as_written() -> None:
    text = "# A\r\n\r\ntext  \r\n\t- x\r\n"
    assert parse_markdown(text.encode(), Limits()).text == text


HOSTILE = [
    *("<!--" * 200_000, "`" * 500_000, "# " * 300_000, "- " * 300_000, "|" * 500_000, "> " * 300_000, "=" * 500_000),
    *("```\n~~~\n" * 100_000, "    \n" * 200_000 + "x", "- a\n" + "\n" * 500_000 + "  b"),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_marks_without_end_take_no_quadratic_time(hostile: str) -> None:
    assert parse_markdown(hostile.encode(), Limits()).blocks
