"""Sources of a store over HTTP: what is accepted, what is refused and in which words, and who may."""

from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.account_rows import Scope
from retrieval.ids import StoreId
from tests.support.server import READ_ONLY_KEY, Server, add_key
from tests.support.wire import assert_is
from workers import refresh
from workers.refresh import RefreshParts


@pytest.fixture
def folder(server: Server, tmp_path: Path) -> Path:
    """A folder that the server may read."""
    [root] = server.service.resources.permits.roots
    made = root / tmp_path.name
    made.mkdir(parents=True)
    return made


def new_store(server: Server) -> str:
    return server.client().vector_stores.create().id


def carry_out(server: Server, source: str) -> None:
    """What a worker process would do."""
    resources = server.service.resources
    parts = RefreshParts(server.worker.resources, resources.permits, server.worker.ring)
    refresh.refresh(source, parts)  # type: ignore[arg-type]  # the wire's ids are text


def test_a_folder_is_refreshed_and_the_report_says_what_was_done(server: Server, folder: Path) -> None:
    store = new_store(server)
    (folder / "guides").mkdir()
    (folder / "guides/intro.md").write_text("---\nowner: Ada\n---\n# Intro\n\nWords about herons.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    with server.http() as http:
        source = http.post(
            f"/v1/vector_stores/{store}/sources",
            json={
                "source": {"type": "directory", "path": str(folder)},
                "attributes": {"path": "{path}", "owner": "{front.owner}"},
                "schedule": {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"},
            },
        ).json()
        assert source["object"] == "vector_store.source"
        assert source["source"] == {"type": "directory", "path": str(folder)}
        assert source["exclude"] == [".*"]
        assert source["next_run_at"] > source["created_at"]
        base = f"/v1/vector_stores/{store}/sources/{source['id']}"
        run = http.post(f"{base}/refresh").json()
        assert (run["status"], run["changes"]) == ("queued", None)
        assert http.get(base).json()["run_id"] == run["id"]
        assert http.post(f"{base}/refresh", json={}).json()["id"] == run["id"]
        refused = http.post(f"{base}/refresh", json={"dry_run": True})
        assert refused.status_code == 400
        assert run["id"] in refused.json()["error"]["message"]
        carry_out(server, source["id"])
        assert http.get(f"{base}/runs/{run['id']}").json()["status"] == "indexing"
        server.wait(StoreId(store))
        carry_out(server, source["id"])
        report = http.get(f"{base}/runs/{run['id']}").json()
        assert report["status"] == "completed"
        assert report["counts"] == {"listed": 2, "added": 1, "changed": 0, "removed": 0, "unchanged": 0, "failed": 1}
        assert report["changes"]["added"] == ["guides/intro.md"]
        [failure] = report["changes"]["failed"]
        assert failure["path"] == "broken.pdf"
        assert failure["reason"]
        assert report["embedding"]["texts"] == report["chunks"] == 1
        assert report["bytes_read"] > 0
        [listed] = http.get(f"{base}/runs").json()["data"]
        assert {**listed, "changes": report["changes"]} == report
    [hit] = server.client().vector_stores.search(store, query="herons").data
    assert (hit.filename, hit.attributes) == ("intro.md", {"path": "guides/intro.md", "owner": "Ada"})


def test_sources_are_listed_changed_and_forgotten(server: Server, folder: Path) -> None:
    store = new_store(server)
    with server.http() as http:
        base = f"/v1/vector_stores/{store}/sources"
        body = {"source": {"type": "directory", "path": str(folder)}}
        wishes = (body, {**body, "include": ["*.txt"]})
        first, second = (http.post(base, json=wish).json()["id"] for wish in wishes)
        twice = http.post(base, json={**body, "schedule": {"cron": "0 3 * * *"}})
        assert (twice.status_code, twice.json()["error"]["param"]) == (400, "source")
        assert first in twice.json()["error"]["message"]
        page = http.get(base, params={"limit": 1}).json()
        assert [one["id"] for one in page["data"]] == [second]
        assert page["has_more"]
        assert [one["id"] for one in http.get(base, params={"after": second}).json()["data"]] == [first]
        changed = http.post(
            f"{base}/{first}", json={"include": ["*.md"], "schedule": {"cron": "30 2 * * 1"}, "attributes": {}}
        ).json()
        assert (changed["include"], changed["exclude"], changed["attributes"]) == (["*.md"], [".*"], {})
        assert changed["schedule"] == {"cron": "30 2 * * 1", "time_zone": "UTC"}
        again = http.post(f"{base}/{first}", json={"schedule": None, "attributes": None}).json()
        assert (again["schedule"], again["next_run_at"]) == (None, None)
        assert (again["include"], again["attributes"]) == (["*.md"], {"path": "{path}"})
        gone = http.delete(f"{base}/{first}").json()
        assert gone == {"id": first, "object": "vector_store.source.deleted", "deleted": True}
        assert http.get(f"{base}/{first}").status_code == 404
        assert http.delete(f"{base}/{first}").status_code == 404
        assert [one["id"] for one in http.get(base).json()["data"]] == [second]


DIRECTORY = {"type": "directory", "path": "/etc"}
PAGES = {"type": "urls", "urls": ["https://docs.example.com/a"]}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "source", "Missing required parameter"),
        ({"source": {"type": "ftp"}}, "source.type", "Invalid value"),
        ({"source": {"path": "/x"}}, "source.type", "Missing required parameter"),
        ({"source": PAGES, "colour": 1}, "colour", "Unknown parameter"),
        ({"source": {**PAGES, "depth": 1}}, "source.depth", "Unknown parameter"),
        ({"source": DIRECTORY}, "source.path", "CARREL_SOURCES_ROOTS=/etc"),
        ({"source": {"type": "directory", "path": "docs"}}, "source.path", "absolute path"),
        ({"source": {"type": "directory", "path": ""}}, "source.path", "must not be empty"),
        ({"source": {"type": "s3", "bucket": "carrel"}}, "source.bucket", "CARREL_SOURCES_BUCKETS=carrel"),
        ({"source": {"type": "urls", "urls": []}}, "source.urls", "must not be empty"),
        ({"source": {"type": "urls", "urls": ["http://169.254.169.254/"]}}, "source.urls[0]", "CARREL_SOURCES_HOSTS"),
        ({"source": {"type": "urls", "urls": ["file:///etc/passwd"]}}, "source.urls[0]", "http or https"),
        ({"source": {"type": "urls", "urls": ["https://a@docs.example.com/"]}}, "source.urls[0]", "without a user"),
        ({"source": PAGES, "include": ["a", "!"]}, "include[1]", ".gitignore"),
        ({"source": PAGES, "attributes": {"a": "{front}"}}, "attributes.a", "no placeholder {front}"),
        ({"source": PAGES, "attributes": {"a": 5}}, "attributes.a", "expected a string"),
        ({"source": PAGES, "attributes": {str(n): "x" for n in range(17)}}, "attributes", "at most 16"),
        ({"source": PAGES, "schedule": {"cron": "every night"}}, "schedule.cron", "five fields"),
        ({"source": PAGES, "schedule": {"cron": "61 * * * *"}}, "schedule.cron", "five fields"),
        ({"source": PAGES, "schedule": {"cron": "0 0 30 2 *"}}, "schedule.cron", "day-of-month"),
        ({"source": PAGES, "schedule": {"cron": "0 3 * * *", "time_zone": "Moon/Sea"}}, "schedule.time_zone", "Moon"),
        ({"source": PAGES, "schedule": {"cron": "0 3 * * *", "time_zone": "../etc"}}, "schedule.time_zone", "zone"),
        ({"source": PAGES, "max_removed_share": 2}, "max_removed_share", "at most 1"),
        ({"source": PAGES, "chunking_strategy": {"type": "odd"}}, "chunking_strategy.type", "Invalid value"),
    ],
)
def test_what_cannot_be_a_source_is_refused_by_the_fields_name(
    server: Server, body: dict[str, Any], param: str, words: str
) -> None:
    store = new_store(server)
    with server.http() as http:
        answer = http.post(f"/v1/vector_stores/{store}/sources", json=body)
    assert answer.status_code == 400, answer.text
    assert_is("ErrorResponse", answer.json())
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_link_inside_an_allowed_folder_does_not_lead_out_of_it(server: Server, folder: Path) -> None:
    (folder / "out").symlink_to("/etc")
    store = new_store(server)
    with server.http() as http:
        for path in (folder / "out", folder / ".." / ".." / ".."):
            answer = http.post(
                f"/v1/vector_stores/{store}/sources", json={"source": {"type": "directory", "path": str(path)}}
            )
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "source_not_allowed"


def test_making_a_source_needs_admin_and_refreshing_it_needs_write(server: Server) -> None:
    store = new_store(server)
    writer = "sk-carrel-tests-that-writes-sources"
    add_key(server.service.resources.catalog, server.project, writer, (Scope.READ, Scope.WRITE))
    base = f"/v1/vector_stores/{store}/sources"
    with server.http() as http:
        source = http.post(base, json={"source": PAGES}).json()["id"]
    with server.http(writer) as http:
        assert http.post(base, json={"source": PAGES}).status_code == 403
        assert http.post(f"{base}/{source}", json={}).status_code == 403
        assert http.delete(f"{base}/{source}").status_code == 403
        assert http.post(f"{base}/{source}/refresh").status_code == 200
    with server.http(READ_ONLY_KEY) as http:
        assert http.post(f"{base}/{source}/refresh").status_code == 403
        assert http.get(f"{base}/{source}/runs").status_code == 200
