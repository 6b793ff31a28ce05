"""A child program whose documents are orders: echo the text, spin, sleep, hog memory, crash, lie.

It differs from the product's child in nothing but the function that reads a document.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ingest.children.confinement import die_with
from ingest.children.serving import run
from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.document import BlockKind, PlaceKind
from ingest.errors import EncryptedDocument
from ingest.parsing.limits import Limits, Source
from ingest.prepared import Prepared

documents = 0


def echo(text: str, chunking: ChunkLimits) -> Prepared:
    """Every word a chunk, each with another place, heading and table header."""
    chunks: list[Chunk] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        number = len(chunks)
        chunks.append(
            Chunk(
                ordinal=number,
                start=at,
                end=at + len(word),
                text=word,
                tokens=1 + number % chunking.max_tokens,
                place=None if number % 3 == 0 else number,
                title="short title",
                heading_path=("part", f"heading {number // 2}")[: number % 3],
                table_header="a | b" if number % 2 else "",
            )
        )
        at += len(word)
    return Prepared(
        text=text,
        media_type="text/plain",
        title="a title of some length",
        place_kind=PlaceKind.PAGE,
        place_count=len(chunks),
        blocks=((BlockKind.PARAGRAPH, 1), (BlockKind.CODE, 2)),
        chunks=tuple(chunks),
        warnings=("One picture was left out.",),
    )


def lie(prepared: Prepared) -> Prepared:
    far = Chunk(0, 0, 10**9, "", 1)
    return Prepared(prepared.text, "text/plain", "", None, 0, (), (far,), ())


def read(source: Source, name: str, limits: Limits, chunking: ChunkLimits) -> Prepared:  # noqa: PLR0912 - a list of orders
    global documents  # noqa: PLW0603 - what makes one document depend on another is what is tested
    documents += 1
    text = bytes(source).decode("utf-8")
    order, _, argument = text.partition(" ")
    match order:
        case "!spin":
            while True:
                pass
        case "!sleep":
            time.sleep(float(argument.split()[0]))
        case "!hog":
            return echo(str(len([bytes(1 << 20) for _ in range(int(argument))])), chunking)
        case "!hog-if-worn":
            if documents > 1:
                raise MemoryError
        case "!crash":
            os.kill(os.getpid(), getattr(signal, argument))
        case "!crash-if-worn":
            if documents > 1:
                ctypes.string_at(0)
        case "!segv":
            ctypes.string_at(0)
        case "!exit":
            os._exit(int(argument))
        case "!fault":
            raise KeyError("a secret of the document")
        case "!refuse":
            raise EncryptedDocument(argument)
        case "!deep":
            return read(source, name, limits, chunking)
        case "!lie":
            return lie(echo(text, chunking))
        case "!babble":
            os.write(0, b"x" * 100)
        case "!hang-up":
            os.close(0)
            time.sleep(600)
        case "!write":
            Path(argument).write_text("x" * 10_000)
        case "!open":
            opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(int(argument))]
            return echo(str(len(opened)), chunking)
        case "!fork":
            subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600)  # grandchild of {argument}"])
            os.kill(os.getpid(), signal.SIGSEGV)
        case "!environment":
            return echo(" ".join(sorted(os.environ)), chunking)
        case "!pid":
            return echo(str(os.getpid()), chunking)
    return echo(text, chunking)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    run(Limits(**json.loads(sys.argv[2])), read)
