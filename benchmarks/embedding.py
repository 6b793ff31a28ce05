"""Embedding on this machine against sentence-transformers on torch: same texts, same threads, interleaved.

    python -m benchmarks embedding [FOLDER] [--models FOLDER] [--threads N] [--texts N]

FOLDER holds .txt, .md, .rst or .py files; by default the texts are what Python's own library says about itself.
"""

import argparse
import ast
import importlib
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.figure import Figure
from ingest.cores import usable_cores
from ingest.embedding import CacheConfig, Embedder, EmbedderConfig, HashedEmbedder, Vectors, open_embedder
from ingest.embedding.frugal import FrugalEmbedder

ROUNDS = 3
QUERIES = 60
MODEL = "all-MiniLM-L6-v2"
PEER = "sentence-transformers on torch, fp32"
Encode = Callable[[Sequence[str]], object]


def run(arguments: list[str]) -> Iterable[Figure]:
    options = _options(arguments)
    words = " ".join(_sources(options.folder)).split()
    texts = _texts(words, options.texts)
    no_cache = EmbedderConfig(folder=options.models, threads=options.threads, cache=CacheConfig(memory_bytes=0))
    began = time.perf_counter()
    int8 = open_embedder(no_cache)
    opened_seconds = time.perf_counter() - began
    fp32 = open_embedder(replace(no_cache, precision="fp32"))
    tokens = int8.embed(texts).tokens
    print(f"{len(texts)} texts, {tokens} word pieces ({tokens / len(texts):.0f} a text), {options.threads} threads")
    peer = _peer(options.models / MODEL, int8.spec.width, options.threads)
    runners: dict[str, Encode] = {"int8": int8.embed, "fp32": fp32.embed} | ({"peer": peer} if peer else {})
    seconds = _fastest(runners, texts)
    yield from _speeds(tokens, seconds)
    yield from _queries(int8, peer, words)
    yield Figure("open the int8 model", opened_seconds, "s", target="<= 1", met=opened_seconds <= 1)
    yield from _closeness(int8, fp32, texts)
    yield from _windows(int8, words)
    yield from _cache(options.models, options.threads, texts[:400])
    yield from _hashed(words)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks embedding")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--texts", type=int, default=600)
    return parser.parse_args(arguments)


def _sources(folder: Path | None) -> Iterator[str]:
    if folder is not None:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".txt", ".md", ".rst", ".py"}:
                yield path.read_text("utf-8", errors="replace")
        return
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def _texts(words: Sequence[str], count: int) -> list[str]:
    """Stretches of 4 to 140 words, so that every text fits the model's window and none is cut by the peer."""
    random = Random(1)
    texts = []
    for _ in range(count):
        start, length = random.randrange(max(1, len(words) - 140)), random.randint(4, 140)
        texts.append(" ".join(words[start : start + length])[: length * 7])
    return texts


def _peer(folder: Path, width: int, threads: int) -> Encode | None:
    try:
        torch = importlib.import_module("torch")
        library = importlib.import_module("sentence_transformers")
        parts = importlib.import_module("sentence_transformers.models")
    except ImportError:
        print(f"{PEER}: not installed (pip install -r requirements/bench.txt); nothing to compare with")
        return None
    torch.set_num_threads(threads)
    transformer = parts.Transformer(str(folder), max_seq_length=256)
    pooling = parts.Pooling(width, pooling_mode="mean")
    model = library.SentenceTransformer(modules=[transformer, pooling, parts.Normalize()], device="cpu")

    def encode(texts: Sequence[str]) -> object:
        return model.encode(list(texts), batch_size=32, show_progress_bar=False)

    return encode


def _fastest(runners: dict[str, Encode], texts: Sequence[str]) -> dict[str, float]:
    """Best of some rounds, taken in turn: what disturbs one disturbs the other."""
    best = dict.fromkeys(runners, float("inf"))
    for _ in range(ROUNDS):
        for name, encode in runners.items():
            began = time.perf_counter()
            encode(texts)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def _speeds(tokens: int, seconds: dict[str, float]) -> Iterator[Figure]:
    peer = tokens / seconds["peer"] if "peer" in seconds else None
    if peer:
        yield Figure(PEER, peer, "tokens/s")
    for precision, least in (("int8", 3.0), ("fp32", None)):
        speed = tokens / seconds[precision]
        ratio = speed / peer if peer else None
        yield Figure(
            f"local {precision}",
            speed,
            "tokens/s",
            against=PEER if peer else f"{PEER}: not installed",
            ratio=ratio,
            target=f">= {least:g} times" if least else "",
            met=ratio >= least if ratio and least else None,
        )


