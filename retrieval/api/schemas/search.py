"""Search: the wire's request, to a query of ours, and an answer of ours, to the wire's page."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from retrieval.api.schemas.attributes import plain_text
from retrieval.api.schemas.vector_store_files import TextPiece
from retrieval.api.validation import Closed
from retrieval.errors import InvalidInput
from retrieval.search.filters import COMPARISONS, COMPOUNDS, parse_filter
from retrieval.search.query import Answer, Hit, Query

MOST_QUERIES: Final = 64
MOST_QUERY_CHARACTERS: Final = 32_768
USUAL_RESULTS: Final = 10

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": MOST_QUERY_CHARACTERS}
QUERY_SCHEMA: Final = WithJsonSchema(
    {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_QUERIES}]}
)
FILTER_SCHEMA: Final = WithJsonSchema(
    {
        "description": "A comparison {type, key, value} or a compound {type, filters}, nested to any depth.",
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "type": {"enum": list(COMPARISONS)},
                    "key": {"type": "string"},
                    "value": {"type": ["string", "number", "boolean", "array"]},
                },
                "required": ["type", "key", "value"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {
                    "type": {"enum": list(COMPOUNDS)},
                    "filters": {"type": "array", "items": {"type": "object"}},
                },
                "required": ["type", "filters"],
                "additionalProperties": False,
            },
            {"type": "null"},
        ],
    }
)

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class HybridSearch(Closed):
    embedding_weight: Share
    text_weight: Share


class RankingOptions(Closed):
    """`none` is the order of the vectors alone; every other name means the best ranking there is."""

    ranker: Literal["none", "auto", "default", "default-2024-08-21", "default_2024_08_21", "default-2024-11-15"] = (
        "auto"
    )
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: HybridSearch | None = None


class SearchRequest(Closed):
    query: Annotated[object, QUERY_SCHEMA]
    max_num_results: Annotated[int, Field(ge=1)] = USUAL_RESULTS
    filters: Annotated[object, FILTER_SCHEMA] = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = Field(default=False, description="Accepted; questions are searched as they are.")

    def to_query(self, most_results: int, keyword_weight: float) -> Query:
        if self.max_num_results > most_results:
            raise InvalidInput(
                f"Invalid value for 'max_num_results': must be at most {most_results}.",
                param="max_num_results",
                code="integer_above_max_value",
            )
        options = self.ranking_options or RankingOptions()
        weights = _weights(options.hybrid_search, keyword_weight)
        return Query(
            texts=_texts(self.query),
            limit=self.max_num_results,
            filter=None if self.filters is None else parse_filter(self.filters),
            ranker="vectors" if options.ranker == "none" else "best",
            vector_weight=weights[0],
            keyword_weight=weights[1],
            score_threshold=options.score_threshold,
        )


def _weights(hybrid: HybridSearch | None, keyword_weight: float) -> tuple[float, float]:
    """Scaled so that the larger is 1: only their proportion counts, and their sum must not overflow."""
    if hybrid is None:
        return 1.0, keyword_weight
    largest = max(hybrid.embedding_weight, hybrid.text_weight)
    if largest <= 0:
        at = "ranking_options.hybrid_search"
        raise InvalidInput(f"One weight of '{at}' must be more than 0.", param=at, code="decimal_below_min_value")
    return hybrid.embedding_weight / largest, hybrid.text_weight / largest


def _texts(query: object) -> tuple[str, ...]:
    if isinstance(query, str):
        return (_text(query, "query"),)
    if not isinstance(query, list):
        raise InvalidInput(
            "Invalid type for 'query': expected a string or an array of strings.", param="query", code="invalid_type"
        )
    if not query:
        raise InvalidInput("'query' must not be empty.", param="query", code="empty_array")
    if len(query) > MOST_QUERIES:
        raise InvalidInput(
            f"'query' has too many elements: at most {MOST_QUERIES}.", param="query", code="array_above_max_length"
        )
    return tuple(_text(text, f"query[{index}]") for index, text in enumerate(query))


def _text(text: object, at: str) -> str:
    if not isinstance(text, str):
        raise InvalidInput(f"Invalid type for '{at}': expected a string.", param=at, code="invalid_type")
    if not text.strip():
        raise InvalidInput(f"'{at}' must not be empty.", param=at, code="empty_string")
    if len(text) > MOST_QUERY_CHARACTERS:
        raise InvalidInput(
            f"'{at}' is too long: at most {MOST_QUERY_CHARACTERS} characters.", param=at, code="string_above_max_length"
        )
    return plain_text(text, at)


class SearchResult(BaseModel):
    file_id: str
    filename: str
    score: float = Field(ge=0, le=1)
    attributes: dict[str, Any] | None
    content: list[TextPiece]


class SearchPage(BaseModel):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: Literal[False] = False
    next_page: None = None


def search_page(texts: Sequence[str], answer: Answer, *, traced: bool) -> dict[str, Any]:
    """The page as plain values: searches are many, and nothing here needs to be checked again."""
    page: dict[str, Any] = {
        "object": "vector_store.search_results.page",
        "search_query": list(texts),
        "data": [_result(hit) for hit in answer.hits],
        "has_more": False,
        "next_page": None,
    }
    if traced:
        page["trace"] = _trace(answer)
    return page


def _result(hit: Hit) -> dict[str, Any]:
    return {
        "file_id": hit.file_id,
        "filename": hit.filename,
        "score": min(max(hit.score, 0.0), 1.0),
        "attributes": dict(hit.attributes),
        "content": [{"type": "text", "text": hit.chunk.text}],
    }


def _trace(answer: Answer) -> dict[str, Any]:
    return {
        "generation": answer.generation,
        "rows_living": answer.rows_living,
        "rows_allowed": answer.rows_allowed,
        "milliseconds": {stage: round(spent, 3) for stage, spent in answer.milliseconds.items()},
        "results": [
            {
                "file_id": hit.file_id,
                "ordinal": hit.chunk.ordinal,
                "start": hit.chunk.start,
                "end": hit.chunk.end,
                "tokens": hit.chunk.tokens,
                "page": hit.chunk.place,
                "title": hit.chunk.title,
                "heading_path": list(hit.chunk.heading_path),
                "query": hit.stages.question,
                "scores": {
                    "vector": hit.stages.vector,
                    "keyword": hit.stages.keyword,
                    "fused": hit.stages.fused,
                    "reranked": hit.stages.reranked,
                },
            }
            for hit in answer.hits
        ],
    }
