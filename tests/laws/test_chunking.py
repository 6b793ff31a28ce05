"""Whatever the script and the structure: nothing is lost, no limit is passed, every span is right."""

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.chunking.seams import SEAM
from ingest.chunking.sentences import sentence_starts
from ingest.chunking.split import split
from ingest.chunking.tokens import EncodingName
from ingest.document import Block, BlockKind, Document, PlaceKind
from tests.support.tokenizers import genuine, recount, short_pieces, tokenizer

FRAGMENTS = [
    *(
        "a",
        "word",
        "Sentence. ",
        "Dr. Who",
        "it's",
        "WE'LL",
        "3.14",
        "1234567",
        "½²",
        "snake_case",
        "x/y",
        "<|endoftext|>",
    ),
    *(" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\x1c", "\x85", "\x0b", "\x00"),
    *(",", ".", "!?", "(", ")", "]", "-", "_", "'", "# ", "| a | b |", "```"),
    *(
        "中文字符。",
        "，",
        "「引用」",
        "日本語テキスト",
        "한국어 문장.",
        "ไทยไม่เว้นวรรค",
        "العربية؟ ",
        "שָׁלוֹם",
        "हिन्दी वाक्य। ",
        "தமிழ்",
    ),
    *("é", "e\u0301\u0323", "ǅ", "ʰ", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "\u200d", "\u200b", "\u0301", "𝔘𝔫𝔦", "𠀀"),
]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=14).map("".join)


@st.composite
def long_texts(draw: st.DrawFn) -> str:
    """Some hundred tokens and more: parts repeated, so that a few choices make a long text."""
    parts = draw(st.lists(st.tuples(texts, st.integers(1, 40)), min_size=1, max_size=8))
    return "".join(part * times for part, times in parts)


@st.composite
def static_limits(draw: st.DrawFn) -> ChunkLimits:
    most = draw(st.integers(100, 180))
    return ChunkLimits("static", most, draw(st.integers(0, most // 2)))


auto_limits = st.sampled_from([ChunkLimits(), ChunkLimits("auto", 100)])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Blocks as a parser makes them: in order, apart, covering whatever is not white space."""
    text, blocks = "", list[Block]()
    for kind in draw(st.lists(st.sampled_from(BlockKind), max_size=14)):
        body = (draw(texts) * draw(st.integers(1, 60))).strip()
        text += draw(st.sampled_from(["", "\n", "\n\n", "  \n\t"]))
        if body:
            path = ("Chapter",) if draw(st.booleans()) else ()
            header = "name | size" if kind is BlockKind.TABLE_ROW else ""
            level = draw(st.integers(1, 3)) if kind is BlockKind.HEADING else 0
            blocks.append(Block(len(text), len(text) + len(body), kind, level, len(blocks) // 3 + 1, path, header))
        text += body
    place = draw(st.sampled_from([None, *PlaceKind]))
    return Document(text, tuple(blocks), "text/plain", title="Title", place_kind=place)


def plain(text: str) -> Document:
    return Document(text, (), "text/plain")


def lost(text: str, chunks: tuple[Chunk, ...]) -> str:
    covered = bytearray(len(text))
    for chunk in chunks:
        covered[chunk.start : chunk.end] = b"x" * (chunk.end - chunk.start)
    return "".join(char for char, seen in zip(text, covered, strict=True) if not seen)


def hold_for_all(text: str, chunks: tuple[Chunk, ...], limits: ChunkLimits) -> None:
    assert not lost(text, chunks).strip()
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert chunk.tokens == recount(chunk.text) <= limits.max_tokens


@settings(max_examples=150, deadline=None)
@given(text=long_texts(), limits=static_limits())
def test_windows_lose_nothing_and_keep_their_limit(text: str, limits: ChunkLimits) -> None:
    chunks = split(plain(text), limits, tokenizer())
    hold_for_all(text, chunks, limits)
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end


@settings(max_examples=150, deadline=None)
@given(text=long_texts(), limits=static_limits())
def test_windows_overlap_by_what_was_asked(text: str, limits: ChunkLimits) -> None:
    assume(not any(blank in text for blank in (" " * 8, "\n" * 8, "\t" * 8)))  # blank windows are left out
    tokens = tokenizer().tokenize(text)
    chunks = split(plain(text), limits, tokenizer())
    for before, after in pairwise(chunks):
        first, stop = tokens.starts.searchsorted((after.start, before.end), side="right").tolist()
        assert stop - first <= limits.overlap_tokens
        # Less only where a character would have been split; text of plain letters has exactly what was asked.
        assert stop - first >= limits.overlap_tokens - (0 if text.isascii() and "\r" not in text else 20)


@settings(max_examples=150, deadline=None)
@given(document=documents(), limits=auto_limits)
def test_packed_chunks_lose_nothing_keep_their_limit_and_never_overlap(document: Document, limits: ChunkLimits) -> None:
    chunks = split(document, limits, tokenizer())
    hold_for_all(document.text, chunks, limits)
    for chunk in chunks:
        assert chunk.text == chunk.text.strip()
    for before, after in pairwise(chunks):
        assert before.end <= after.start


@settings(max_examples=60, deadline=None)
@given(document=documents(), limits=auto_limits | static_limits())
def test_the_same_document_gives_the_same_chunks(document: Document, limits: ChunkLimits) -> None:
    assert split(document, limits, tokenizer()) == split(document, limits, tokenizer())


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_a_cut_at_a_seam_changes_no_token(name: EncodingName, text: str) -> None:
    encode = genuine(name).encode_ordinary
    whole = encode(text)
    for seam in SEAM.finditer(text):
        assert encode(text[: seam.start()]) + encode(text[seam.start() :]) == whole


@settings(max_examples=200, deadline=None)
@given(text=long_texts())
def test_tokens_begin_where_the_genuine_ones_begin(text: str) -> None:
    encoding = genuine()
    tokens = tokenizer().tokenize(text)
    ids = encoding.encode_ordinary(text)
    assert len(tokens) == len(ids) == tokenizer().count(text)
    before = 0
    for index, token in enumerate(map(encoding.decode_single_token_bytes, ids)):
        head = text.encode()[:before]
        assert tokens.whole[index] == (token[0] & 0xC0 != 0x80)
        assert tokens.starts[index] == len(head.decode(errors="ignore")) + (not tokens.whole[index])
        before += len(token)


@settings(max_examples=200, deadline=None)
@given(text=long_texts(), data=st.data())
def test_a_slice_is_counted_as_if_it_stood_alone(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    for opened in (tokenizer(), short_pieces()):
        assert opened.tokenize(text).count(start, end) == recount(text[start:end])


@settings(max_examples=150, deadline=None)
@given(text=long_texts(), limits=static_limits())
def test_forced_cuts_in_endless_words_break_no_law(text: str, limits: ChunkLimits) -> None:
    hold_for_all(text, split(plain(text), limits, short_pieces()), limits)


@given(text=long_texts())
@settings(max_examples=150, deadline=None)
def test_a_sentence_begins_after_white_space_or_a_stop_and_with_neither(text: str) -> None:
    starts = sentence_starts(text)
    assert starts == sorted(set(starts))
    for at in starts:
        assert 0 < at < len(text)
        assert not text[at].isspace()
