"""The order of events in one search, and nothing else.

question -> vector (remembered) -> the store's snapshot at its generation -> rows that the filter allows -> candidates
of both sides under that mask -> fused, reread, cut at the threshold -> text.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.cores import usable_cores
from ingest.embedding import Embedder
from retrieval.catalog.rows import StoreGlance
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError, NotAllowedNow, NotFound, SegmentDamaged
from retrieval.ids import ProjectId, StoreId
from retrieval.index.keyword import KeywordScores, RowScores, score_keywords
from retrieval.index.snapshot import Selected, Snapshot
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import VectorHits
from retrieval.search.query import Answer, Hit, Query, StageScores
from retrieval.search.ranking import (
    CANDIDATES_EACH,
    RERANKED_AT_LEAST,
    Candidates,
    Rereader,
    fuse,
    order,
    reranked,
)
from retrieval.search.remembered import Remembered
from retrieval.search.turns import Turns
from retrieval.segments.words import query_terms

Vector = NDArray[np.float32]
Ranked = list[tuple[tuple[int, int], StageScores]]  # ((segment, row), scores), in no order

REMEMBERED_VECTORS: Final = 10_000
REMEMBERED_ANSWERS: Final = 1_000
SEGMENT_SHIFT: Final = 32  # (segment, row) as one number
TOUCH_SECONDS: Final = 60  # a store's use is noted at most this often, so that searches hardly ever write


class Searcher:
    """One per process, shared by its threads."""

    def __init__(
        self,
        catalog: Catalog,
        snapshots: Snapshots,
        embedder_of: Callable[[str], Embedder],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._snapshots = snapshots
        self._embedder_of = embedder_of
        self._clock = clock
        self._turns = Turns(usable_cores())
        self._vectors: Remembered[tuple[str, str], Vector] = Remembered(REMEMBERED_VECTORS)
        self._answers: Remembered[tuple[StoreId, int, Query], Answer] = Remembered(REMEMBERED_ANSWERS)

    def search(self, project: ProjectId, store: StoreId, query: Query) -> Answer:
        with self._turns:
            return self._search(project, store, query)

    def _search(self, project: ProjectId, store: StoreId, query: Query) -> Answer:
        started = time.perf_counter()
        glance = self._glance(project, store)
        known = self._answers.get((store, glance.generation, query))
        if known is not None:
            return known._replace(milliseconds={"all": _since(started), "remembered": 1.0}, tokens=0)
        try:
            snapshot, opened, answer = self._opened_and_answered(glance, query)
        except SegmentDamaged as damage:
            with self._turns.given_away():
                mended = self._snapshots.mend(store, damage.segment)
            if not mended:
                raise
            snapshot, opened, answer = self._opened_and_answered(glance, query)
        stages = {"open": 1000 * (opened - started), **answer.milliseconds, "all": _since(started)}
        answer = answer._replace(milliseconds=stages)
        self._answers.put((store, snapshot.generation, query), answer)
        return answer

    def _opened_and_answered(self, glance: StoreGlance, query: Query) -> tuple[Snapshot, float, Answer]:
        snapshot = self._snapshots.held(glance.id, glance.generation)
        if snapshot is None:
            with self._turns.given_away():
                snapshot = self._snapshots.at(glance.id, glance.generation)
        opened = time.perf_counter()
        vectors, tokens = self._embed(snapshot.model, query.texts)
        embedded = time.perf_counter()
        answer = self.answer(snapshot, query, vectors)
        stages = {"embed": 1000 * (embedded - opened), **answer.milliseconds}
        return snapshot, opened, answer._replace(milliseconds=stages, tokens=tokens, model=snapshot.model)

    def answer(self, snapshot: Snapshot, query: Query, vectors: Sequence[Vector]) -> Answer:
        """Everything after the question's vectors are known. Holds `snapshot` from first line to last."""
        started = time.perf_counter()
        selected = snapshot.select() if query.filter is None else snapshot.select(query.filter, query.filter.decide)
        filtered = time.perf_counter()
        ranked: dict[tuple[int, int], StageScores] = {}
        for question, (text, vector) in enumerate(zip(query.texts, vectors, strict=True)):
            for row, stages in self._rank(snapshot, selected, query, text, vector):
                best = ranked.get(row)
                if best is None or stages.reranked > best.reranked:
                    ranked[row] = stages._replace(question=question) if question else stages
        passing = [item for item in ranked.items() if item[1].reranked >= query.score_threshold]
        passing.sort(key=lambda item: (-item[1].reranked, item[0]))
        found = time.perf_counter()
        hits = _hits(snapshot, passing[: query.limit])
        return Answer(
            hits,
            snapshot.generation,
            snapshot.rows_living,
            selected.rows,
            {"filter": 1000 * (filtered - started), "rank": 1000 * (found - filtered), "read": _since(found)},
        )

    def _rank(self, snapshot: Snapshot, selected: Selected, query: Query, text: str, vector: Vector) -> Ranked:
        """One question's best rows. Words are looked up while the vectors are, where a core is free for that."""
        fused_search = query.ranker == "best" and query.keyword_weight > 0
        wanted = max(CANDIDATES_EACH, query.limit) if fused_search else query.limit

        def nearest() -> VectorHits:
            return snapshot.side.search(vector, wanted, selected.vectors, exact=query.exact)

        if not fused_search:
            return _by_vector_alone(nearest())
        near = self._turns.beside(nearest)
        terms = query_terms(text)
        words = score_keywords(terms, [one.segment.postings for one in snapshot.segments], selected.masks, wanted)
        return _reread(snapshot, query, terms, _candidates(snapshot, vector, words, words.best(), near()))

    def _glance(self, project: ProjectId, store: StoreId) -> StoreGlance:
        glance = self._catalog.glance(store)
        if glance is None:
            self._snapshots.forget(store)  # deleted: its files' room is given back
        if glance is None or glance.project_id != project:
            raise NotFound(f"No such VectorStore object: {store}", param="vector_store_id")
        now = int(self._clock())
        if glance.expired(now):
            self._snapshots.forget(store)
            raise NotAllowedNow(f"Vector store {store} has expired: its files are gone.", param="vector_store_id")
        if now - glance.last_active_at >= TOUCH_SECONDS:
            with suppress(CatalogError), self._catalog.transaction() as tx:  # a search does not fail for a note
                tx.stores.touch(store, now)
        return glance

    def _embed(self, model: str, texts: Sequence[str]) -> tuple[list[Vector], int]:
        """And how many tokens that took."""
        known = [self._vectors.get((model, text)) for text in texts]
        missing = list(dict.fromkeys(text for text, vector in zip(texts, known, strict=True) if vector is None))
        if not missing:
            return [vector for vector in known if vector is not None], 0
        with self._turns.given_away():
            made = self._embedder_of(model).embed(missing, purpose="query")
        fresh = dict(zip(missing, made.vectors, strict=True))
        for text, vector in fresh.items():
            self._vectors.put((model, text), vector.copy())
        return [
            fresh[text] if vector is None else vector for text, vector in zip(texts, known, strict=True)
        ], made.tokens


