"""The parsed text, put together again from its chunks."""

from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.passages import PIECE_CHARACTERS, text_of
from retrieval.segments.rows import StoredChunk


def chunk(ordinal: int, start: int, text: str) -> StoredChunk:
    return StoredChunk(1, ordinal, start, start + len(text), text, 1)


@given(st.text(min_size=1, max_size=300), st.integers(1, 40), st.data())
def test_overlapping_windows_give_the_text_once(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    starts = range(0, len(text), size - overlap)
    chunks = [chunk(number, start, text[start : start + size]) for number, start in enumerate(starts)]
    assert "".join(text_of(chunks)) == text


@given(st.lists(st.tuples(st.integers(0, 5), st.text("abc", min_size=1, max_size=9)), min_size=1, max_size=20))
def test_what_lay_between_chunks_comes_back_as_white_space(parts: list[tuple[int, str]]) -> None:
    chunks, at = [], 0
    for number, (gap, words) in enumerate(parts):
        at += gap
        chunks.append(chunk(number, at, words))
        at += len(words)
    together = "".join(text_of(chunks))
    assert together.split() == _split_at_gaps(parts)
    assert together == together.strip()


def _split_at_gaps(parts: list[tuple[int, str]]) -> list[str]:
    words: list[str] = []
    for gap, part in parts:
        if gap or not words:
            words.append(part)
        else:
            words[-1] += part
    return words


def test_a_long_text_comes_in_pieces() -> None:
    size = PIECE_CHARACTERS // 2
    chunks = [chunk(number, number * size, "x" * size) for number in range(5)]
    pieces = text_of(chunks)
    assert [len(piece) for piece in pieces] == [2 * size, 2 * size, size]


def test_no_chunks_are_no_text() -> None:
    assert text_of([]) == []
