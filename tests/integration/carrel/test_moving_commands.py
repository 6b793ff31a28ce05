"""`carrel export` and `carrel import` against real servers: whole or not there, broken off and taken up again."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.moving import export_store, forget, import_archive
from carrel.remote import Remote
from tests.support.server import KEY, Server, run_server


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("there")) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: Server) -> str:
    client = server.client()
    made = client.vector_stores.create(name="to be carried").id
    for number in range(4):
        content = f"subject{number} " * 2000 + str(number)
        file = client.files.create(file=(f"{number}.txt", content.encode()), purpose="assistants").id
        client.vector_stores.files.create_and_poll(file, vector_store_id=made, attributes={"number": number})
    return made


def remote(server: Server) -> Remote:
    return Remote(server.url, KEY)


def answer(server: Server, store: str) -> bytes:
    with server.http() as http:
        return http.post(f"/v1/vector_stores/{store}/search", json={"query": "subject2", "max_num_results": 20}).content


def test_a_store_is_carried_to_another_server_in_two_commands(
    server: Server, there: Server, store: str, tmp_path: Path
) -> None:
    archive = tmp_path / "a.carrel"
    with remote(server) as here:
        said = export_store(here, store, archive)
    assert archive.stat().st_size == said["bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.carrel"]
    with remote(there) as target:
        row = import_archive(target, archive)
        assert row["vector_store_id"] == store
        assert answer(there, store) == answer(server, store)
        assert import_archive(target, archive)["id"] == row["id"], "who asks again before he was told means the same"
        forget(archive)
        assert import_archive(target, archive)["unchanged"] is True
        forget(archive)
        assert not [one for one in target.pages("files") if one["purpose"] == "user_data"], "the archive is let go"
    assert [path.name for path in tmp_path.iterdir()] == ["a.carrel"]


class Broken(Exception):
    pass


def test_a_download_that_was_broken_off_goes_on_where_it_was(server: Server, store: str, tmp_path: Path) -> None:
    archive, partial = tmp_path / "a.carrel", tmp_path / "a.carrel.part"

    def breaks(_: str, done: int, __: int) -> None:
        if done:
            raise Broken

    with remote(server) as here:
        with pytest.raises(Broken):
            export_store(here, store, archive, breaks)
        assert not archive.exists()
        begun, came = json.loads((tmp_path / "a.carrel.part.json").read_text()), partial.stat().st_size
        assert came
        with partial.open("r+b") as file:
            file.truncate(1000)
        first: list[int] = []
        said = export_store(here, store, archive, lambda _, done, __: first.append(done))
        assert said["id"] == begun["export"]["id"]
        assert archive.stat().st_size == said["bytes"]
        whole = tmp_path / "b.carrel"
        export_store(here, store, whole)
    assert len(whole.read_bytes()) == len(archive.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.carrel", "b.carrel"]


def test_a_download_whose_export_has_ended_begins_anew(server: Server, store: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.carrel"
    (tmp_path / "a.carrel.part").write_bytes(b"of another time")
    gone = {"id": "export_gone", "vector_store_id": store, "bytes": 99}
    (tmp_path / "a.carrel.part.json").write_text(json.dumps({"url": server.url, "export": gone}))
    with remote(server) as here:
        said = export_store(here, store, archive)
    assert archive.stat().st_size == said["bytes"]


def test_an_upload_is_not_sent_twice(there: Server, server: Server, store: str, tmp_path: Path) -> None:
    archive, sent = tmp_path / "a.carrel", []

    def breaks(what: str, _: int, __: int) -> None:
        if what == "import":
            raise Broken

    with remote(server) as here:
        export_store(here, store, archive)
    with remote(there) as target:
        with there.worker.paused(), pytest.raises(Broken):
            import_archive(target, archive, new_ids=True, moved=breaks)
        known = json.loads((tmp_path / ".a.carrel.import.json").read_text())
        row = import_archive(target, archive, new_ids=True, moved=lambda what, _, __: sent.append(what))
    assert row["id"] == known["import"]
    assert "upload" not in sent


def test_an_import_that_was_asked_for_and_not_heard_of_is_not_made_twice(
    there: Server, server: Server, store: str, tmp_path: Path
) -> None:
    """Killed between its question and the answer."""
    archive, note = tmp_path / "a.carrel", tmp_path / ".a.carrel.import.json"
    with remote(server) as here:
        export_store(here, store, archive)
    with remote(there) as target:
        before = len(list(target.pages("vector_stores")))
        first = import_archive(target, archive, new_ids=True)
        known = json.loads(note.read_text())
        del known["import"]
        note.write_text(json.dumps(known))
        assert import_archive(target, archive, new_ids=True)["id"] == first["id"]
        assert len(list(target.pages("vector_stores"))) == before + 1


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_an_archive_that_is_none_is_not_even_sent(
    server: Server, there: Server, store: str, tmp_path: Path, damage: str
) -> None:
    archive = tmp_path / "a.carrel"
    with remote(server) as here:
        export_store(here, store, archive)
    content = archive.read_bytes()
    archive.write_bytes(content[:-700] if damage == "cut" else b"words" * 1000)
    with remote(there) as target:
        before = len(list(target.pages("files")))
        with pytest.raises(ServerError) as refused:
            import_archive(target, archive)
        assert refused.value.exit_code is Exit.REFUSED
        assert len(list(target.pages("files"))) == before


def test_a_refused_import_says_why(server: Server, there: Server, store: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.carrel"
    with remote(server) as here:
        export_store(here, store, archive)
    content = bytearray(archive.read_bytes())
    content[-3000] ^= 1
    archive.write_bytes(content)
    with remote(there) as target, pytest.raises(ServerError, match="hash") as refused:
        import_archive(target, archive, new_ids=True)
    assert refused.value.exit_code is Exit.REFUSED
    assert not (tmp_path / ".a.carrel.import.json").exists()


def test_a_store_can_be_read_on_while_it_is_written_to(server: Server, there: Server, tmp_path: Path) -> None:
    client = server.client()
    store = client.vector_stores.create(name="busy").id
    stop = threading.Event()
    written: list[Any] = []

    def write() -> None:
        while not stop.is_set():
            text = f"subject{len(written)}".encode()
            written.append(
                client.vector_stores.files.upload_and_poll(
                    vector_store_id=store, file=("a.txt", text), poll_interval_ms=20
                )
            )

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with remote(server) as here:
            for number in range(3):
                before = len(written)
                said = export_store(here, store, tmp_path / f"{number}.carrel")
                assert before <= said["files"] <= len(written) + 1
    finally:
        stop.set()
        writing.join()
    with remote(there) as target:
        for number in range(3):
            import_archive(target, tmp_path / f"{number}.carrel", new_ids=True)