def _by_vector_alone(near: VectorHits) -> Ranked:
    scores = [min(max(score, 0.0), 1.0) for score in near.scores.tolist()]
    rows = zip(near.segments.tolist(), near.rows.tolist(), strict=True)
    return [(row, StageScores(score, 0.0, score, score)) for row, score in zip(rows, scores, strict=True)]


def _reread(snapshot: Snapshot, query: Query, terms: Sequence[str], candidates: Candidates) -> Ranked:
    """The best of the candidates by both sides together, their texts looked at."""
    fused = fuse(candidates, query.vector_weight, query.keyword_weight)
    rereader = Rereader(terms)
    places = order(fused, candidates, max(RERANKED_AT_LEAST, query.limit))
    pairs = list(zip(candidates.segments[places].tolist(), candidates.rows[places].tolist(), strict=True))
    texts = snapshot.texts(pairs)
    vectors = np.clip(candidates.vector[places], 0, 1).tolist()
    columns = zip(pairs, texts, vectors, candidates.keyword[places].tolist(), fused[places].tolist(), strict=True)
    return [
        (row, StageScores(near_by, worded, both, reranked(both, rereader.score(text))))
        for row, text, near_by, worded, both in columns
    ]


def _candidates(
    snapshot: Snapshot, vector: Vector, words: KeywordScores, by_word: Sequence[RowScores], near: VectorHits
) -> Candidates:
    """The rows that either side put forward, each with the exact scores of both."""
    ids = [near.segments << SEGMENT_SHIFT | near.rows]
    for segment, rows, _ in by_word:
        ids.append(segment << SEGMENT_SHIFT | rows)
    together, first = np.unique(np.concatenate(ids), return_index=True)
    segments, rows = together >> SEGMENT_SHIFT, together & ((1 << SEGMENT_SHIFT) - 1)
    by_vector = np.empty(len(together), np.float32)
    by_words = np.empty(len(together), np.float32)
    seen = first < len(near)  # the vector side stands first, so what it put forward has its score already
    by_vector[seen] = near.scores[first[seen]]
    for segment in np.unique(segments).tolist():
        here = segments == segment
        by_words[here] = words.at(segment, rows[here])
        unseen = here & ~seen
        if unseen.any():
            by_vector[unseen] = snapshot.side.scores(vector, segment, rows[unseen])
    return Candidates(segments, rows, by_vector, by_words)


def _hits(snapshot: Snapshot, ranked: Sequence[tuple[tuple[int, int], StageScores]]) -> tuple[Hit, ...]:
    chunks = snapshot.chunks([row for row, _ in ranked])
    documents = snapshot.documents
    places = documents.positions(np.array([chunk.document for chunk in chunks], np.int64))
    columns = zip(
        documents.file_ids_of(places),
        documents.filenames_of(places),
        documents.attributes_of(places),
        chunks,
        ranked,
        strict=True,
    )
    return tuple(
        Hit(file_id, filename, attributes, stages.reranked, chunk, stages)
        for file_id, filename, attributes, chunk, (_, stages) in columns
    )


def _since(moment: float) -> float:
    return 1000 * (time.perf_counter() - moment)
