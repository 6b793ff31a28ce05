"""Embeddings of real text with near duplicates: documentation and sources of what is installed, by the local model."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._measure import Matrix
from ingest.embedding import EmbedderConfig, open_embedder

MODELS: Final = Path(__file__).parents[1] / "models"
KINDS_OF_FILE: Final = {".py", ".pyi", ".md", ".rst", ".txt", ".h"}
CHUNK_CHARACTERS: Final = 400
LEAST_CHARACTERS: Final = 80


def passages(most: int) -> list[str]:
    """Passages in the order of the files' names. Licences, headers and generated stubs make them repeat."""
    found: list[str] = []
    for passage in _all():
        found.append(passage)
        if len(found) == most:
            break
    return found


def text_vectors(rows: int, queries: int, cache: Path | None = None) -> tuple[Matrix, Matrix]:
    """Rows, and as many queries: lines from passages that are not among the rows."""
    path = None if cache is None else cache / f"text-{rows}-{queries}.npz"
    if path is not None and path.exists():
        held = np.load(path)
        return held["rows"], held["queries"]
    every = passages((rows + queries) * 2)
    chosen = np.random.default_rng(1).permutation(len(every))[: rows + queries]
    texts = [every[place] for place in chosen]
    asked = [max(text.splitlines(), key=len) for text in texts[rows:]]
    embedder = open_embedder(EmbedderConfig(folder=MODELS))
    try:
        made = embedder.embed(texts[:rows]).vectors, embedder.embed(asked, purpose="query").vectors
    finally:
        embedder.close()
    if path is not None:
        np.savez(path, rows=made[0], queries=made[1])
    return made


def _all() -> Iterator[str]:
    roots = [Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib")]
    for root in dict.fromkeys(roots):
        for path in sorted(root.rglob("*")):
            if path.suffix not in KINDS_OF_FILE or not path.is_file():
                continue
            try:
                text = path.read_text("utf-8")
            except (UnicodeDecodeError, OSError):
                print(f"left out, not readable as text: {path.name}", file=sys.stderr)
                continue
            for start in range(0, len(text), CHUNK_CHARACTERS):
                passage = text[start : start + CHUNK_CHARACTERS].strip()
                if len(passage) >= LEAST_CHARACTERS:
                    yield passage
