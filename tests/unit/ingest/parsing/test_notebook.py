import json

import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, EmptyDocument
from ingest.parsing.limits import Limits
from ingest.parsing.notebook import parse_notebook


def read(*cells: dict[str, object], **more: object) -> Document:
    return parse_notebook(json.dumps({"cells": cells, "nbformat": 4, **more}).encode(), Limits())


def test_words_and_code_come_in_order() -> None:
    document = read(
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "words **here**\n"]},
        {"cell_type": "code", "source": "x = 1\n\ny = 2", "outputs": [{"data": {"image/png": "QUJD"}}]},
        {"cell_type": "markdown", "source": "Sub\n---\n- item"},
    )
    assert [(block.kind, document.text[block.start : block.end], block.heading_path) for block in document.blocks] == [
        (BlockKind.HEADING, "Title", ()),
        (BlockKind.PARAGRAPH, "words **here**", ("Title",)),
        (BlockKind.CODE, "x = 1\n\ny = 2", ("Title",)),
        (BlockKind.HEADING, "Sub", ("Title",)),
        (BlockKind.LIST_ITEM, "- item", ("Title", "Sub")),
    ]
    assert document.title == "Title"
    assert "1 outputs" in document.warnings[0]
    assert "QUJD" not in document.text


def test_notebooks_of_the_third_version_are_read() -> None:
    document = parse_notebook(
        json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "source": "x"}]}]}).encode(), Limits()
    )
    assert document.text == "x"


@pytest.mark.parametrize("source", [b"{", b"no json", b"[" * 100_000])
def test_what_is_no_json_is_damaged(source: bytes) -> None:
    with pytest.raises(DamagedDocument):
        parse_notebook(source, Limits())


@pytest.mark.parametrize(
    "source", [b"{}", b"[]", b"3", b'{"cells": 3}', b'{"cells": [1, {"source": null}, {"source": [null]}]}']
)
def test_without_cells_it_is_empty(source: bytes) -> None:
    with pytest.raises(EmptyDocument):
        parse_notebook(source, Limits())
