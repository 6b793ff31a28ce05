"""What a parser made of a document, in a form that tests can compare; every reading is held to the laws."""

from ingest.document import Block, BlockKind, Document


def lawful(document: Document) -> Document:
    """`document`, after checking what `ingest.document` promises of every one."""
    end_before = 0
    for block in document.blocks:
        assert end_before <= block.start < block.end <= len(document.text)
        assert not document.text[end_before : block.start].strip(), "text between blocks"
        assert document.text[block.start : block.end].strip(), "a block without text"
        if document.place_kind is not None and block.place is not None:
            assert 1 <= block.place <= document.place_count
        end_before = block.end
    assert not document.text[end_before:].strip()
    assert document.text.encode()  # no lone surrogates
    assert "\0" not in document.text
    return document


def texts(document: Document, kind: BlockKind | None = None) -> list[str]:
    return [text_of(document, block) for block in document.blocks if kind in (None, block.kind)]


def text_of(document: Document, block: Block) -> str:
    return document.text[block.start : block.end]


def block_with(document: Document, words: str) -> Block:
    """The one block that holds `words`."""
    found = [block for block in document.blocks if words in text_of(document, block)]
    assert len(found) == 1, f"{words!r} is in {len(found)} blocks"
    return found[0]
