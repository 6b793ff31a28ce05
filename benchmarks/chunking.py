"""How fast text becomes chunks: static windows and auto packing, one thread, against LangChain's splitters.

`python -m benchmarks chunking [FOLDER]` reads the .md, .txt, .rst and .py files of a folder. Without one it takes
what every Python has: the language reference inside pydoc as prose (its wrapped lines joined to paragraphs, as
word processors and web pages hold them), descriptions of installed packages as Markdown, the standard library as
code. Every run is timed three times in turn with its yardsticks, in seconds of CPU; the best of each counts.

A recursive splitter is slow where it must descend, in paragraphs longer than a chunk, as in transcripts and in text
taken from PDFs. There four times its speed is promised ("unbroken": the same prose, each topic one paragraph). On
short paragraphs and lines it counts every token once, like everyone, and the gap is bounded by that.
"""

import importlib
import importlib.metadata
import re
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any
from unittest import mock

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
UNBROKEN = "unbroken prose"
KINDS = {".txt": "prose", ".rst": "prose", ".md": "Markdown", ".py": "code", ".unbroken": UNBROKEN}
WRAP = re.compile(r"(?<=\S)\n(?=\w)")
TIKTOKEN = "tiktoken encode_ordinary"
WINDOWS = "LangChain TokenTextSplitter 800/400"
RECURSION = "LangChain recursive 300/0, tiktoken lengths"
STATIC = ChunkLimits("static", 800, 400)
PEER = "langchain-text-splitters"


def run(arguments: list[str]) -> Iterator[Figure]:
    started = time.process_time()
    tokenizer = Tokenizer()
    yield Figure("tokenizer opened", (time.process_time() - started) * 1000, "ms")
    kinds = _documents(Path(arguments[0]) if arguments else None)
    everything = [document for documents in kinds.values() for document in documents]
    megabytes = _megabytes(everything)
    yield Figure("text", megabytes, "MB", f"{len(everything)} documents")
    encoding = _published(tokenizer)
    texts = [document.text for document in everything]
    speed = _megabytes_a_second(
        {
            TIKTOKEN: lambda: [encoding.encode_ordinary(text) for text in texts],
            "count": lambda: [tokenizer.count(text) for text in texts],
            "static": lambda: [split(document, STATIC, tokenizer) for document in everything],
            **_peer_windows(encoding, texts),
        },
        megabytes,
    )
    yield Figure(TIKTOKEN, speed[TIKTOKEN], "MB/s")
    yield _against("count tokens", speed, "count", TIKTOKEN)
    yield _against("static 800/400", speed, "static", TIKTOKEN, 0.75)
    yield _against("static 800/400", speed, "static", WINDOWS, 1.2)
    for kind, documents in kinds.items():
        yield from _auto(kind, documents, tokenizer, encoding)


def _auto(kind: str, documents: list[Document], tokenizer: Tokenizer, encoding: tiktoken.Encoding) -> Iterator[Figure]:
    megabytes = _megabytes(documents)
    speed = _megabytes_a_second(
        {
            "auto": lambda: [split(document, ChunkLimits(), tokenizer) for document in documents],
            **_peer_recursion(encoding, [document.text for document in documents]),
        },
        megabytes,
    )
    chunks = [chunk.tokens for document in documents for chunk in split(document, ChunkLimits(), tokenizer)]
    name = f"auto, {kind}"
    about = f"{megabytes:.2f} MB, {len(chunks)} chunks of {sum(chunks) / len(chunks):.0f} tokens"
    yield Figure(name, speed["auto"], "MB/s", about, target=">= 5 MB/s", met=speed["auto"] >= 5)
    yield _against(name, speed, "auto", RECURSION, 4 if kind == UNBROKEN else None)


def _against(name: str, speed: dict[str, float], ours: str, theirs: str, least: float | None = None) -> Figure:
    target = "" if least is None else f">= {least:g} x"
    if theirs not in speed:
        return Figure(name, f"{PEER} is not installed: make bench-deps", against=theirs, target=target)
    ratio = speed[ours] / speed[theirs]
    against = f"{theirs}, {speed[theirs]:.3g} MB/s"
    return Figure(name, speed[ours], "MB/s", against, ratio, target, None if least is None else ratio >= least)


def _published(tokenizer: Tokenizer) -> tiktoken.Encoding:
    """The encoding with all its special tokens, as the peers would fetch it: registered, so that they need not."""
    published: Any = importlib.import_module("tiktoken_ext.openai_public")
    with mock.patch.object(published, "load_tiktoken_bpe", return_value=tokenizer._encoding._mergeable_ranks):
        encoding = tiktoken.Encoding(**getattr(published, tokenizer.name)())
    tiktoken.registry.ENCODINGS[tokenizer.name] = encoding
    return encoding


def _peer_windows(encoding: tiktoken.Encoding, texts: list[str]) -> dict[str, Callable[[], object]]:
    peer = _peer()
    if peer is None:
        return {}
    splitter = peer.TokenTextSplitter(encoding_name=encoding.name, chunk_size=800, chunk_overlap=400)
    return {WINDOWS: lambda: [splitter.split_text(text) for text in texts]}


def _peer_recursion(encoding: tiktoken.Encoding, texts: list[str]) -> dict[str, Callable[[], object]]:
    peer = _peer()
    if peer is None:
        return {}
    splitter = peer.RecursiveCharacterTextSplitter.from_tiktoken_encoder(
        encoding_name=encoding.name, chunk_size=300, chunk_overlap=0
    )
    return {RECURSION: lambda: [splitter.split_text(text) for text in texts]}


def _peer() -> Any:
    try:
        return importlib.import_module("langchain_text_splitters")
    except ImportError:
        return None


def _megabytes(documents: list[Document]) -> float:
    return sum(len(document.text.encode()) for document in documents) / 1e6


def _megabytes_a_second(runs: dict[str, Callable[[], object]], megabytes: float) -> dict[str, float]:
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a noisy moment hits all alike
        for name, measured in runs.items():
            started = time.process_time()
            measured()
            best[name] = min(best[name], time.process_time() - started)
    return {name: megabytes / seconds for name, seconds in best.items()}


def _documents(folder: Path | None) -> dict[str, list[Document]]:
    sources = _files(folder.rglob("*")) if folder else _common_texts()
    kinds: dict[str, list[Document]] = {}
    for name, source in sources:
        documents = kinds.setdefault(KINDS[Path(name).suffix], [])
        if source.strip() and sum(len(document.text) for document in documents) < MOST_CHARACTERS:
            documents.append(parse(source, name.replace(".unbroken", ".txt"), Limits()))
    return {kind: documents for kind, documents in kinds.items() if documents}


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(paths):
        if path.suffix in KINDS and path.is_file():
            yield path.name, path.read_bytes()


def _common_texts() -> Iterator[tuple[str, bytes]]:
    for name, topic in topics.items():
        yield f"{name}.txt", WRAP.sub(" ", topic).encode()
        yield f"{name}.unbroken", " ".join(topic.split()).encode()
    for package in sorted(importlib.metadata.distributions(), key=lambda one: one.metadata["Name"]):
        yield "README.md", (package.read_text("METADATA") or "").encode()
    yield from _files(Path(sysconfig.get_path("stdlib")).glob("*.py"))
