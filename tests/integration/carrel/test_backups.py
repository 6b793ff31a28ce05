"""A running installation is backed up, looked at, and made anew elsewhere: it answers the same, byte for byte."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from carrel.backup import back_up
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.restoring import backups_in, restore, verify
from retrieval.api.app import create_app
from retrieval.api.service import open_service
from retrieval.catalog.transaction import Catalog
from retrieval.ids import StoreId
from retrieval.storage.directory import Directory
from tests.support.server import KEY, PEPPER, Server, run_app, run_server, settings_for
from workers.sweeping import Grace, expire, sweep_removed


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    with run_server(tmp_path / "here") as started:
        (tmp_path / "here" / "pepper").write_bytes(PEPPER)
        yield started


def filled(server: Server, name: str, files: int = 4) -> str:
    client = server.client()
    store = client.vector_stores.create(name=name).id
    for number in range(files):
        file = client.files.create(
            file=(f"{number}.txt", f"subject{number} of {name}".encode()), purpose="assistants"
        ).id
        client.vector_stores.files.create_and_poll(file, vector_store_id=store, attributes={"number": number})
    return store


def answer(server: Server, store: str) -> bytes:
    with server.http() as http:
        return http.post(f"/v1/vector_stores/{store}/search", json={"query": "subject2"}).content


def test_a_restored_installation_answers_the_same(running: Server, tmp_path: Path) -> None:
    store = filled(running, "one")
    before = answer(running, store)
    report = back_up(settings_for(tmp_path / "here"), tmp_path / "copies")
    assert report.copied == report.objects > 4
    filled(running, "later")
    restored = restore(tmp_path / "copies", tmp_path / "there")
    assert restored.objects == report.objects
    assert (tmp_path / "there" / "pepper").read_bytes() == PEPPER
    assert (tmp_path / "there" / "pepper").stat().st_mode & 0o777 == 0o600
    settings = settings_for(tmp_path / "there")
    with Catalog.open(f"sqlite:///{settings.data_dir}/catalog.db") as catalog, catalog.reading() as tx:
        assert tx.untruths() == []
        assert {project.name for project in tx.projects.all()} == {"tests", "another project"}
    assert search_of(tmp_path / "there", store) == before


def search_of(folder: Path, store: str) -> bytes:
    """The answer of a server over a restored folder; its keys are those of the backup."""
    settings = settings_for(folder).model_copy(update={"api_key": ""})
    with run_app(create_app(partial(open_service, settings))) as url:
        answer = httpx.post(
            f"{url}/v1/vector_stores/{store}/search",
            json={"query": "subject2"},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.content


def test_a_second_backup_copies_only_what_is_new(running: Server, tmp_path: Path) -> None:
    filled(running, "one")
    settings, copies = settings_for(tmp_path / "here"), tmp_path / "copies"
    first = back_up(settings, copies)
    again = back_up(settings, copies)
    assert (again.objects, again.copied) == (first.objects, 0)
    filled(running, "two", files=1)
    third = back_up(settings, copies)
    assert 0 < third.copied == third.objects - first.objects
    assert [report.whole for report in verify(copies)] == [True] * 3
    assert restore(copies, tmp_path / "old", first.backup).objects == first.objects


def test_links_take_no_room_and_are_whole(running: Server, tmp_path: Path) -> None:
    filled(running, "one")
    back_up(settings_for(tmp_path / "here"), tmp_path / "copies", link=True)
    (report,) = verify(tmp_path / "copies")
    assert report.whole
    assert all(path.stat().st_nlink == 2 for path in (tmp_path / "copies" / "objects" / "blobs").rglob("blob_*"))


def test_a_backup_is_one_moment_while_writes_and_sweeps_go_on(running: Server, tmp_path: Path) -> None:
    store = filled(running, "one")
    stop = threading.Event()
    resources = running.service.resources

    def disturb() -> None:
        none, number = Grace(0, 0, 0), 0
        while not stop.is_set():
            victim = filled(running, f"victim {number}", files=1)
            running.client().vector_stores.delete(victim)
            now = resources.catalog.now() + 1
            expire(resources.catalog, now, none)
            sweep_removed(resources.catalog, resources.storage, now, none)
            number += 1

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        reports = [back_up(settings_for(tmp_path / "here"), tmp_path / "copies") for _ in range(4)]
    finally:
        stop.set()
        disturbing.join()
    assert len({report.backup for report in reports}) == 4
    assert [report.whole for report in verify(tmp_path / "copies")] == [True] * 4
    for report in reports:
        restore(tmp_path / "copies", tmp_path / report.backup, report.backup)
        with Catalog.open(f"sqlite:///{tmp_path / report.backup}/catalog.db") as catalog, catalog.reading() as tx:
            assert tx.untruths() == []
            assert tx.stores.get(running.project, StoreId(store)).counts.completed == 4


@pytest.mark.parametrize("kind", ["blobs", "segments", "catalog"])
def test_damage_and_loss_are_found_and_not_restored(running: Server, tmp_path: Path, kind: str) -> None:
    filled(running, "one")
    copies = tmp_path / "copies"
    report = back_up(settings_for(tmp_path / "here"), copies)
    folder = copies / "backups" if kind == "catalog" else copies / "objects" / kind
    victim = next(
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".json" and path.stat().st_size
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    (found,) = verify(copies)
    assert (len(found.damaged), found.missing) == (1, [])
    victim.unlink()
    (found,) = verify(copies)
    assert (len(found.missing), found.damaged) == (1, [])
    with pytest.raises(ServerError) as refused:
        restore(copies, tmp_path / "there", report.backup)
    assert refused.value.exit_code is Exit.INCOMPLETE
    assert not (tmp_path / "there" / "catalog.db").exists()


def test_a_backup_that_was_cut_off_does_not_count(running: Server, tmp_path: Path) -> None:
    filled(running, "one")
    settings, copies = settings_for(tmp_path / "here"), tmp_path / "copies"
    back_up(settings, copies)
    (copies / "backups" / f"{backups_in(copies)[0]}.json").unlink()
    assert backups_in(copies) == []
    with pytest.raises(ServerError):
        restore(copies, tmp_path / "there")
    assert back_up(settings, copies).copied == 0


def test_a_restore_that_was_cut_off_goes_on(running: Server, tmp_path: Path) -> None:
    filled(running, "one")
    copies, there = tmp_path / "copies", tmp_path / "there"
    report = back_up(settings_for(tmp_path / "here"), copies)
    half = Directory(there / "objects")
    some = sorted(stored.name for stored in Directory(copies / "objects").list())[: report.objects // 2]
    for name in some:
        with half.draft() as draft:
            for piece in Directory(copies / "objects").read(name):
                draft.write(piece)
            draft.create(name)
    assert restore(copies, there).copied == report.objects - len(some)
    with pytest.raises(ServerError):
        restore(copies, there)


def test_a_cluster_is_told_what_to_do_instead(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    catalog = settings.catalog.model_copy(update={"url": "postgresql://nowhere/x"})
    with pytest.raises(ServerError, match="operations"):
        back_up(settings.model_copy(update={"catalog": catalog}), tmp_path / "copies")


def test_the_copy_of_the_catalog_holds_nothing_back(running: Server, tmp_path: Path) -> None:
    filled(running, "one", files=1)
    running.client().uploads.create(filename="u.txt", purpose="assistants", bytes=3, mime_type="text/plain")
    report = back_up(settings_for(tmp_path / "here"), tmp_path / "copies")
    copy = tmp_path / "copies" / "backups" / f"{report.backup}.db"
    db = sqlite3.connect(copy)
    assert db.execute("SELECT count(*) FROM holds").fetchone() == (0,)
    assert db.execute("SELECT DISTINCT status FROM uploads").fetchall() == [("expired",)]
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    listed = json.loads((tmp_path / "copies" / "backups" / f"{report.backup}.json").read_text())
    assert (listed["format"], listed["version"], listed["objects"]) == ("carrel.backup", 1, report.objects)
    with running.service.resources.catalog.reading() as tx:
        assert tx.holds.over(2**40, 10) == ()
