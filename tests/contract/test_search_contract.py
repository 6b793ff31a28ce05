"""Search and its dialects, over HTTP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.server import Server
from tests.support.wire import assert_is

FILES: Mapping[str, tuple[bytes, dict[str, Any]]] = {
    "tea.md": (b"# Tea\n\nGreen tea is steamed in Japan.", {"kind": "drink", "year": 2020, "hot": True}),
    "coffee.md": (b"# Coffee\n\nCoffee beans are roasted in Brazil.", {"kind": "drink", "year": 2021.5, "hot": True}),
    "ships.txt": (b"The schooner left the harbour at dawn.", {"kind": "ship", "year": 1890, "hot": False}),
    "plain.txt": (b"Nothing is said about this file.", {}),
}


@dataclass(frozen=True)
class Shelf:
    store: str
    http: httpx.Client

    def ask(self, **body: Any) -> Any:
        answer = self.http.post(f"/v1/vector_stores/{self.store}/search", json=body)
        assert answer.status_code == 200, answer.text
        assert_is("VectorStoreSearchResultsPage", answer.json())
        return answer.json()

    def names(self, **body: Any) -> list[str]:
        return [hit["filename"] for hit in self.ask(**body)["data"]]


@pytest.fixture(scope="module")
def shelf(server: Server) -> Iterator[Shelf]:
    client = server.client()
    store = client.vector_stores.create().id
    files = []
    for name, (content, attributes) in FILES.items():
        file = client.files.create(file=(name, content), purpose="assistants").id
        files.append({"file_id": file, "attributes": attributes} if attributes else {"file_id": file})
    client.vector_stores.file_batches.create_and_poll(store, files=files)  # type: ignore[arg-type]  # dicts of strings
    with server.http() as http:
        yield Shelf(store, http)


@pytest.mark.parametrize(
    "ranker", ["none", "auto", "default", "default-2024-08-21", "default_2024_08_21", "default-2024-11-15"]
)
def test_every_name_of_a_ranker_is_understood(shelf: Shelf, ranker: str) -> None:
    assert shelf.names(query="steamed tea", ranking_options={"ranker": ranker})[0] == "tea.md"


@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (0.7, 0.3), (1e308, 1e308), (5e-324, 0)])
def test_weights_of_both_sides_are_taken(shelf: Shelf, weights: tuple[float, float]) -> None:
    hybrid = {"embedding_weight": weights[0], "text_weight": weights[1]}
    page = shelf.ask(query="steamed tea", ranking_options={"hybrid_search": hybrid})
    assert page["data"][0]["filename"] == "tea.md"
    assert all(0 <= hit["score"] <= 1 for hit in page["data"])


def test_a_question_is_given_back_as_an_array(shelf: Shelf) -> None:
    assert shelf.ask(query="tea")["search_query"] == ["tea"]
    assert shelf.ask(query=["tea", "ships"], rewrite_query=True)["search_query"] == ["tea", "ships"]


def test_several_questions_are_answered_on_one_page_without_repeats(shelf: Shelf) -> None:
    names = shelf.names(query=["steamed tea", "schooner at dawn"], max_num_results=2)
    assert set(names) == {"tea.md", "ships.txt"}
    every = shelf.ask(query=["tea", "tea", "coffee"], max_num_results=50)["data"]
    assert len({hit["file_id"] for hit in every}) == len(every)
    assert [hit["score"] for hit in every] == sorted((hit["score"] for hit in every), reverse=True)


def test_the_threshold_holds_for_every_result_and_is_inclusive(shelf: Shelf) -> None:
    every = shelf.ask(query="steamed tea", max_num_results=50)["data"]
    best = every[0]["score"]
    above = shelf.ask(query="steamed tea", ranking_options={"score_threshold": best})["data"]
    assert [hit["score"] for hit in above] == [best]
    assert shelf.ask(query="steamed tea", ranking_options={"score_threshold": 1})["data"] == []


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"type": "eq", "key": "kind", "value": "drink"}, {"tea.md", "coffee.md"}),
    ({"type": "ne", "key": "kind", "value": "drink"}, {"ships.txt", "plain.txt"}),
    ({"type": "gt", "key": "year", "value": 2020}, {"coffee.md"}),
    ({"type": "gte", "key": "year", "value": 2020.0}, {"tea.md", "coffee.md"}),
    ({"type": "lt", "key": "year", "value": 2000}, {"ships.txt"}),
    ({"type": "eq", "key": "hot", "value": True}, {"tea.md", "coffee.md"}),
    ({"type": "eq", "key": "hot", "value": 1}, set()),
    ({"type": "in", "key": "year", "value": [1890, 2021.5, "x"]}, {"ships.txt", "coffee.md"}),
    ({"type": "nin", "key": "kind", "value": ["ship"]}, {"tea.md", "coffee.md", "plain.txt"}),
    ({"type": "in", "key": "kind", "value": []}, set()),
    (
        {
            "type": "or",
            "filters": [
                {"type": "eq", "key": "kind", "value": "ship"},
                {
                    "type": "and",
                    "filters": [
                        {"type": "eq", "key": "kind", "value": "drink"},
                        {"type": "lte", "key": "year", "value": 2020},
                    ],
                },
            ],
        },
        {"ships.txt", "tea.md"},
    ),
]


@pytest.mark.parametrize(("wanted", "names"), FILTERS)
def test_a_filter_leaves_every_file_that_passes_and_no_other(
    shelf: Shelf, wanted: dict[str, Any], names: set[str]
) -> None:
    assert set(shelf.names(query="tea", filters=wanted, max_num_results=50)) == names


@pytest.mark.parametrize(("wanted", "names"), FILTERS)
def test_chunks_are_listed_by_filter_without_a_question(shelf: Shelf, wanted: dict[str, Any], names: set[str]) -> None:
    answer = shelf.http.post(f"/v1/vector_stores/{shelf.store}/chunks", json={"filters": wanted}).json()
    assert {chunk["filename"] for chunk in answer["data"]} == names


def test_a_deeply_nested_filter_is_decided(shelf: Shelf) -> None:
    wanted: dict[str, Any] = {"type": "eq", "key": "kind", "value": "ship"}
    for _ in range(300):
        wanted = {"type": "and", "filters": [wanted]}
    assert shelf.names(query="tea", filters=wanted) == ["ships.txt"]


def test_an_empty_store_answers_an_empty_page(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    with server.http() as http:
        answer = http.post(f"/v1/vector_stores/{store}/search", json={"query": "x", "filters": None})
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert_is("VectorStoreSearchResultsPage", answer.json())


def test_the_older_header_changes_nothing(shelf: Shelf) -> None:
    plain = shelf.ask(query="tea")
    for value in ("assistants=v2", "assistants=v1", "no such thing"):
        answer = shelf.http.post(
            f"/v1/vector_stores/{shelf.store}/search", json={"query": "tea"}, headers={"OpenAI-Beta": value}
        )
        assert answer.json() == plain


def test_a_trace_tells_how_each_result_came_by_its_place_and_is_there_only_when_asked_for(shelf: Shelf) -> None:
    path = f"/v1/vector_stores/{shelf.store}/search"
    by_header = shelf.http.post(path, json={"query": "steamed tea"}, headers={"X-Carrel-Trace": "1"}).json()
    by_query = shelf.http.post(f"{path}?trace=true", json={"query": "steamed tea"}).json()
    for page in (by_header, by_query):
        trace = page["trace"]
        assert len(trace["results"]) == len(page["data"])
        assert trace["results"][0]["scores"]["reranked"] == pytest.approx(page["data"][0]["score"])
        assert trace["results"][0]["scores"]["keyword"] > 0
        assert (trace["rows_living"], trace["rows_allowed"]) == (4, 4)
        assert trace["milliseconds"]["all"] > 0
    assert "trace" not in shelf.ask(query="steamed tea")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (None, (800, 0)),
        ({"type": "auto"}, (800, 0)),
        ({"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}, (100, 50)),
        ({"type": "static", "static": {"max_chunk_size_tokens": 4096, "chunk_overlap_tokens": 2048}}, (4096, 2048)),
        ({"type": "static", "max_chunk_size_tokens": 300, "chunk_overlap_tokens": 10}, (300, 10)),
        ({"type": "static", "max_chunk_size_tokens": 301}, (301, 150)),
        ({"type": "static", "max_chunk_size_tokens": 2000}, (2000, 400)),
    ],
)
def test_every_form_of_a_chunking_strategy_comes_back_as_the_bounds_that_hold(
    server: Server, sent: object, told: tuple[int, int]
) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.files.create(file=("a.txt", b"words"), purpose="assistants").id
    with server.http() as http:
        body = {"file_id": file, "chunking_strategy": sent}
        answer = http.post(f"/v1/vector_stores/{store}/files", json=body).json()
    assert_is("VectorStoreFileObject", answer)
    numbers = answer["chunking_strategy"]["static"]
    assert (numbers["max_chunk_size_tokens"], numbers["chunk_overlap_tokens"]) == told


def test_metadata_of_a_store_file_is_another_name_of_its_attributes(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    one, two = (client.files.create(file=("a.txt", b"words"), purpose="assistants").id for _ in range(2))
    with server.http() as http:
        at = f"/v1/vector_stores/{store}"
        attached = http.post(f"{at}/files", json={"file_id": one, "metadata": {"a": 1}}).json()
        assert attached["attributes"] == {"a": 1}
        http.post(f"{at}/file_batches", json={"files": [{"file_id": two, "metadata": {"b": True}}]})
        assert http.get(f"{at}/files/{two}").json()["attributes"] == {"b": True}
        changed = http.post(f"{at}/files/{one}", json={"metadata": {"c": "x"}}).json()
        assert changed["attributes"] == {"c": "x"}
