"""A migration from one real service to another by the API alone: everything once, whatever breaks off on the way."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.migrate import IdMap, Migrated, Migration
from carrel.remote import Json, Remote
from tests.support.server import Server, run_server


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("target")) as running:
        yield running


class Side:
    """One project of one service."""

    def __init__(self, server: Server) -> None:
        self.key = server.new_key()
        self.client: openai.OpenAI = server.client(self.key)
        self.remote = Remote(server.url, self.key)
        self.server = server


@pytest.fixture
def source(server: Server) -> Iterator[Side]:
    side = Side(server)
    with side.remote, side.client:
        yield side


@pytest.fixture
def here(target: Server) -> Iterator[Side]:
    side = Side(target)
    with side.remote, side.client:
        yield side


def filled(side: Side) -> str:
    client = side.client
    store = client.vector_stores.create(
        name="handbook", metadata={"team": "a"}, expires_after={"anchor": "last_active_at", "days": 9}
    ).id
    for number in range(3):
        file = client.files.create(
            file=(f"{number}.txt", f"subject{number} {'word ' * 900}".encode()), purpose="assistants"
        )
        client.vector_stores.files.create_and_poll(
            file.id,
            vector_store_id=store,
            attributes={"number": number},
            chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}},
        )
    client.files.create(file=("loose.jsonl", b"{}"), purpose="fine-tune")
    bad = client.files.create(file=("x.png", b"\x89PNG\r\n\x1a\n" + bytes(64)), purpose="assistants").id
    client.vector_stores.files.create_and_poll(bad, vector_store_id=store)
    return store


def migrated(source: Side, here: Side, path: Path) -> Migrated:
    migration = Migration(source.remote, here.remote, IdMap(path), lambda _: None)
    migration.run()
    migration.wait()
    return migration.result


def state(side: Side) -> object:
    """What a project holds, without ids and times."""
    files = sorted(
        (file.filename, file.purpose, side.client.files.content(file.id).read()) for file in side.client.files.list()
    )
    stores = []
    for store in side.client.vector_stores.list():
        here = side.client.vector_stores.files.list(store.id)
        held = sorted(str((one.attributes, one.chunking_strategy)) for one in here if one.status == "completed")
        hits = side.client.vector_stores.search(store.id, query="subject1", max_num_results=20).data
        found = [(hit.filename, hit.score, hit.content[0].text) for hit in hits]
        days = store.expires_after.days if store.expires_after else None
        stores.append((store.name, store.metadata, days, held, found))
    return files, stores


def test_everything_comes_over_and_what_does_not_is_told(source: Side, here: Side, tmp_path: Path) -> None:
    filled(source)
    result = migrated(source, here, tmp_path / "map")
    assert (result.files, result.stores) == (5, 1)
    assert state(here) == state(source)
    assert [(one["kind"], "failed" in one["why"]) for one in result.refused] == [("file of a store", True)]
    lines = [json.loads(line) for line in (tmp_path / "map").read_text().splitlines()]
    there = {file.id for file in source.client.files.list()}
    assert {line["from"] for line in lines if line["kind"] == "file"} == there


def test_a_second_run_copies_only_what_is_new(source: Side, here: Side, tmp_path: Path) -> None:
    filled(source)
    migrated(source, here, tmp_path / "map")
    before = state(here)
    again = migrated(source, here, tmp_path / "map")
    assert (again.files, again.stores) == (0, 0)
    assert state(here) == before
    source.client.files.create(file=("new.txt", b"new"), purpose="user_data")
    assert migrated(source, here, tmp_path / "map").files == 1


class Cut(Exception):
    pass


class Cutting:
    """A server whose connection breaks at the n-th change: before it, or after it has been made and before we hear."""

    def __init__(self, remote: Remote, at: int, *, after: bool) -> None:
        self._remote = remote
        self._left = at
        self._after = after
        self.pages, self.get = remote.pages, remote.get

    def post(self, path: str, body: Json) -> Json:
        return self._cut(lambda: self._remote.post(path, body))

    def upload(self, path: str, *arguments: object, **more: object) -> Json:
        return self._cut(lambda: self._remote.upload(path, *arguments, **more))  # type: ignore[arg-type]  # passed on

    def _cut(self, change: object) -> Json:
        self._left -= 1
        if not self._left and not self._after:
            raise Cut
        answer: Json = change()  # type: ignore[operator]  # a call of the server
        if not self._left:
            raise Cut
        return answer


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("change", [1, 4, 6, 7])  # five files, a store, and what is in it
def test_a_migration_that_was_broken_off_anywhere_goes_on_and_doubles_nothing(
    source: Side, here: Side, tmp_path: Path, change: int, *, after: bool
) -> None:
    filled(source)
    path = tmp_path / "map"
    cutting = Cutting(here.remote, change, after=after)
    with pytest.raises(Cut):
        Migration(source.remote, cutting, IdMap(path), lambda _: None).run()  # type: ignore[arg-type]  # as far as it is used
    result = migrated(source, here, path)
    assert result.known >= change - 1 - (change == 7)
    assert state(here) == state(source)


def test_files_that_the_source_does_not_give_out_are_listed(source: Side, here: Side, tmp_path: Path) -> None:
    filled(source)

    class Refusing:
        """As hosted services do for some purposes."""

        pages, get = source.remote.pages, source.remote.get

        def download(self, path: str) -> object:
            raise ServerError(
                "Not allowed to download files of purpose: assistants", exit_code=Exit.REFUSED, status=400
            )

    migration = Migration(Refusing(), here.remote, IdMap(tmp_path / "map"), lambda _: None)  # type: ignore[arg-type]  # as far as it is used
    result = migration.run()
    assert result.files == 0
    assert {one["why"] for one in result.refused if one["kind"] == "file"} == {
        "Not allowed to download files of purpose: assistants"
    }
    assert len([one for one in result.refused if one["kind"] == "file"]) == 5
    assert len(list(here.client.vector_stores.list())) == 1


def test_a_map_that_was_cut_off_in_a_line_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "map"
    ids = IdMap(path)
    ids.done("file", "file-a", "file-b")
    with path.open("ab") as file:
        file.write(b'{"kind": "file", "fr')
    again = IdMap(path)
    again.done("file", "file-c", "file-d")
    assert IdMap(path).here == {("file", "file-a"): "file-b", ("file", "file-c"): "file-d"}


def test_a_map_is_of_one_migration_only(tmp_path: Path) -> None:
    path = tmp_path / "map"
    IdMap(path, "http://there", "http://here").done("file", "file-a", "file-b")
    assert IdMap(path, "http://there", "http://here").here == {("file", "file-a"): "file-b"}
    with pytest.raises(ServerError, match="from http://there to http://here: name another file with --map"):
        IdMap(path, "http://there", "http://elsewhere")
    for other in ("some other file\n", "of one line", '{"name": "a table"}\n', '{"kind": "file"}\n{"ki'):
        path.write_text(other)
        with pytest.raises(ServerError, match="line 1 is not one of its lines"):
            IdMap(path, "http://there", "http://here")
        assert path.read_text() == other
