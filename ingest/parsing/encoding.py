"""The one decoder of text: bytes -> str, whatever they were written in, or an error.

The mark at the front decides, then what the format declares, then UTF-8, then UTF-16 and UTF-32 without a mark,
then a legacy encoding by detection on a sample. The result has no NUL, no lone surrogate and no mark; reading
stops as soon as the text is known to be past its limit, so that half a gigabyte costs what its first part costs.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from charset_normalizer import from_bytes

from ingest.errors import UndecodableText
from ingest.parsing.allowance import CharacterAllowance, TextAllowance
from ingest.parsing.limits import MEBIBYTE, Limits, Source

SAMPLE_BYTES: Final = 64 * 1024
_STATISTICS_BYTES: Final = 512
_WINDOW_BYTES: Final = 4 * MEBIBYTE
_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Most used first: the order settles ties, which are common in short texts.
_LATIN: Final = "cp1252 cp1250 cp1254 cp1257 iso8859_2".split()
_OTHER_SCRIPTS: Final = (
    "cp1251 gb18030 cp932 big5 cp949 euc_jp koi8_r cp1253 cp1255 cp1256 cp874 cp866 iso8859_5 iso8859_7 mac_cyrillic "
    "cp855"
).split()
_ESCAPES: Final = ((b"\x1b$B", "iso2022_jp"), (b"\x1b$@", "iso2022_jp"), (b"\x1b$)C", "iso2022_kr"))
# Letters of ISO 8859-2 where Windows-1250 has signs, inside a word; Windows has its own where ISO has none.
_ISO_LATIN_2: Final = re.compile(
    rb"[A-Za-z\xc0-\xff][\xa1\xa6\xa9\xab\xac\xae\xb1\xb6\xb9\xbb\xbc\xbe][A-Za-z\xc0-\xff]"
)
_WINDOWS_ONLY: Final = re.compile(rb"[\x80-\x9f]")
_ODD_CONTROLS: Final = bytes(range(1, 8)) + bytes(range(14, 27)) + bytes(range(28, 32))
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ASCII_LETTER: Final = re.compile(rb"[A-Za-z]")
_HIGH_BYTE: Final = re.compile(rb"[\x80-\xff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str
    warnings: tuple[str, ...] = ()


def decode(source: Source, limits: Limits, *, declared: str = "", markup: bool = False) -> Decoded:
    """The text of `source`. `declared` is the encoding its format names, believed where it fits.

    `markup` is not counted in tokens: what is left of it without its tags may be much less."""
    allowance = CharacterAllowance(limits) if markup else TextAllowance(limits)
    encoding, skipped = encoding_of(source, declared)
    text = _read(source, skipped, encoding, allowance)
    if text is None:  # the sample was good UTF-8, a later part is not
        encoding = _utf8_or_legacy(source)
        text = _read(source, skipped, encoding, allowance.anew(), errors="replace") or ""
    warnings = []
    if lost := text.count(_REPLACEMENT):
        warnings.append(f"{lost:,} characters could not be read as {encoding} and stand as {_REPLACEMENT}.")
    if nuls := text.count("\0"):
        warnings.append(f"{nuls:,} NUL characters stand as spaces.")
    return Decoded(storable(text), encoding, tuple(warnings))


def storable(text: str) -> str:
    """The same text, as long, without what UTF-8 and SQL cannot hold: lone surrogates and NUL."""
    if "\0" in text:
        text = text.replace("\0", " ")
    if not text.isascii() and _LONE_SURROGATE.search(text):
        return _LONE_SURROGATE.sub(_REPLACEMENT, text)
    return text


def encoding_of(source: Source, declared: str = "") -> tuple[str, int]:
    """Name of the encoding, and the length of the mark before the text; raises UndecodableText for binary."""
    head = source[:4]
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    sample = source[:SAMPLE_BYTES]
    if declared and _fits(sample, declared):
        return declared, 0
    for escape, encoding in _ESCAPES:
        if escape in sample and _fits(sample, encoding):
            return encoding, 0
    if not _is_clean(sample):
        return _wide(sample) or _utf8_or_legacy(source), 0
    return "utf-8" if _fits(sample, "utf-8") else _utf8_or_legacy(source), 0


def looks_like_text(source: Source) -> bool:
    try:
        encoding_of(source)
    except UndecodableText:
        return False
    return True


def _read(source: Source, start: int, encoding: str, allowance: CharacterAllowance, errors: str = "") -> str | None:
    """All text after `start`; None where strict UTF-8 was hoped for in vain."""
    strict = encoding == "utf-8" and not errors
    decoder = codecs.getincrementaldecoder(encoding)("strict" if strict else "replace")
    pieces = []
    try:
        for at in range(start, len(source), _WINDOW_BYTES):
            piece = decoder.decode(source[at : at + _WINDOW_BYTES], at + _WINDOW_BYTES >= len(source))
            allowance.take(piece)
            pieces.append(piece)
    except UnicodeDecodeError:
        return None
    return "".join(pieces)


def _fits(sample: bytes, encoding: str) -> bool:
    """Whether the sample is text in `encoding`, its last character perhaps cut."""
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(sample, len(sample) < SAMPLE_BYTES)
    except (UnicodeDecodeError, LookupError, AttributeError, TypeError, ValueError):
        return False  # an encoding unknown here, or one from bytes to bytes, is as good as none
    return True


def _is_clean(sample: bytes) -> bool:
    """No more control characters than text has: NULs may pad records, others are rare."""
    odd = len(sample) - len(sample.translate(None, _ODD_CONTROLS))
    return odd <= 1 + len(sample) // 50 and sample.count(0) <= 1 + len(sample) // 4


def _wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, or nothing. The reading with the fewest different code pages is the right one.

    Only bytes too full of control characters for any other encoding come here, and UTF-16 always is."""
    found = []
    for encoding, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        whole = sample[: len(sample) - len(sample) % width]
        if len(sample) % width and len(sample) < SAMPLE_BYTES:
            continue
        try:
            text = whole.decode(encoding)
        except UnicodeDecodeError:
            if not _nearly_all_ascii(whole.decode(encoding, "replace")):
                continue
            text = whole.decode(encoding, "replace")
        if text and _reads_as_language(text):
            found.append((len({ord(char) >> 8 for char in text}), encoding))
    return min(found)[1] if found else ""


