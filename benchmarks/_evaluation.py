"""The measures of retrieval quality: how much of the marked reference text the ranked chunks hold.

Recall = share of a question's reference characters inside the returned chunks, averaged over questions. R@N
tokens cuts the ranked list off at N tokens in all, the last chunk being cut short: the fair comparison between
chunks of different sizes.
"""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    corpus: str
    references: tuple[tuple[int, int], ...]  # character spans


@dataclass(frozen=True, slots=True)
class Found:
    """One ranked chunk: where it lies in which corpus."""

    corpus: str
    start: int
    end: int
    tokens: int


def read_corpora(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in sorted((folder / "corpora").glob("*.md"))}


def read_questions(folder: Path) -> list[Question]:
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        return [
            Question(
                row["question"],
                row["corpus_id"],
                tuple((part["start_index"], part["end_index"]) for part in json.loads(row["references"])),
            )
            for row in csv.DictReader(file)
        ]


def covered(question: Question, found: Iterable[Found]) -> float:
    """Share of the question's reference characters inside the found spans."""
    spans = [(hit.start, hit.end) for hit in found if hit.corpus == question.corpus]
    total = inside = 0
    for start, end in question.references:
        total += end - start
        reached = start
        for low, high in sorted(spans):
            low, high = max(low, reached), min(high, end)  # noqa: PLW2901  # clipping the span is the point
            if high > low:
                inside += high - low
                reached = high
    return inside / total


def first_tokens(ranked: Sequence[Found], budget: int) -> list[Found]:
    """The ranked list cut off at `budget` tokens; the last chunk keeps its share of characters."""
    kept: list[Found] = []
    for hit in ranked:
        if budget <= 0:
            break
        if hit.tokens > budget:
            length = (hit.end - hit.start) * budget // hit.tokens
            kept.append(Found(hit.corpus, hit.start, hit.start + length, budget))
            break
        kept.append(hit)
        budget -= hit.tokens
    return kept


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over questions, in percent; `tokens_at_5` is the mean size of five chunks."""

    recall_at_5: float
    recall_at_10: float
    tokens_at_5: float
    recall_1000_tokens: float
    recall_2000_tokens: float
    questions: int


def evaluate(questions: Sequence[Question], search: Callable[[str], Sequence[Found]]) -> dict[str, Quality]:
    """Ask every question once; measures for all of them and for each corpus alone."""
    answers = [(question, search(question.text)) for question in questions]
    groups = {"all": answers}
    for corpus in sorted({question.corpus for question in questions}):
        groups[corpus] = [pair for pair in answers if pair[0].corpus == corpus]
    return {name: _measure(group) for name, group in groups.items()}


def _measure(answers: Sequence[tuple[Question, Sequence[Found]]]) -> Quality:
    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(answers)

    return Quality(
        recall_at_5=100 * mean(covered(question, ranked[:5]) for question, ranked in answers),
        recall_at_10=100 * mean(covered(question, ranked[:10]) for question, ranked in answers),
        tokens_at_5=mean(sum(hit.tokens for hit in ranked[:5]) for _, ranked in answers),
        recall_1000_tokens=100 * mean(covered(question, first_tokens(ranked, 1000)) for question, ranked in answers),
        recall_2000_tokens=100 * mean(covered(question, first_tokens(ranked, 2000)) for question, ranked in answers),
        questions=len(answers),
    )