def _queries(int8: Embedder, peer: Encode | None, words: Sequence[str]) -> Iterator[Figure]:
    random = Random(2)
    questions = []
    for _ in range(QUERIES):
        start = random.randrange(len(words) - 14)
        questions.append(" ".join(words[start : start + random.randint(6, 14)]))
    runners: dict[str, Encode] = {"int8": lambda texts: int8.embed(texts, purpose="query")}
    if peer:
        runners["peer"] = peer
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for question in questions:
        for name, encode in runners.items():
            began = time.perf_counter()
            encode([question])
            taken[name].append((time.perf_counter() - began) * 1000)
    ours = float(np.median(taken["int8"]))
    theirs = float(np.median(taken["peer"])) if peer else None
    if theirs:
        yield Figure("one query, torch, p50", theirs, "ms")
    ratio = ours / theirs if theirs else None
    met = ratio < 0.5 if ratio else None
    yield Figure("one query, local int8, p50", ours, "ms", PEER if peer else "", ratio, "< 0.5 times", met)
    yield Figure("one query, local int8, p95", float(np.percentile(taken["int8"], 95)), "ms")


def _closeness(int8: Embedder, fp32: Embedder, texts: Sequence[str]) -> Iterator[Figure]:
    cosines = np.einsum("ij,ij->i", int8.embed(texts).vectors, fp32.embed(texts).vectors)
    mean = float(cosines.mean())
    yield Figure("cosine of int8 to fp32, mean", mean, against="local fp32", target=">= 0.99", met=mean >= 0.99)
    yield Figure("cosine of int8 to fp32, least", float(cosines.min()), against="local fp32")
    same = _largest_difference(int8.embed(texts[:100]).vectors, [int8.embed([text]).vectors for text in texts[:100]])
    yield Figure("a text alone and in company, largest difference", same, target="0", met=same == 0)


def _largest_difference(together: Vectors, alone: Sequence[Vectors]) -> float:
    return float(np.abs(together - np.concatenate(alone)).max())


def _windows(embedder: Embedder, words: Sequence[str]) -> Iterator[Figure]:
    """Chunks of about 800 tokens, each sharing half with the next, as the API's default cuts them."""
    assert isinstance(embedder, FrugalEmbedder)
    engine = embedder._engine
    seen, sent, all_of_it = set[str](), 0, 0
    for start in range(0, min(len(words), 60_000) - 600, 300):
        for window in engine.windows(" ".join(words[start : start + 600])):
            size = len(window.split())
            all_of_it += size
            sent += 0 if window in seen else size
            seen.add(window)
    yield Figure("work spared by shared windows, chunks 800/400", 1 - sent / all_of_it, against="every window anew")


def _cache(models: Path, threads: int, texts: Sequence[str]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        cache = CacheConfig(folder=Path(folder))
        first = open_embedder(EmbedderConfig(folder=models, threads=threads, cache=cache))
        cold = _seconds(first, texts)
        warm = _seconds(first, texts)
        second = open_embedder(EmbedderConfig(folder=models, threads=threads, cache=cache))
        disk = _seconds(second, texts)
        yield Figure("again, from memory", len(texts) / warm, "texts/s", "computing", cold / warm)
        yield Figure("again, from another process's disk cache", len(texts) / disk, "texts/s", "computing", cold / disk)
        first.close()
        second.close()


def _hashed(words: Sequence[str]) -> Iterator[Figure]:
    embedder = HashedEmbedder(width=384)
    starts = [number * 37 % (len(words) - 40) for number in range(20_000)]
    texts = [" ".join(words[start : start + 40]) for start in starts]
    speed = len(texts) / _seconds(embedder, texts)
    yield Figure("hashed, 40-word chunks, one core", speed, "chunks/s", target=">= 20,000", met=speed >= 20_000)


def _seconds(embedder: Embedder, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    embedder.embed(texts)
    return time.perf_counter() - began
