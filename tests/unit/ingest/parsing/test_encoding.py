import codecs

import pytest

from ingest.errors import DocumentTooLarge, UndecodableText
from ingest.parsing.encoding import decode, encoding_of, looks_like_text, storable
from ingest.parsing.limits import Limits

LIMITS = Limits()
ENGLISH = "Plain English, nothing else.\n"
RUSSIAN = "Привет, как дела? Это обычный русский текст, написанный в старой кодировке.\n"
CHINESE = "这是一个简单的中文文档，用于测试编码检测。我们希望它能正确识别。\n"
JAPANESE = "これは日本語の文章です。文字コードを検出できるはずです。\n"
KOREAN = "이것은 간단한 한국어 문서입니다. 인코딩 감지를 테스트하기 위한 것입니다.\n"
FRENCH = "Le café est très près de l’hôtel où nous avons déjeuné l'été dernier; ça coûte 5 € et c'était délicieux.\n"


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN, CHINESE, JAPANESE, KOREAN, FRENCH])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("times", [1, 50])
def test_unicode_needs_no_mark(text: str, encoding: str, times: int) -> None:
    assert decode((text * times).encode(encoding), LIMITS).text == text * times


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        ("Die Größe der Straße überrascht schöne Mädchen in München.\n", "latin-1"),
        ("Zażółć gęślą jaźń. Dzień dobry, proszę państwa, święta już blisko.\n", "cp1250"),
        ("Zażółć gęślą jaźń. Dzień dobry, proszę państwa, święta już blisko.\n" * 9, "iso8859_2"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy, řekl šéf a šel dál.\n" * 3, "iso8859_2"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy, řekl šéf a šel dál.\n", "cp1250"),
        ("Il dit « très bien » et « à bientôt » à l'hôtel.\n", "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "cp866"),
        (RUSSIAN, "iso8859_5"),
        (KOREAN, "iso2022_kr"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        ("這是一個簡單的中文文件，用於測試編碼偵測。我們希望它能正確識別。\n", "big5"),
        (KOREAN, "euc_kr"),
        ("Αυτό είναι ένα απλό ελληνικό κείμενο για τον έλεγχο της κωδικοποίησης.\n", "cp1253"),
        ("זהו טקסט פשוט בעברית לבדיקת זיהוי הקידוד של הקובץ.\n", "cp1255"),
        ("هذا نص عربي بسيط لاختبار الكشف عن الترميز في الملف.\n", "cp1256"),
        ("café", "latin-1"),
    ],
)
def test_legacy_encodings_are_told_from_a_sentence(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), LIMITS).text == text


def test_accents_far_behind_the_beginning_are_found() -> None:
    text = ENGLISH * 20_000 + FRENCH
    assert decode(text.encode("cp1252"), LIMITS).text == text


def test_a_character_across_two_windows_stays_whole() -> None:
    text = "é" * (5 << 20)
    assert decode(("x" + text).encode(), LIMITS).text == "x" + text


def test_a_declared_encoding_is_believed_where_it_fits() -> None:
    assert decode("Größe".encode("cp437"), LIMITS, declared="cp437").text == "Größe"


@pytest.mark.parametrize("declared", ["ascii", "no-such-encoding", "base64", "hex", "rot13", "idna", "undefined", "\0"])
def test_a_declared_encoding_that_is_wrong_or_none_is_passed_over(declared: str) -> None:
    assert decode("Größe über alles".encode(), LIMITS, declared=declared).text == "Größe über alles"


def test_a_stray_byte_in_utf_8_costs_one_character_and_a_warning() -> None:
    decoded = decode(JAPANESE.encode() + b"\xff" + JAPANESE.encode(), LIMITS)
    assert decoded.text == JAPANESE + "\N{REPLACEMENT CHARACTER}" + JAPANESE
    assert "1 characters" in decoded.warnings[0]


def test_a_stray_byte_behind_the_sample_costs_no_more() -> None:
    decoded = decode(JAPANESE.encode() * 2000 + b"\xff" + JAPANESE.encode(), LIMITS)
    assert decoded.encoding == "utf-8"
    assert decoded.text.count("\N{REPLACEMENT CHARACTER}") == 1


def test_lone_surrogates_become_replacement_characters() -> None:
    assert "�" in decode("abc \ud800 def".encode("utf-8", "surrogatepass"), LIMITS).text
    assert "�" in decode("a\ud800b plain text".encode("utf-16-le", "surrogatepass"), LIMITS).text
    assert storable("a\ud800b\0c") == "a�b c"


def test_nul_bytes_in_text_become_spaces_of_the_same_number() -> None:
    decoded = decode(b"one\0two\0\0three, four and five", LIMITS)
    assert decoded.text == "one two  three, four and five"
    assert "3 NUL" in decoded.warnings[0]


@pytest.mark.parametrize(
    "source",
    [
        bytes(range(256)) * 10,
        b"\0" * 100,
        bytes((at * 7919 + at // 3 * 104729) % 256 for at in range(5000)),
        b"\x01\x02\x03\x04\x05\x06",
        b"text first\n" * 20 + bytes(range(32)) * 40,
    ],
)
def test_binary_is_refused(source: bytes) -> None:
    assert not looks_like_text(source)
    with pytest.raises(UndecodableText, match="binary"):
        decode(source, LIMITS)


def test_the_mark_is_no_part_of_the_text() -> None:
    assert encoding_of(codecs.BOM_UTF16_BE + b"\0a") == ("utf-16-be", 2)
    assert decode(codecs.BOM_UTF8 + b"hi", LIMITS).text == "hi"
    assert decode(codecs.BOM_UTF16_LE, LIMITS).text == ""


class Endless(bytes):
    """Claims half a gigabyte and gives any part of it, so that reading on after the limit would be noticed."""

    last = 0

    def __new__(cls, pattern: bytes) -> "Endless":
        return super().__new__(cls, pattern * (1 << 20))

    def __len__(self) -> int:
        return 512 << 20

    def __getitem__(self, item: object) -> bytes:  # type: ignore[override]
        assert isinstance(item, slice)
        start, stop, _ = item.indices(len(self))
        Endless.last = max(Endless.last, stop)
        whole = super().__getitem__(slice(None))
        return (whole * ((stop - start) // len(whole) + 1))[: stop - start]


@pytest.mark.parametrize(
    ("pattern", "read_mebibytes"), [(b"word ", 40), (b"1234 ", 40), (b"a\n\n\n", 40), (b"    ", 100)]
)
def test_reading_half_a_gigabyte_stops_once_it_is_too_much(pattern: bytes, read_mebibytes: int) -> None:
    Endless.last = 0
    with pytest.raises(DocumentTooLarge, match="Split"):
        decode(Endless(pattern), LIMITS)
    assert Endless.last <= read_mebibytes << 20


def test_text_up_to_the_limit_is_read() -> None:
    text = "word " * 1000
    assert decode(text.encode(), Limits(tokens=1001)).text == text
    with pytest.raises(DocumentTooLarge):
        decode(text.encode(), Limits(tokens=990))


def test_markup_is_not_counted_in_tokens() -> None:
    text = "<b> " * 1000
    assert decode(text.encode(), Limits(tokens=500), markup=True).text == text
