"""PDF streams built to expand without bound, found before anyone unpacks or draws them.

Deflate packs a thousand to one at best, so only streams that are large, dense or packed more than once can be bombs;
only those are unpacked here, in pieces and counted. What hides from this look meets the limits of the child process.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.errors import DocumentTooLarge, HostileDocument
from ingest.parsing.limits import MEBIBYTE, Limits, Source

EXPANDING = re.compile(rb"/(?:FlateDecode|Fl|LZWDecode|LZW|RunLengthDecode|RL)\b")
DEFLATED = re.compile(rb"/(?:FlateDecode|Fl)\b")
IMAGE = re.compile(rb"/Subtype\s*/Image\b")
STREAM = re.compile(rb"stream\r?\n")
OBJECT = re.compile(rb"(\d+)\s+\d+\s+obj\b")
SHOWN_TEXT = re.compile(rb"T[jJ*]|['\"]\s")
DICTIONARY_BYTES = 2048
MOST_FILTERS = 3
PIECE_BYTES = 64 * 1024
LARGE_BYTES = 128 * 1024  # packed; below this a stream of ordinary density stays under some megabytes
SMALL_BYTES = 4 * 1024  # packed; below this not even the densest stream passes five megabytes
SAMPLE_BYTES = 1024
DENSE = 60  # times; content streams pack five to one, text of one line repeated a hundred
TEXT_OBJECT_BYTES = 1300  # what pdfium holds for one shown string, measured
MOST_DRAWN_FORMS = 200_000
FORM_CONTENT_BYTES = MEBIBYTE


@dataclass(frozen=True, slots=True)
class Stream:
    number: int  # of its object; 0 where it cannot be told
    start: int
    end: int
    dictionary: bytes


def refuse_bombs(source: Source, limits: Limits) -> None:
    forms: dict[int, list[int]] = {}
    for stream in _streams(source):
        filters = len(EXPANDING.findall(stream.dictionary))
        if filters > MOST_FILTERS:
            raise _hostile()
        stacked = filters > 1 and len(DEFLATED.findall(stream.dictionary)) == filters
        if stacked or (filters == 1 and _suspect(source, stream)):
            _judge(source, stream, filters, limits)
        if b"/Form" in stream.dictionary and b"/XObject" in stream.dictionary:
            forms[stream.number] = _drawn(source, stream)
    _judge_forms(forms)


def _streams(source: Source) -> Iterator[Stream]:
    after = -len(b"endstream")
    for match in STREAM.finditer(source):
        if match.start() <= after + len(b"end"):
            continue  # the word within another stream's bytes, or in `endstream`
        end = source.find(b"endstream", match.end())
        after = end if end >= 0 else len(source)
        before = source[max(0, match.start() - DICTIONARY_BYTES) : match.start()]
        at = before.rfind(b"obj")
        number = None
        for number in OBJECT.finditer(before[max(0, at - 32) : at + 3]):  # noqa: B007 - the last one counts
            pass
        yield Stream(int(number[1]) if number else 0, match.end(), after, before[at + 3 :] if at >= 0 else before)


def _suspect(source: Source, stream: Stream) -> bool:
    """Large, or so dense at its start that it would be large when unpacked."""
    packed = stream.end - stream.start
    if packed < SMALL_BYTES or IMAGE.search(stream.dictionary):
        return False
    if packed >= LARGE_BYTES:
        return True
    sample = source[stream.start : stream.start + SAMPLE_BYTES]
    return sum(len(piece) for piece in _inflated(iter([sample]), MEBIBYTE)) > DENSE * SAMPLE_BYTES


def _judge(source: Source, stream: Stream, layers: int, limits: Limits) -> None:
    """Counts what the innermost layer gives; a damaged stream gives what it gives."""
    most = min(limits.expanded_bytes, limits.memory_bytes // 4)
    packed = stream.end - stream.start
    counted = texts = 0
    pieces = _packed(source, stream)
    for _ in range(layers):
        pieces = _inflated(pieces, most)
    for piece in pieces:
        counted += len(piece)
        texts += len(SHOWN_TEXT.findall(piece))
        if counted > most or (counted > 64 * MEBIBYTE and counted > limits.expansion_ratio * packed):
            raise _hostile()
        if texts * TEXT_OBJECT_BYTES > limits.memory_bytes // 2:
            raise DocumentTooLarge("A page of this PDF holds more text than fits into memory.")


def _packed(source: Source, stream: Stream) -> Iterator[bytes]:
    for at in range(stream.start, stream.end, PIECE_BYTES):
        yield source[at : min(at + PIECE_BYTES, stream.end)]


def _inflated(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    given = 0
    try:
        for piece in pieces:
            packed = piece
            while packed and not inflater.eof:
                unpacked = inflater.decompress(packed, PIECE_BYTES)
                given += len(unpacked)
                if given > most:
                    raise _hostile()
                yield unpacked
                packed = inflater.unconsumed_tail
    except zlib.error:
        return


def _drawn(source: Source, stream: Stream) -> list[int]:
    """The objects a form draws, once for every time it draws them."""
    pieces = _packed(source, stream)
    if DEFLATED.search(stream.dictionary):
        pieces = _inflated(pieces, FORM_CONTENT_BYTES)
    try:
        content = b"".join(pieces)[:FORM_CONTENT_BYTES]
    except HostileDocument:
        return []  # a drawing of megabytes draws by itself
    names = dict(re.findall(rb"/([^\s/<>\[\]()]+)\s+(\d+)\s+\d+\s+R", stream.dictionary))
    return [int(names[name]) for name in re.findall(rb"/([^\s/<>\[\]()]+)\s+Do\b", content) if name in names]


def _judge_forms(forms: dict[int, list[int]]) -> None:
    """Forms within forms, each drawing the next twice, draw without end; so does a form within itself."""
    drawn: dict[int, int] = dict.fromkeys(forms, 1)
    for _ in range(len(forms) + 1):
        grown = {form: 1 + sum(drawn.get(inner, 1) for inner in inners) for form, inners in forms.items()}
        if grown == drawn:
            return
        drawn = grown
        if max(drawn.values()) > MOST_DRAWN_FORMS:
            break
    raise HostileDocument("Drawings in this PDF contain each other without end; it is not read.")


def _hostile() -> HostileDocument:
    return HostileDocument("A stream of this PDF is packed to expand beyond every limit; it is not read.")
