"""Retrieval quality on questions with marked answers: `python -m benchmarks quality FOLDER`.

FOLDER holds `corpora/*.md` and `questions_df.csv` (columns question, references, corpus_id), as the public
chunking evaluation has them. The whole chain runs in this process.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks._evaluation import Found, Quality, evaluate, read_corpora, read_questions
from benchmarks._library import Library
from benchmarks.figure import Figure
from ingest.embedding import EmbedderConfig, open_embedder
from retrieval.catalog.rows import StaticChunking
from retrieval.search.query import Query, Ranker

ASKED = 40  # results per question: enough for the largest token budget
STATIC = StaticChunking(800, 400)


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args(arguments)
    corpora, questions = read_corpora(options.folder), read_questions(options.folder)
    with Library(open_embedder(EmbedderConfig(folder=options.models))) as library:
        for chunking, label in ((None, "auto"), (STATIC, "static 800/400")):
            search = _filled(library, corpora, chunking)
            for ranker in ("best", "vectors"):
                measured = evaluate(questions, search(ranker))
                yield from _figures(f"{label}, {ranker}", measured, judged=ranker == "best")


def _filled(
    library: Library, corpora: dict[str, str], chunking: StaticChunking | None
) -> Callable[[Ranker], Callable[[str], Sequence[Found]]]:
    store = library.new_store()
    names = {library.upload(f"{name}.md", text.encode()): name for name, text in corpora.items()}
    library.attach(store, names, chunking)
    library.ingest(store)

    def asking(ranker: Ranker) -> Callable[[str], Sequence[Found]]:
        def ask(question: str) -> Sequence[Found]:
            answer = library.searcher.search(library.project, store, Query((question,), limit=ASKED, ranker=ranker))
            return [Found(names[hit.file_id], hit.chunk.start, hit.chunk.end, hit.chunk.tokens) for hit in answer.hits]

        return ask

    return asking


def _figures(label: str, measured: dict[str, Quality], *, judged: bool) -> Iterable[Figure]:
    everything = measured["all"]
    auto, static = judged and label.startswith("auto"), judged and label.startswith("static")

    def figure(name: str, value: float, unit: str, least: float | None) -> Figure:
        target = "" if least is None else f"at least {least}"
        return Figure(
            f"{label}: {name}", round(value, 2), unit, target=target, met=None if least is None else value >= least
        )

    yield figure("recall@5", everything.recall_at_5, "%", 90 if auto else 93 if static else None)
    yield Figure(
        f"{label}: tokens in five chunks",
        round(everything.tokens_at_5),
        "tokens",
        target="at most 1250" if auto else "",
        met=everything.tokens_at_5 <= 1250 if auto else None,
    )
    yield figure("recall@10", everything.recall_at_10, "%", None)
    yield figure("recall at 1000 tokens", everything.recall_1000_tokens, "%", 88.5 if auto else None)
    yield figure("recall at 2000 tokens", everything.recall_2000_tokens, "%", 95 if auto else None)
    for corpus, part in measured.items():
        if corpus != "all":
            yield figure(f"recall@5, {corpus} ({part.questions})", part.recall_at_5, "%", None)
