"""`chunking_strategy`: whatever JSON arrives is read or refused by the name of a field within it."""

from hypothesis import given
from hypothesis import strategies as st

from retrieval.api.schemas.chunking import chunking_answer, parse_chunking
from retrieval.catalog.rows import StaticChunking
from retrieval.errors import InvalidInput

NAMES = ["type", "static", "max_chunk_size_tokens", "chunk_overlap_tokens", "other"]
scalars = st.none() | st.booleans() | st.integers(-10, 5000) | st.floats() | st.sampled_from(["auto", "static", ""])
objects = st.dictionaries(st.sampled_from(NAMES), scalars, max_size=4)
anything = st.dictionaries(st.sampled_from(NAMES), scalars | objects | st.lists(scalars, max_size=2), max_size=5)


@st.composite
def chunkings(draw: st.DrawFn) -> StaticChunking:
    most = draw(st.integers(100, 4096))
    return StaticChunking(most, draw(st.integers(0, most // 2)))


@given(chunkings())
def test_what_an_answer_says_may_be_sent_again(chunking: StaticChunking) -> None:
    assert parse_chunking(chunking_answer(chunking)) == chunking


def read_or_refusal(sent: object) -> StaticChunking | InvalidInput | None:
    try:
        return parse_chunking(sent, "files[3].chunking_strategy")
    except InvalidInput as refusal:
        return refusal


@given(anything | scalars)
def test_anything_is_read_or_refused_by_name(sent: object) -> None:
    found = read_or_refusal(sent)
    if isinstance(found, InvalidInput):
        assert found.code
        assert (found.param or "").startswith("files[3].chunking_strategy")
    elif found is not None:
        assert 100 <= found.max_tokens <= 4096
        assert 0 <= found.overlap_tokens <= found.max_tokens // 2
