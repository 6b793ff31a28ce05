"""`carrel refresh` against a running server: set up, run, read, forget."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.refresh import app, place_of
from retrieval.catalog.source_rows import RunStatus
from retrieval.ids import SourceId, StoreId
from tests.support.server import KEY, Server, run_server
from workers import refresh
from workers.refresh import RefreshParts


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("carrel")) as running:
        yield running


def test_a_store_is_set_up_refreshed_and_its_report_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever rings is answered at once, as by a worker."""
    resources = server.service.resources
    parts = RefreshParts(server.worker.resources, resources.permits, server.worker.ring)
    [root] = resources.permits.roots
    folder = root / "handbook"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("# Herons\n\nWords about herons.")
    (folder / "b.md").write_text("")
    store = server.client().vector_stores.create(name="refreshed").id
    runner = CliRunner()

    def answer(source: SourceId) -> None:
        while refresh.refresh(source, parts) is RunStatus.INDEXING:
            server.wait(StoreId(store))

    monkeypatch.setattr(server.worker, "ring_for_refresh", answer)

    def carrel(*words: str, code: int = 0) -> str:
        result = runner.invoke(app, [*words, "--url", server.url, "--key", KEY])
        assert result.exit_code == code, result.output
        return result.stdout

    source = carrel("add", "refreshed", str(folder), "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin").strip()
    assert source.startswith("src_")
    listed = json.loads(carrel("list", store, "--json"))
    assert listed["data"][0]["schedule"] == {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}
    changed = json.loads(carrel("change", "refreshed", "--time-zone", "UTC", "--exclude", "*.tmp", "--json"))
    assert (changed["schedule"], changed["exclude"]) == ({"cron": "0 3 * * *", "time_zone": "UTC"}, ["*.tmp"])
    assert json.loads(carrel("change", "refreshed", "--no-schedule", "--json"))["schedule"] is None
    for wrong in ([], ["--time-zone", "UTC"], ["--no-schedule", "--cron", "0 4 * * *"]):
        refused = runner.invoke(app, ["change", "refreshed", *wrong, "--url", server.url, "--key", KEY]).exception
        assert isinstance(refused, ServerError)
        assert refused.exit_code == Exit.USAGE
    dry = json.loads(carrel("run", "refreshed", "--dry-run", "--json"))
    assert (dry["counts"]["added"], dry["dry_run"]) == (2, True)
    report = json.loads(carrel("run", "refreshed", "--json", code=Exit.INCOMPLETE))
    assert (report["counts"]["added"], report["counts"]["failed"]) == (1, 1)
    assert json.loads(carrel("report", "refreshed", source, "--json", code=Exit.INCOMPLETE)) == report
    assert "added\t1" in carrel("report", "refreshed", code=Exit.INCOMPLETE)
    assert len(carrel("runs", "refreshed").splitlines()) == 2
    carrel("remove", "refreshed", "--yes")
    assert json.loads(carrel("list", "refreshed", "--json"))["data"] == []
    assert server.client().vector_stores.retrieve(store).file_counts.completed == 1


def test_places_are_told_apart() -> None:
    assert place_of(["docs"]) == {"type": "directory", "path": str(Path("docs").absolute())}
    assert place_of(["s3://bucket/a/b/"]) == {"type": "s3", "bucket": "bucket", "prefix": "a/b"}
    assert place_of(["https://a/x", "http://b/y"]) == {"type": "urls", "urls": ["https://a/x", "http://b/y"]}
    with pytest.raises(ServerError):
        place_of(["docs", "https://a/x"])
