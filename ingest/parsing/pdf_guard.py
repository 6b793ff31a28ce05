"""PDF streams built to expand without bound, found before anyone unpacks them whole.

Deflate packs a thousand to one at best, so only large streams, and streams packed more than once, can be bombs. Only
those are unpacked here, in pieces and counted. What hides from this look meets the limits of the child process.
"""

import re
import zlib
from collections.abc import Iterator

from ingest.errors import HostileDocument
from ingest.parsing.limits import MEBIBYTE, Limits, Source

EXPANDING = re.compile(rb"/(?:FlateDecode|Fl|LZWDecode|LZW|RunLengthDecode|RL)\b")
DEFLATED = re.compile(rb"/(?:FlateDecode|Fl)\b")
IMAGE = re.compile(rb"/Subtype\s*/Image\b")
STREAM = re.compile(rb"stream\r?\n")
DICTIONARY_BYTES = 2048
MOST_FILTERS = 3
PIECE_BYTES = 64 * 1024
# Below this a stream cannot reach a hundred mebibytes, and pdfium is welcome to it.
LEAST_SUSPECT_BYTES = 100 * 1024


def refuse_bombs(source: Source, limits: Limits) -> None:
    for at, end, dictionary in _streams(source):
        filters = len(EXPANDING.findall(dictionary))
        if filters > MOST_FILTERS:
            raise _hostile()
        stacked = filters > 1 and len(DEFLATED.findall(dictionary)) == filters
        if stacked or (end - at >= LEAST_SUSPECT_BYTES and filters and not IMAGE.search(dictionary)):
            _judge(source, at, end, filters if stacked else 1, limits)


def _streams(source: Source) -> Iterator[tuple[int, int, bytes]]:
    """Where each stream's bytes start and end, and the dictionary in front of it."""
    after = -len(b"end")
    for match in STREAM.finditer(source):
        if match.start() < after + len(b"end"):
            continue  # the word within another stream's bytes, or in `endstream`
        end = source.find(b"endstream", match.end())
        after = end if end >= 0 else len(source)
        before = source[max(0, match.start() - DICTIONARY_BYTES) : match.start()]
        yield match.end(), after, before[before.rfind(b" obj") + 1 :]


def _judge(source: Source, at: int, end: int, layers: int, limits: Limits) -> None:
    """Counts what the innermost layer gives; a damaged stream gives what it gives."""
    most = min(limits.expanded_bytes, limits.memory_bytes // 4)
    packed = end - at
    counted = 0
    pieces: Iterator[bytes] = (source[start : min(start + PIECE_BYTES, end)] for start in range(at, end, PIECE_BYTES))
    for _ in range(layers):
        pieces = _inflated(pieces, most)
    for piece in pieces:
        counted += len(piece)
        if counted > most or (counted > 64 * MEBIBYTE and counted > limits.expansion_ratio * packed):
            raise _hostile()


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


def _hostile() -> HostileDocument:
    return HostileDocument("A stream of this PDF is packed to expand beyond every limit; it is not read.")
