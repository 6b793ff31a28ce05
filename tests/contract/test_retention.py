"""Retention: `retention` in a store's metadata, what is purged and how that is told, and deletion by a filter."""

import logging
from typing import Any

import openai
import pytest

from retrieval.ids import FileId, StoreId
from tests.support.server import OTHER_KEY, READ_ONLY_KEY, Server
from workers.sweeping import Grace, expire

DAY = 86_400


def days_of(store: Any) -> int | None:
    return None if store.expires_after is None else store.expires_after.days


def test_retention_in_the_metadata_is_the_stores_expiry(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(metadata={"retention": "30d", "team": "a"})
    assert days_of(store) == 30
    assert store.last_active_at is not None
    assert store.expires_at == store.last_active_at + 30 * DAY
    assert store.metadata == {"retention": "30d", "team": "a"}
    changed = client.vector_stores.update(store.id, metadata={"retention": "7d"})
    assert days_of(changed) == 7
    assert days_of(client.vector_stores.update(store.id, metadata={"team": "b"})) is None


def test_metadata_without_retention_leaves_another_policy_alone(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 3})
    assert days_of(client.vector_stores.update(store.id, metadata={"team": "a"})) == 3


@pytest.mark.parametrize("said", ["30", "0d", "30 days", "366d", "-1d", "1.5d", "", "٣٠d"])
def test_a_retention_that_cannot_be_kept_is_refused_by_name(server: Server, said: str) -> None:
    client = server.client()
    before = len(list(client.vector_stores.list()))
    with pytest.raises(openai.BadRequestError) as refused:
        client.vector_stores.create(metadata={"retention": said})
    assert refused.value.param == "metadata.retention"
    assert len(list(client.vector_stores.list())) == before


def test_two_policies_that_contradict_each_other_are_refused(server: Server) -> None:
    client = server.client()
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.create(metadata={"retention": "3d"}, expires_after={"anchor": "last_active_at", "days": 4})
    same = client.vector_stores.create(
        metadata={"retention": "3d"}, expires_after={"anchor": "last_active_at", "days": 3}
    )
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.update(same.id, expires_after={"anchor": "last_active_at", "days": 4})
    assert days_of(client.vector_stores.retrieve(same.id)) == 3


def test_each_purged_object_has_one_audit_line_without_words(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    key = server.new_key()
    client = server.client(key)
    file = client.files.create(
        file=("secret name.txt", b"secret words"),
        purpose="assistants",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    kept = client.vector_stores.create()
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=kept.id)
    store = client.vector_stores.create(metadata={"retention": "1d", "words": "secret"})
    catalog = server.service.resources.catalog
    with caplog.at_level(logging.INFO, "carrel.audit"):
        expire(catalog, file.created_at + 3599, Grace())
        # Other tests of the same server leave files that may be due: only these two count.
        told = [str(vars(one)) for one in caplog.records if one.name == "carrel.audit"]
        assert not [one for one in told if file.id in one or store.id in one]
        expire(catalog, (store.expires_at or 0) + 1, Grace())
    lines = {
        one.getMessage(): vars(one) for one in caplog.records if file.id in str(vars(one)) or store.id in str(vars(one))
    }
    assert set(lines) == {"file purged", "vector store purged"}
    assert (lines["file purged"]["file"], lines["file purged"]["stores"]) == (file.id, kept.id)
    assert lines["file purged"]["reason"] == lines["vector store purged"]["reason"] == "expires_after"
    assert lines["vector store purged"]["store"] == store.id
    assert "secret" not in str(lines)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert client.vector_stores.retrieve(store.id).status == "expired"
    assert client.vector_stores.retrieve(kept.id).file_counts.total == 0


def filled(server: Server, client: openai.OpenAI) -> tuple[str, dict[str, int]]:
    store = client.vector_stores.create().id
    years = {}
    for year in (2019, 2020, 2021, 2022):
        file = client.files.create(file=(f"{year}.txt", f"minutes of {year}".encode()), purpose="assistants").id
        client.vector_stores.files.create_and_poll(file, vector_store_id=store, attributes={"year": year})
        years[file] = year
    return store, years


def test_everything_that_matches_a_filter_leaves_the_store_and_the_next_search(server: Server) -> None:
    client = server.client(server.new_key())
    store, years = filled(server, client)
    bad = client.files.create(file=("x.png", b"\x89PNG\r\n\x1a\n" + bytes(64)), purpose="assistants").id
    client.vector_stores.files.create_and_poll(bad, vector_store_id=store, attributes={"year": 2019})
    body = {"filters": {"type": "lt", "key": "year", "value": 2021}}
    with server.http(client.api_key) as http:
        path = f"/v1/vector_stores/{store}/files/delete"
        tried = http.post(path, json={**body, "dry_run": True}).json()
        assert (tried["matched"], tried["deleted"], tried["dry_run"]) == (3, 0, True)
        assert client.vector_stores.retrieve(store).file_counts.total == 5
        done = http.post(path, json=body).json()
        assert (done["matched"], done["deleted"]) == (3, 3)
        assert http.post(path, json=body).json()["matched"] == 0
    found = {hit.file_id for hit in client.vector_stores.search(store, query="minutes of", max_num_results=10)}
    assert found == {file for file, year in years.items() if year >= 2021}
    assert client.vector_stores.retrieve(store).file_counts.total == 2
    assert client.files.retrieve(bad).id == bad, "the file itself stays"
    with server.service.resources.catalog.reading() as tx:
        assert tx.untruths() == []


def test_a_filter_must_be_said_and_rightly(server: Server) -> None:
    client = server.client(server.new_key())
    store, _ = filled(server, client)
    with server.http(client.api_key) as http:
        path = f"/v1/vector_stores/{store}/files/delete"
        bodies: list[dict[str, object]] = [
            {},
            {"filters": None},
            {"filters": {}},
            {"filters": {"type": "eq", "key": "a"}},
        ]
        for body in bodies:
            assert http.post(path, json=body).status_code == 400
    assert client.vector_stores.retrieve(store).file_counts.total == 4
    body = {"filters": {"type": "gte", "key": "year", "value": 0}}
    with server.http(OTHER_KEY) as http:
        assert http.post(path, json=body).status_code == 404
    with server.http(READ_ONLY_KEY) as http:
        assert http.post(path, json=body).status_code == 403


def test_files_whose_attributes_changed_meanwhile_stay(server: Server) -> None:
    from retrieval.search.filters import parse_filter
    from retrieval.search.matching import delete_matching, files_matching

    key = server.new_key()
    client = server.client(key)
    store, years = filled(server, client)
    catalog = server.service.resources.catalog
    glance = catalog.glance(StoreId(store))
    assert glance is not None
    wanted = parse_filter({"type": "eq", "key": "year", "value": 2020})
    found = files_matching(catalog, glance.project_id, StoreId(store), wanted)
    assert [years[file] for file in found] == [2020]
    client.vector_stores.files.update(found[0], vector_store_id=store, attributes={"year": 2023})
    assert delete_matching(catalog, glance.project_id, StoreId(store), wanted, [FileId(file) for file in found]) == 0
    assert client.vector_stores.retrieve(store).file_counts.total == 4
