"""A search in our words, not the wire's: what is asked, and what is found."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from retrieval.catalog.rows import AttributeValue
from retrieval.ids import FileId
from retrieval.search.filters import Filter
from retrieval.segments.rows import StoredChunk

Ranker = Literal["best", "vectors"]


@dataclass(frozen=True, slots=True)
class Query:
    """`best` fuses vectors and keywords by their weights and reranks lightly; `vectors` is cosine order alone."""

    texts: tuple[str, ...]  # searched each, and merged
    limit: int = 10
    filter: Filter | None = None
    ranker: Ranker = "best"
    vector_weight: float = 1.0
    keyword_weight: float = 1.0
    score_threshold: float = 0.0
    exact: bool = False  # scan every vector, whatever codes there are

    def __post_init__(self) -> None:
        if not self.texts or not all(self.texts):
            raise ValueError("a query needs at least one text, and no empty ones")
        if self.limit < 1:
            raise ValueError(f"limit must be positive, not {self.limit}")
        if min(self.vector_weight, self.keyword_weight) < 0 or self.vector_weight + self.keyword_weight <= 0:
            raise ValueError("weights must not be negative, and one must be positive")


class StageScores(NamedTuple):
    """How one hit came by its score; each 0..1. `question` is the index of the text that it answers best."""

    vector: float
    keyword: float
    fused: float
    reranked: float
    question: int = 0


class Hit(NamedTuple):
    file_id: FileId
    filename: str
    attributes: Mapping[str, AttributeValue]
    score: float
    chunk: StoredChunk
    stages: StageScores


class Answer(NamedTuple):
    """Hits by falling score, and how they were found."""

    hits: tuple[Hit, ...]
    generation: int
    rows_living: int  # in the store
    rows_allowed: int  # by the filter
    milliseconds: Mapping[str, float] = MappingProxyType({})  # by stage
    tokens: int = 0  # of the questions that had to be embedded
    model: str = ""