def _nearly_all_ascii(text: str) -> bool:
    """A surrogate alone among plain letters: damaged UTF-16, still unmistakable."""
    return sum("\t" <= char <= "~" for char in text) * 10 >= len(text) * 9


def _reads_as_language(text: str) -> bool:
    """Two bytes of anything else, read as one character, scatter over all of Unicode; a language does not."""
    if _nearly_all_ascii(text):
        return True
    known = sum(unicodedata.category(char) not in ("Cc", "Cn", "Co", "Cs") or char in "\t\r\n" for char in text)
    scripts = ("\0", "\u1000"), ("\u2000", "\u2070"), ("\u3000", "\ua000"), ("\uac00", "\ud7b0"), ("\uff00", "\ufff0")
    at_home = sum(any(first <= char < end for first, end in scripts) or char > "\uffff" for char in text)
    return len(text) >= 4 and min(known, at_home) * 20 >= len(text) * 19


def _utf8_or_legacy(source: Source) -> str:
    """For bytes that are not wholly UTF-8: damaged UTF-8, or a legacy encoding; raises UndecodableText for binary."""
    _refuse_binary(source[:SAMPLE_BYTES])
    first = _HIGH_BYTE.search(source)
    if not first:
        return "utf-8"
    start = max(0, first.start() - SAMPLE_BYTES // 4)
    sample = source[start : start + SAMPLE_BYTES]
    _refuse_binary(sample)
    # A stray byte costs one replacement character; letters of a legacy encoding would cost one each.
    high = len(_HIGH_BYTE.findall(sample))
    lost = sample.decode("utf-8", "replace").count(_REPLACEMENT)
    if lost * 4 <= high or _has_only_surrogates_wrong(sample):
        return "utf-8"
    return _detected(sample, high)


def _refuse_binary(sample: bytes) -> None:
    if not _is_clean(sample):
        raise UndecodableText(
            "The file is binary: its bytes are no text in any encoding known here. Upload text in UTF-8 or UTF-16."
        )


def _has_only_surrogates_wrong(sample: bytes) -> bool:
    try:
        sample.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _detected(sample: bytes, high: int) -> str:
    # Hardly a letter in ASCII: no Latin script writes so, and in a few words nothing else tells them apart.
    ascii_letters = len(_ASCII_LETTER.findall(sample))
    ranking = [*_OTHER_SCRIPTS, *_LATIN] if high >= 3 * ascii_letters else [*_LATIN, *_OTHER_SCRIPTS]
    enough = sample * (_STATISTICS_BYTES // len(sample) + 1)  # of a few words, no language can be told
    matches = list(from_bytes(enough, cp_isolation=ranking, enable_fallback=False))
    if not matches:
        if high * 3 <= len(sample):
            return "cp1252"  # mostly ASCII: a wrong accent or quotation mark is the lesser evil
        raise UndecodableText(
            "The encoding of the text could not be told: it is not UTF-8, UTF-16, UTF-32 or a legacy encoding that is "
            "recognised. Save it as UTF-8."
        )
    best = matches[0]
    tied = {str(found) for found in matches if found.chaos <= best.chaos and found.coherence >= best.coherence}
    name = next((name for name in ranking if enough.decode(name, "replace") in tied), best.encoding)
    if name == "cp1250" and len(_ISO_LATIN_2.findall(sample)) > 1 and not _WINDOWS_ONLY.search(sample):
        return "iso8859_2"
    return name
