"""Which terms a text has, and which a question looks for."""

import pytest

from retrieval.segments.words import query_terms, terms, terms_of


def meets(text: str, question: str) -> bool:
    """Whether every term of the question stands in the text."""
    return set(query_terms(question)) <= set(terms(text))


def shares(text: str, question: str) -> bool:
    return bool(set(query_terms(question)) & set(terms(text)))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The rivers flooded", "river flood"),
        ("He was running and stopped", "run stop"),
        ("making, makes", "make"),
        ("two houses, many cities, boxes, classes", "house city box class"),
        ("She studied carefully", "study careful"),
        ("RIVER River", "river"),
        ("STRASSE", "Straße"),
        ("ﬁnance in ｆｕｌｌ width", "finance full"),
        ("naïve café", "naive cafe"),
        ("Ελλάδα", "ΕΛΛΆΔΑ"),
        ("soft\u00adhyphen", "softhyphen"),
        ("don't", "dont"),
        ("John’s book", "john"),
        ("l'école d’été", "école été"),
    ],
)
def test_forms_of_a_word_meet(text: str, question: str) -> None:
    assert meets(text, question)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("set max_rows now", "max_rows"),
        ("set max_rows now", "maxRows"),
        ("set maxRows now", "max rows"),
        ("class HTTPServerError:", "http server error"),
        ("send an e-mail", "email"),
        ("part AB-1234-X fits", "AB-1234-X"),
        ("part AB-1234-X fits", "ab1234x"),
        ("part AB1234X fits", "1234"),
        ("needs Python 3.11.7", "3.11.7"),
        ("since v3.11.7", "3.11.7"),
        ("1,000,000 people", "1000000"),
        ("written in C++, not C#", "C++"),
        ("written in C++, not C#", "c#"),
        ("os.path.join(a)", "os.path.join"),
        ("os.path.join(a)", "path"),
        ("mail me@example.org", "me@example.org"),
        ("mail me@example.org", "example"),
        ("O'Brien", "obrien"),
        ("see RFC2119 (utf8)", "rfc 2119"),
        ('(brackets), "quotes"; and—dashes…', "brackets quotes dashes"),
    ],
)
def test_identifiers_are_found_whole_and_split(text: str, question: str) -> None:
    assert meets(text, question)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("东京是日本的首都", "日本"),
        ("东京是日本的首都", "首都"),
        ("猫が好きです", "猫"),
        ("プログラミング言語", "言語"),
        ("ภาษาไทยง่ายมาก", "ภาษาไทย"),
        ("ພາສາລາວ", "ພາສາ"),
        ("ភាសាខ្មែរ", "ខ្មែរ"),
        ("မြန်မာဘာသာ", "မြန်မာ"),
        ("हिन्दी भाषा", "भाषा"),
        ("서울은 수도이다", "서울은"),
    ],
)
def test_every_script_is_found(text: str, question: str) -> None:
    assert meets(text, question)


def test_korean_words_meet_without_their_particles() -> None:
    assert shares("서울특별시는 수도이다", "서울특별시")
    assert shares("도서관에서", "도서관")


@pytest.mark.parametrize(
    ("text", "question"),
    [("version 3.11", "31.1"), ("1.5 metres", "15"), ("AB-12", "AB-21"), ("bus", "bu"), ("东京", "京东")],
)
def test_what_differs_does_not_meet(text: str, question: str) -> None:
    assert not meets(text, question)


def test_a_question_leaves_stop_words_out_unless_it_has_nothing_else() -> None:
    assert query_terms("What is the height of the tower?") == ["height", "tower"]
    assert query_terms("To be or not to be") == ["to", "be", "or", "not"]
    assert query_terms("THE WHO") == ["the", "who"]


def test_a_question_asks_for_each_term_once() -> None:
    assert query_terms("river rivers RIVER bank") == ["river", "bank"]


def test_every_occurrence_counts() -> None:
    assert terms("river the rivers") == ["river", "the", "river"]


@pytest.mark.parametrize("text", ["", "   \n\t", "!!! ... ---", "\u200b", "_", "___"])
def test_a_text_without_words_has_no_terms(text: str) -> None:
    assert terms(text) == []
    assert query_terms(text) == []


def test_a_very_long_token_is_one_term() -> None:
    assert len(terms_of("aB3" * 1000)) == 1


def test_no_term_reaches_across_a_space() -> None:
    text = "max_rows e-mail 东京 naïve v1.2 don't"
    assert terms(text) == [term for piece in text.split() for term in terms(piece)]
