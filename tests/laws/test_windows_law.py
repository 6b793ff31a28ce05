"""Windows and packs under any text: complete, within bounds, the same every time."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ingest.embedding.batching import packs, runs
from ingest.embedding.windows import WindowLimits, split

PIECES = st.sampled_from(
    ["word", "two words", "end. ", "line\n", "文。", "語", "x" * 30, "... ", "!", "(a) ", "\u3000", ";  "]
)
TEXTS = st.lists(PIECES, max_size=300).map("".join)


@st.composite
def limits(draw: st.DrawFn) -> WindowLimits:
    most = draw(st.integers(1, 60))
    return WindowLimits(draw(st.integers(most, 80)), most, draw(st.integers(0, most // 3)))


def tokens(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w{1,4}|[^\w\s]", text)]


@given(text=TEXTS, limits=limits())
def test_windows_lose_nothing_and_keep_their_bound(text: str, limits: WindowLimits) -> None:
    spans = tokens(text)
    windows = split(text, spans, limits)
    assert "".join(windows) == text
    assert all(windows) or not text
    if len(spans) > limits.whole_tokens:
        at = 0
        for window in windows:
            inside = sum(1 for start, _ in spans if at <= start < at + len(window))
            assert inside <= limits.most_tokens
            at += len(window)
    else:
        assert windows == [text]
    assert split(text, spans, limits) == windows


@given(
    lengths=st.lists(st.integers(0, 300), max_size=80), most_tokens=st.integers(0, 500), most_texts=st.integers(1, 9)
)
def test_packs_and_runs_hold_everything_once_within_their_bounds(
    lengths: list[int], most_tokens: int, most_texts: int
) -> None:
    packed = packs(lengths, most_tokens=most_tokens, most_texts=most_texts)
    assert sorted(index for pack in packed for index in pack) == list(range(len(lengths)))
    for pack in packed:
        assert len(pack) == 1 or len(pack) * max(lengths[index] for index in pack) <= most_tokens
        assert len(pack) <= most_texts
    cut = runs(lengths, most_size=most_tokens, most_items=most_texts)
    assert [index for run in cut for index in run] == list(range(len(lengths)))
    for run in cut:
        assert len(run) == 1 or sum(lengths[index] for index in run) <= most_tokens
        assert len(run) <= most_texts
