"""The reading of a text by a question's words, against the plainest way to say what it means."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from retrieval.search.ranking import CLOSE_CHARACTERS, CLOSE_WORDS, MOST_PLACES, Rereader

PIECES = st.sampled_from(["river", "rivers", "driver", "flood", "Flood,", "東京", "a", "high", "(high", "\n", "-", "é"])
TEXTS = st.lists(PIECES, max_size=60).map(" ".join)
WORDS = st.lists(st.sampled_from(["river", "flood", "high", "京", "a", "nowhere"]), max_size=4, unique=True)


def plainly(words: list[str], text: str) -> float:
    if not words:
        return 0.0
    folded = text.casefold()
    places = {word: [at for at in range(len(folded)) if stands_at(word, folded, at)][:MOST_PLACES] for word in words}
    share = sum(bool(places[word]) for word in words) / len(words)
    if len(words) == 1:
        return share
    near = sum(
        any(is_near(min(one, other), max(one, other), folded) for one in places[left] for other in places[right])
        for left, right in pairwise(words)
    )
    return (share + near / (len(words) - 1)) / 2


def stands_at(word: str, text: str, at: int) -> bool:
    begins = not word.isascii() or at == 0 or not text[at - 1].isalnum()
    return begins and text.startswith(word, at)


def is_near(low: int, high: int, text: str) -> bool:
    return high - low <= CLOSE_CHARACTERS and len(text[low:high].split()) <= CLOSE_WORDS


@given(words=WORDS, text=TEXTS)
@example(words=["river", "flood"], text="driver " * 30 + "rivers flood")
@example(words=["river", "flood", "high"], text=("river " * 25) + "flood high")
def test_a_text_is_read_as_its_definition_says(words: list[str], text: str) -> None:
    assert Rereader(words).score(text) == plainly(words, text)
