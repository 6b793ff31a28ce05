"""`carrel keys` and `carrel projects`, over a catalog of their own."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from carrel.exits import Exit
from retrieval.api.auth import Gate
from retrieval.api.first_key import pepper_of
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotAuthenticated
from tests.support.command import Ran
from tests.support.command import carrel as run_carrel

Carrel = Callable[..., Ran]


@pytest.fixture
def carrel(tmp_path: Path) -> Carrel:
    def run(*words: str) -> Ran:
        return run_carrel(*words, environment={"CARREL_DATA_DIR": str(tmp_path)})

    return run


def gate(folder: Path, catalog: Catalog) -> Gate:
    return Gate(catalog, pepper_of("", folder))


def keys(carrel: Carrel, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = carrel("keys", "list", "--json", *words).document["data"]
    return found


def test_a_key_is_made_with_all_that_narrows_it_listed_and_revoked(carrel: Carrel, tmp_path: Path) -> None:
    made = carrel(
        *("keys", "create", "for the nightly job", "--scope", "read", "--expires", "30d", "--route", "/v1/files"),
        *("--route", "/v1/vector_stores", "--limit", "requests_per_minute=60", "--limit", "bytes_stored=1000"),
    )
    assert made.code == 0, made.err
    secret = made.out.strip()
    (record,) = keys(carrel)
    assert abs(int(str(record["expires_at"])) - time.time() - 30 * 86_400) < 60
    assert record["routes"] == ["/v1/files", "/v1/vector_stores"]
    assert record["limits"] == {"requests_per_minute": 60, "bytes_stored": 1000}
    assert (record["state"], record["scopes"], record["name"]) == ("valid", ["read"], "for the nightly job")
    shown = carrel("keys", "list").out
    for word in (record["id"], "20", "/v1/files, /v1/vector_stores", "requests_per_minute=60", "nightly job"):
        assert str(word) in shown
    assert secret not in shown + json.dumps(record)
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        assert gate(tmp_path, catalog).admit(f"Bearer {secret}").key is not None
        assert carrel("keys", "revoke", str(record["id"])).out.strip().endswith("is revoked.")
        with pytest.raises(NotAuthenticated):
            gate(tmp_path, catalog).admit(f"Bearer {secret}")
    assert "before" in carrel("keys", "revoke", str(record["id"])).out
    assert keys(carrel)[0]["state"] == "revoked"


def test_a_key_ends_when_it_was_to_end(carrel: Carrel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = carrel("keys", "create", "brief", "--expires", "1m").out.strip()
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as catalog:
        now = catalog.now()
        monkeypatch.setattr(Catalog, "now", lambda _: now + 61)
        with pytest.raises(NotAuthenticated):
            gate(tmp_path, catalog).admit(f"Bearer {secret}")
    assert keys(carrel)[0]["state"] == "expired"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--expires", "soon"), "neither a span"),
        (("--expires", "2001-01-01"), "not in the future"),
        (("--expires", "0d"), "not in the future"),
        (("--route", "files"), "/v1/files"),
        (("--route", "/v1/*"), "/v1/files"),
        (("--limit", "requests=3"), "requests_per_minute"),
        (("--limit", "bytes_stored=many"), "whole number"),
        (("--limit", "bytes_stored=-1"), "whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(carrel: Carrel, words: tuple[str, str], told: str) -> None:
    refused = carrel("keys", "create", "x", *words)
    assert refused.code == Exit.USAGE
    assert told in refused.err
    assert carrel("keys", "list").code == Exit.NOT_FOUND, "not even its project"


def test_revoking_what_is_not_there_says_so(carrel: Carrel) -> None:
    carrel("keys", "create", "x")
    for words in (("key_0",), ("key_0", "--project", "nobody's")):
        refused = carrel("keys", "revoke", *words)
        assert refused.code == Exit.NOT_FOUND
        assert "carrel" in refused.err


def test_a_projects_limits_are_set_one_by_one_and_lifted_by_zero(carrel: Carrel) -> None:
    carrel("keys", "create", "x", "--project", "team")
    assert carrel("projects", "limit", "team", "--limit", "tokens_per_minute=9").code == 0
    assert carrel("projects", "limit", "team", "--limit", "bytes_stored=5").code == 0
    assert carrel("projects", "limit", "team", "--limit", "tokens_per_minute=0").code == 0
    team = next(one for one in carrel("projects", "list", "--json").document["data"] if one["name"] == "team")
    assert team["limits"] == {"tokens_per_minute": 0, "bytes_stored": 5}
    assert "bytes_stored=5" in carrel("projects", "list").out
    assert carrel("projects", "limit", "nobody's", "--limit", "bytes_stored=5").code == Exit.NOT_FOUND
    assert carrel("projects", "limit", "team").code == Exit.USAGE


def test_errors_and_deeds_are_documents_with_json(carrel: Carrel) -> None:
    made = carrel("keys", "create", "x", "--json").document
    assert made["key"].startswith("sk-carrel-")
    assert carrel("keys", "revoke", made["id"], "--json").document["state"] == "revoked"
    assert carrel("projects", "limit", "default", "--limit", "bytes_stored=5", "--json").document["limits"]
    refused = carrel("keys", "revoke", "key_0", "--json")
    assert "key_0" in json.loads(refused.err)["error"]["message"]
