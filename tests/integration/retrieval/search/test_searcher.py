"""What a search promises, over both databases and both kinds of storage."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest.cores import usable_cores
from ingest.embedding import Embedded, HashedEmbedder, Purpose
from retrieval.catalog.rows import AttributeValue
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.errors import NotAllowedNow, NotFound, SegmentDamaged
from retrieval.ids import FileId, StoreId, new_project_id, new_store_id
from retrieval.search import searcher
from retrieval.search.filters import Filter, parse_filter
from retrieval.search.query import Answer, Query
from retrieval.segments.layout import segment_name
from retrieval.storage.directory import Directory
from tests.support.rows import unit_vectors
from tests.support.shelf import Book, Shelf

FOOD = "Bread is baked from flour, water, salt and yeast."
ROADS = "Roads and bridges need repair after every winter."
MUSIC = "A string quartet has two violins, a viola and a cello."
SHIPS = "Sailing ships cross the ocean before the wind."


def is_(key: str, value: AttributeValue) -> Filter:
    return parse_filter({"type": "eq", "key": key, "value": value})


def texts_of(answer: Answer) -> list[str]:
    return [hit.chunk.text for hit in answer.hits]


def one_each(shelf: Shelf, texts: Sequence[str]) -> tuple[StoreId, list[FileId]]:
    store = shelf.new_store()
    return store, shelf.add(store, [Book([text], filename=f"{number}.txt") for number, text in enumerate(texts)])


def set_attributes(shelf: Shelf, store: StoreId, file: FileId, attributes: dict[str, AttributeValue]) -> None:
    with shelf.catalog.transaction() as tx:
        tx.store_files.set_attributes(shelf.project, store, file, attributes)


def test_the_best_text_comes_first_with_all_that_is_known_of_it(shelf: Shelf) -> None:
    store = shelf.new_store()
    wish: dict[str, AttributeValue] = {"topic": "music", "year": 1990, "loud": False, "share": 0.5}
    files = shelf.add(
        store, [Book([FOOD, ROADS]), Book([SHIPS, MUSIC], filename="quartets.md", attributes=wish), Book([ROADS])]
    )
    answer = shelf.search(store, "how many violins in a string quartet")
    best = answer.hits[0]
    assert (best.chunk.text, best.file_id, best.filename) == (MUSIC, files[1], "quartets.md")
    assert best.attributes == wish
    assert [type(best.attributes[key]) for key in wish] == [str, int, bool, float]
    assert (best.chunk.ordinal, best.chunk.start, best.chunk.end) == (1, len(SHIPS) + 1, len(SHIPS) + 1 + len(MUSIC))
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert (answer.rows_living, answer.rows_allowed, len(answer.hits)) == (5, 5, 5)
    stages = best.stages
    assert stages.reranked == best.score
    assert 0 < stages.keyword <= 1
    assert 0 < stages.vector <= 1


def test_the_vector_ranker_is_cosine_order(shelf: Shelf) -> None:
    store = shelf.new_store()
    vectors = unit_vectors(60, 64, seed=5)
    for start in range(0, 60, 20):
        part = np.ascontiguousarray(vectors[start : start + 20])
        shelf.add(store, [Book([f"row {start + row}" for row in range(20)], part)])
    asked = Query(("anything at all",), limit=25, ranker="vectors")
    cosines = vectors @ shelf.embedder.embed(["anything at all"]).vectors[0]
    expected = np.argsort(-cosines, kind="stable")
    found = shelf.search(store, asked)
    positive = [row for row in expected[:25] if cosines[row] > 0]
    assert texts_of(found)[: len(positive)] == [f"row {row}" for row in positive]
    np.testing.assert_allclose([hit.score for hit in found.hits], np.clip(cosines[expected[:25]], 0, 1), atol=1e-6)
    assert texts_of(shelf.search(store, replace(asked, exact=True))) == texts_of(found)


def test_weights_decide_between_meaning_and_words(shelf: Shelf) -> None:
    store = shelf.new_store()
    question = "zebra"
    vector = shelf.embedder.embed([question]).vectors
    shelf.add(store, [Book(["nothing in common"], vector, "near.txt"), Book(["a zebra"], -vector, "word.txt")])
    for vector_weight, keyword_weight, first in [
        (1.0, 0.0, "near.txt"),
        (0.0, 1.0, "word.txt"),
        (9.0, 1.0, "near.txt"),
    ]:
        asked = Query((question,), vector_weight=vector_weight, keyword_weight=keyword_weight)
        hits = shelf.search(store, asked).hits
        assert hits[0].filename == first
        assert len(hits) == 2


def test_the_threshold_is_applied_last(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD, ROADS, MUSIC, SHIPS])
    everything = shelf.search(store, MUSIC)
    bar = (everything.hits[0].score + everything.hits[1].score) / 2
    assert texts_of(shelf.search(store, Query((MUSIC,), score_threshold=bar))) == [MUSIC]
    assert shelf.search(store, Query((MUSIC,), score_threshold=1.0)).hits in ((), everything.hits[:1])
    exactly = Query((MUSIC,), score_threshold=everything.hits[1].score)
    assert len(shelf.search(store, exactly).hits) == 2


def test_several_questions_are_merged_without_duplicates(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD, ROADS, MUSIC, SHIPS])
    answer = shelf.search(store, Query((MUSIC, FOOD, "violins and flour"), limit=4))
    assert set(texts_of(answer)[:2]) == {MUSIC, FOOD}
    assert len(set(texts_of(answer))) == len(answer.hits) == 4
    by_text = {hit.chunk.text: hit for hit in answer.hits}
    assert (by_text[MUSIC].stages.question, by_text[FOOD].stages.question) == (0, 1)
    alone = shelf.search(store, Query((MUSIC,)))
    assert by_text[MUSIC].score == pytest.approx(alone.hits[0].score)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("北京是中华人民共和国的首都。", "首都"),
        ("東京都の天気は晴れです。", "天気"),
        ("ประเทศไทยมีเมืองหลวงคือกรุงเทพมหานคร", "กรุงเทพ"),
        ("Die Prüfgröße AB-1200 liegt bei 3.5 kg.", "ab-1200"),
        ("call max_retries before opening", "max_retries"),
    ],
)
def test_words_are_found_in_every_script(shelf: Shelf, text: str, question: str) -> None:
    others = ["上海是一座城市。", "大阪の電車は速い。", "เชียงใหม่อยู่ทางเหนือ", FOOD, "AB 1300 und max retry"]
    store, _ = one_each(shelf, [*others, text])
    hits = shelf.search(store, Query((question,), vector_weight=0, keyword_weight=1)).hits
    assert hits[0].chunk.text == text
    assert hits[0].stages.keyword > max(hit.stages.keyword for hit in hits[1:])


def test_filters_come_before_ranking(shelf: Shelf) -> None:
    """All that pass are found, however far from the question they are and however many are nearer."""
    store = shelf.new_store()
    near = shelf.embedder.embed(["the question"]).vectors
    crowd = np.ascontiguousarray(np.repeat(near, 300, axis=0))
    far = np.ascontiguousarray(np.repeat(-near, 7, axis=0))
    shelf.add(
        store,
        [
            Book(["the question again"] * 300, crowd, attributes={"kind": "near"}),
            Book([f"far {row}" for row in range(7)], far, attributes={"kind": "far"}),
        ],
    )
    for ranker in ("best", "vectors"):
        asked = Query(("the question",), limit=50, filter=is_("kind", "far"), ranker=ranker)  # type: ignore[arg-type]
        answer = shelf.search(store, asked)
        assert sorted(texts_of(answer)) == [f"far {row}" for row in range(7)]
        assert (answer.rows_allowed, answer.rows_living) == (7, 307)
    nobody = shelf.search(store, Query(("the question",), filter=is_("kind", "none")))
    assert (nobody.hits, nobody.rows_allowed) == ((), 0)
    assert len(shelf.search(store, Query(("the question",), limit=50, filter=is_("kind", "near"))).hits) == 50


def test_attributes_are_those_of_the_last_update(shelf: Shelf) -> None:
    store, files = one_each(shelf, [FOOD, ROADS])
    asked = Query(("bread",), filter=is_("state", "new"))
    assert shelf.search(store, asked).hits == ()
    set_attributes(shelf, store, files[1], {"state": "new", "n": 1})
    [hit] = shelf.search(store, asked).hits
    assert (hit.file_id, hit.attributes) == (files[1], {"state": "new", "n": 1})
    set_attributes(shelf, store, files[0], {"state": "new"})
    set_attributes(shelf, store, files[1], {"n": 1.5})
    [hit] = shelf.search(store, asked).hits
    assert (hit.file_id, hit.attributes) == (files[0], {"state": "new"})


def test_a_file_leaves_with_its_delete_and_its_answers_are_not_remembered(shelf: Shelf) -> None:
    store, files = one_each(shelf, [FOOD, ROADS])
    assert shelf.search(store, "bread").hits[0].file_id == files[0]
    assert shelf.search(store, "bread").milliseconds["remembered"] == 1
    shelf.detach(store, files[0])
    answer = shelf.search(store, "bread")
    assert [hit.file_id for hit in answer.hits] == [files[1]]
    assert answer.rows_living == 1


def test_a_file_being_replaced_is_found_old_or_new_never_both_never_neither(shelf: Shelf) -> None:
    store = shelf.new_store()
    [old] = shelf.add(store, [Book(["the speed limit is 50"])])
    book = Book(["the speed limit is 80"], supersedes=old)
    [new] = shelf.attach(store, [book])
    assert [hit.file_id for hit in shelf.search(store, "speed limit").hits] == [old]
    claims = shelf.claim(store)
    segment = shelf.write(store, claims, {new: book})
    assert [hit.file_id for hit in shelf.search(store, "speed limit").hits] == [old]
    shelf.publish(store, claims, {new: book}, segment)
    assert [hit.file_id for hit in shelf.search(store, "speed limit").hits] == [new]


def test_an_empty_store_answers_with_nothing(shelf: Shelf) -> None:
    answer = shelf.search(shelf.new_store(), "anything")
    assert (answer.hits, answer.rows_living, answer.generation) == ((), 0, 0)


def test_another_projects_store_is_not_there(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD])
    for project, wanted in [
        (new_project_id(), store),
        (shelf.project, new_store_id()),
        (shelf.project, StoreId("é/x")),
    ]:
        with pytest.raises(NotFound, match="No such VectorStore"):
            shelf.searcher.search(project, wanted, Query(("bread",)))


def test_a_deleted_store_is_gone_for_the_next_search(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD])
    assert shelf.search(store, "bread").hits
    with shelf.catalog.transaction() as tx:
        tx.stores.delete(shelf.project, store, shelf.now)
    with pytest.raises(NotFound):
        shelf.search(store, "bread")


def test_an_expired_store_says_so_from_the_second_its_time_is_over(shelf: Shelf) -> None:
    store, spec = new_store_id(), shelf.embedder.spec
    with shelf.catalog.transaction() as tx:
        tx.stores.add(shelf.project, NewStore(store, spec.name, spec.width, expires_days=1), shelf.now)
    shelf.add(store, [Book([FOOD])])
    shelf.now += 86_399
    assert shelf.search(store, "bread").hits  # and with this its day begins anew
    shelf.now += 86_399
    assert shelf.search(store, "bread").hits
    shelf.now += 86_400
    with pytest.raises(NotAllowedNow, match="expired"):
        shelf.search(store, "bread")


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[9000] ^= 4  # in a vector
    path.write_bytes(bytes(content))


def test_a_damaged_segment_is_an_error_of_its_store_alone_and_a_damaged_copy_is_fetched_anew(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD, ROADS])
    other, _ = one_each(shelf, [MUSIC])
    with shelf.catalog.reading() as tx:
        [row] = tx.manifests.segments(store)
    with shelf.storage.local(segment_name(store, row.id)) as path:
        _damage(path)
    if isinstance(shelf.storage, Directory):
        for _ in range(2):
            with pytest.raises(SegmentDamaged, match=row.id):
                shelf.search(store, "bread")
    else:
        assert texts_of(shelf.search(store, "bread"))[0] == FOOD
    assert texts_of(shelf.search(other, "viola")) == [MUSIC]


def test_a_lost_segment_file_is_damage_not_an_empty_page(shelf: Shelf) -> None:
    store, _ = one_each(shelf, [FOOD])
    with shelf.catalog.reading() as tx:
        [row] = tx.manifests.segments(store)
    shelf.storage.delete(segment_name(store, row.id))
    with pytest.raises(SegmentDamaged, match="not in storage"):
        shelf.search(store, "bread")


class Meeting(HashedEmbedder):
    """Answers a question once so many others are asked at the same time."""

    def __init__(self, parties: int) -> None:
        super().__init__(width=32)
        self._barrier = threading.Barrier(parties, timeout=30)

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        if purpose == "query":
            self._barrier.wait()
        return super().embed(texts, purpose=purpose)


def test_more_searches_than_there_are_cores_may_wait_for_the_embedder_at_once(tmp_path: Path) -> None:
    many = usable_cores() + 2
    with Shelf.open(tmp_path, embedder=Meeting(many)) as shelf, ThreadPoolExecutor(many) as threads:
        store, _ = one_each(shelf, [FOOD, ROADS])
        answers = list(threads.map(lambda number: shelf.search(store, f"roads {number}"), range(many)))
    assert [texts_of(answer)[0] for answer in answers] == [ROADS] * many


class Forgetful(Directory):
    """Forgets a copy only once somebody else has been answered, and has the whole one then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.meanwhile: Callable[[], object] = lambda: None

    def forget_local(self, name: str) -> None:
        asking = threading.Thread(target=self.meanwhile, daemon=True)
        asking.start()
        asking.join(30)
        assert not asking.is_alive(), "a search waits for one that waits for storage"
        with self.local(name) as path:
            _damage(path)  # the same bit once more: whole again


def test_others_search_while_a_damaged_copy_is_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "usable_cores", lambda: 1)  # so that one computes at a time
    storage = Forgetful(tmp_path / "objects")
    with Shelf(Catalog.open(f"sqlite:///{tmp_path}/catalog.db"), storage, HashedEmbedder(width=32)) as shelf:
        with shelf.catalog.transaction() as tx:
            tx.projects.add(shelf.project, "tests", shelf.now)
        store, _ = one_each(shelf, [FOOD, ROADS])
        other, _ = one_each(shelf, [MUSIC])
        with shelf.catalog.reading() as tx:
            [row] = tx.manifests.segments(store)
        with storage.local(segment_name(store, row.id)) as path:
            _damage(path)
        answers: list[Answer] = []
        storage.meanwhile = lambda: answers.append(shelf.search(other, "viola"))
        assert texts_of(shelf.search(store, "bread"))[0] == FOOD
        assert [texts_of(answer) for answer in answers] == [[MUSIC]]
