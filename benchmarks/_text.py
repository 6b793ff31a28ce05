"""Real text from this machine: documentation and source files, cut into passages, and their vectors by the local model.

Copies and near copies are in it as they are in any folder: licences, generated code, two versions of one library.
A passage is embedded by its first words only, so that a hundred thousand take minutes on two cores and not an hour.
Its whole text is what the keyword side sees. What was embedded once is kept in the folder given.
"""

import hashlib
import json
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.embedding import Embedder

Matrix = NDArray[np.float32]

SUFFIXES: Final = {".py", ".pyi", ".md", ".rst", ".txt"}
PASSAGE_CHARACTERS: Final = 800
MOST_PASSAGES: Final = 60  # of one file, so that no generated table is half of the corpus
MOST_BYTES: Final = 1_000_000
WORDS_EMBEDDED: Final = 24
QUERY_WORDS: Final = 8
_AT_ONCE: Final = 4_096


@dataclass(frozen=True, slots=True)
class Passages:
    """Files, one after the other: file i has the passages from starts[i] up to starts[i + 1]."""

    texts: Sequence[str]
    starts: Sequence[int]

    @property
    def sizes(self) -> list[int]:
        return [stop - start for start, stop in zip(self.starts, self.starts[1:], strict=False)]


def default_folders() -> list[Path]:
    """The standard library's sources, and the installed packages'."""
    paths = sysconfig.get_paths()
    return [Path(paths["stdlib"]), Path(paths["purelib"])]


def read_passages(folders: Sequence[Path], count: int) -> Passages:
    """The first `count` passages of the folders' files, in an order that mixes them and stays the same."""
    texts: list[str] = []
    starts = [0]
    for path in _files(folders):
        try:
            found = list(_cut(path.read_text("utf-8")))[:MOST_PASSAGES]
        except (OSError, UnicodeDecodeError):
            continue
        texts += found[: count - len(texts)]
        if len(texts) > starts[-1]:
            starts.append(len(texts))
        if len(texts) >= count:
            break
    return Passages(texts, starts)


def embedded(passages: Passages, embedder: Embedder, folder: Path) -> Matrix:
    """A row for each passage, made in blocks, each kept: an interrupted run goes on where it stopped."""
    openings = [" ".join(text.split()[:WORDS_EMBEDDED]) for text in passages.texts]
    folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for start in range(0, len(openings), _AT_ONCE):
        some = openings[start : start + _AT_ONCE]
        digest = hashlib.sha256(json.dumps([embedder.spec.name, some]).encode()).hexdigest()[:32]
        path = folder / f"{digest}.npy"
        if not path.exists():
            np.save(path.with_suffix(".part.npy"), embedder.embed(some).vectors)
            path.with_suffix(".part.npy").rename(path)
        blocks.append(np.load(path))
    return np.ascontiguousarray(np.concatenate(blocks), dtype=np.float32)


def questions(passages: Passages, count: int, seed: int) -> list[str]:
    """A few words in a row out of passages drawn by chance: what somebody who half remembers a text would type."""
    chance = np.random.default_rng(seed)
    asked: list[str] = []
    while len(asked) < count:
        words = passages.texts[int(chance.integers(len(passages.texts)))].split()
        if len(words) > 2 * QUERY_WORDS:
            start = int(chance.integers(len(words) - QUERY_WORDS))
            asked.append(" ".join(words[start : start + QUERY_WORDS]))
    return asked


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    found = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.is_file() and 200 < path.stat().st_size < MOST_BYTES
    ]
    return iter(sorted(set(found), key=lambda path: hashlib.sha256(str(path).encode()).digest()))


def _cut(text: str) -> Iterator[str]:
    """At ends of lines, into pieces of about equal length; a longer line stands alone, cut off."""
    waiting: list[str] = []
    size = 0
    for line in text.splitlines():
        if size + len(line) > PASSAGE_CHARACTERS and waiting:
            yield "\n".join(waiting)
            waiting, size = [], 0
        if line.strip():
            waiting.append(line[:PASSAGE_CHARACTERS])
            size += len(line) + 1
    if waiting and size > 100:
        yield "\n".join(waiting)
