from collections.abc import Callable

import pytest

from ingest.document import BlockKind, Document
from ingest.parsing import marked_text
from ingest.parsing.limits import Limits

TEXTS = {
    "parse_latex": "\\title{On Tea}\n\\section{One}\nwords\n\n\\subsection*{Two}\nmore\n\n\\section{Three}\nend\n",
    "parse_restructured_text": "One\n===\n\nwords\n\nTwo\n---\n\nmore\n\nThree\n=====\n\nend\n",
    "parse_org": "* One\nwords\n** Two\nmore\n* Three\nend\n",
    "parse_asciidoc": "= One\nwords\n\n== Two\nmore\n\n= Three\nend\n",
    "parse_mediawiki": "= One =\nwords\n== Two ==\nmore\n= Three =\nend\n",
}


@pytest.mark.parametrize("parser", TEXTS)
def test_headings_open_paths_in_every_markup(parser: str) -> None:
    parse: Callable[[bytes, Limits], Document] = getattr(marked_text, parser)
    document = parse(TEXTS[parser].encode(), Limits())
    paths = {
        document.text[block.start : block.end]: block.heading_path
        for block in document.blocks
        if block.kind is BlockKind.PARAGRAPH
    }
    assert (paths["words"], paths["more"], paths["end"]) == (("One",), ("One", "Two"), ("Three",))
    assert document.text == TEXTS[parser]
    assert document.title == ("On Tea" if parser == "parse_latex" else "")


def test_levels_of_restructured_text_follow_their_first_use() -> None:
    text = "====\nTop\n====\n\nA\n~~~\n\nB\n^^^\n\nC\n~~~\n"
    document = marked_text.parse_restructured_text(text.encode(), Limits())
    assert [block.level for block in document.blocks] == [1, 2, 3, 2]
    assert document.title == "Top"


def test_a_table_of_restructured_text_is_no_heading() -> None:
    text = "===  ===\na    b\n===  ===\n\nwords...\n...\n"
    document = marked_text.parse_restructured_text(text.encode(), Limits())
    assert {block.kind for block in document.blocks} == {BlockKind.PARAGRAPH}
