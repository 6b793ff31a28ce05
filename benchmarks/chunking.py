"""How fast text becomes chunks: static windows and auto packing, one thread, against LangChain's splitters.

`python -m benchmarks chunking [FOLDER]` reads the .md, .txt, .rst and .py files of a folder. Without one it takes
what every Python has: the language reference inside pydoc (prose), the standard library's modules (code) and the
descriptions of installed packages (Markdown). Each run is timed three times in turn with its yardsticks, the
best of each counts.
"""

import importlib
import importlib.metadata
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import tiktoken
import tiktoken.registry

from benchmarks.figure import Figure
from ingest.chunking.chunk import ChunkLimits
from ingest.chunking.split import split
from ingest.chunking.tokens import Tokenizer
from ingest.document import Document
from ingest.parsing.limits import Limits
from ingest.parsing.registry import parse

ROUNDS = 3
MOST_CHARACTERS = 1_500_000  # of each kind of text
SUFFIXES = {".md", ".txt", ".rst", ".py"}
STATIC = ChunkLimits("static", 800, 400)
PEER = "langchain-text-splitters"


def run(arguments: list[str]) -> Iterator[Figure]:
    documents = _documents(Path(arguments[0]) if arguments else None)
    texts = [document.text for document in documents]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    started = time.process_time()
    tokenizer = Tokenizer()
    yield Figure("tokenizer opened", (time.process_time() - started) * 1000, "ms")
    encoding: tiktoken.Encoding = tokenizer._encoding
    runs: dict[str, Callable[[], object]] = {
        "tiktoken": lambda: [encoding.encode_ordinary(text) for text in texts],
        "static": lambda: [split(document, STATIC, tokenizer) for document in documents],
        "auto": lambda: [split(document, ChunkLimits(), tokenizer) for document in documents],
        "count": lambda: [tokenizer.count(text) for text in texts],
        **_peers(encoding, texts),
    }
    speed = _megabytes_a_second(runs, megabytes)
    yield Figure("text", megabytes, "MB", f"{len(texts)} documents")
    yield Figure("tiktoken encode_ordinary", speed["tiktoken"], "MB/s")
    yield _against("count tokens", speed, "count", "tiktoken", None)
    yield _against("static 800/400", speed, "static", "tiktoken", 0.75)
    yield _against("static 800/400", speed, "static", "LangChain TokenTextSplitter", 1.2)
    yield Figure("auto", speed["auto"], "MB/s", target=">= 5 MB/s", met=speed["auto"] >= 5)
    yield _against("auto", speed, "auto", "LangChain recursive 300/0, tiktoken lengths", 4)
    chunks = [chunk.tokens for document in documents for chunk in split(document, ChunkLimits(), tokenizer)]
    yield Figure("auto, mean tokens a chunk", sum(chunks) / len(chunks), "tokens", f"{len(chunks)} chunks")


def _against(name: str, speed: dict[str, float], ours: str, theirs: str, least: float | None) -> Figure:
    target = "" if least is None else f">= {least:g} x"
    if theirs not in speed:
        return Figure(name, f"{PEER} is not installed: make bench-deps", against=theirs, target=target)
    ratio = speed[ours] / speed[theirs]
    against = f"{theirs}, {speed[theirs]:.3g} MB/s"
    return Figure(name, speed[ours], "MB/s", against, ratio, target, None if least is None else ratio >= least)


def _peers(encoding: tiktoken.Encoding, texts: list[str]) -> dict[str, Callable[[], object]]:
    try:
        langchain: Any = importlib.import_module("langchain_text_splitters")
    except ImportError:
        return {}
    tiktoken.registry.ENCODINGS[encoding.name] = encoding  # or the peer would fetch it
    window = langchain.TokenTextSplitter(encoding_name=encoding.name, chunk_size=800, chunk_overlap=400)
    recursive = langchain.RecursiveCharacterTextSplitter.from_tiktoken_encoder(
        encoding_name=encoding.name, chunk_size=300, chunk_overlap=0
    )
    return {
        "LangChain TokenTextSplitter": lambda: [window.split_text(text) for text in texts],
        "LangChain recursive 300/0, tiktoken lengths": lambda: [recursive.split_text(text) for text in texts],
    }


def _megabytes_a_second(runs: dict[str, Callable[[], object]], megabytes: float) -> dict[str, float]:
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a noisy moment hits all alike
        for name, measured in runs.items():
            started = time.process_time()
            measured()
            best[name] = min(best[name], time.process_time() - started)
    return {name: megabytes / seconds for name, seconds in best.items()}


def _documents(folder: Path | None) -> list[Document]:
    if folder is not None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        sources = [(path.name, path.read_bytes()) for path in paths if path.stat().st_size]
    else:
        sources = [("reference.txt", "\n\n".join(topics.values()).encode())]
        library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        sources += [(path.name, path.read_bytes()) for path in library if path.stat().st_size]
        described = sorted(importlib.metadata.distributions(), key=lambda one: one.metadata["Name"])
        sources += [("README.md", (one.read_text("METADATA") or "").encode()) for one in described]
    kinds: dict[str, int] = {}
    documents = []
    for name, source in sources:
        kind = Path(name).suffix
        if source.strip() and kinds.get(kind, 0) < MOST_CHARACTERS:
            kinds[kind] = kinds.get(kind, 0) + len(source)
            documents.append(parse(source, name, Limits()))
    return documents
