"""A store is exported, carried and imported: the same store, whatever goes on; and nothing of a bad archive."""

import io
import json
import random
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.archive.exporting import begin_export, pieces, release
from retrieval.archive.members import BLOCK
from retrieval.catalog.rows import FileStatus
from retrieval.errors import LeaseLost, NotFound
from retrieval.ids import StoreId, new_lease_token
from tests.support.moving import (
    Members,
    answers,
    archive_of,
    bring,
    changed,
    holdings,
    members_of,
    outcome,
    packed,
    stock,
    take_in,
)
from tests.support.workshop import Workshop, open_workshop
from workers.import_waiting import import_waiting
from workers.leases import ImportKeeper
from workers.pipeline import index_waiting
from workers.sweeping import Grace, expire, sweep_removed

TABLE = "| a | b |\n|---|---|"
BOOKS = {
    f"book {n}.md": f"# Book {n}\n\nAbout subject{n}.\n\n## Part\n\n{TABLE}\n| {n} | ü |\n".encode() for n in range(6)
}
QUESTIONS = ["subject3", "Part", "book about nothing", "ü"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    (tmp_path / "here").mkdir()
    with open_workshop(tmp_path / "here") as opened:
        yield opened


@pytest.fixture(scope="module")
def dock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """For archives of which nothing may stay."""
    with open_workshop(tmp_path_factory.mktemp("dock")) as opened:
        yield opened


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of a small store."""
    with open_workshop(tmp_path_factory.mktemp("source")) as source:
        return archive_of(source, stock(source, BOOKS))


def test_a_store_arrives_as_it_left(shop: Workshop, tmp_path: Path) -> None:
    with open_workshop(tmp_path) as source:
        store = stock(source, BOOKS)
        before = answers(source, store, QUESTIONS)
        archive = archive_of(source, store)
        with source.catalog.reading() as tx:
            left = list(tx.moving.files(store))
    row = take_in(shop, archive)
    assert (row.status, row.store_id, row.files, row.unchanged) == (FileStatus.COMPLETED, store, len(BOOKS), False)
    assert answers(shop, store, QUESTIONS) == before
    assert any(before)
    with shop.catalog.reading() as tx:
        arrived = list(tx.moving.files(store))
        assert tx.untruths() == []
        for mine, theirs in zip(arrived, left, strict=True):
            assert (mine.id, mine.sha256, mine.filename, mine.attributes) == (
                theirs.id,
                theirs.sha256,
                theirs.filename,
                theirs.attributes,
            )
            assert b"".join(shop.storage.read(mine.blob)) == BOOKS[mine.filename]


def test_importing_the_same_again_changes_nothing(shop: Workshop, carried: bytes) -> None:
    take_in(shop, carried)
    rows, objects = holdings(shop)
    again = take_in(shop, carried)
    assert (again.status, again.unchanged) == (FileStatus.COMPLETED, True)
    rows["files"] += 1  # the archive itself, once more; its bytes are there already
    assert holdings(shop) == (rows, objects)


def test_a_store_that_is_not_the_same_keeps_its_id(shop: Workshop, carried: bytes) -> None:
    store = take_in(shop, carried).store_id
    assert store is not None
    with shop.catalog.transaction() as tx:
        some = next(iter(list(tx.moving.files(store)))).id
        tx.store_files.set_attributes(shop.project, store, some, {"place": 99})
    bring(shop, carried)
    before = holdings(shop)
    assert import_waiting(shop.resources)
    assert holdings(shop) == before


def until_lost(keeper: ImportKeeper) -> None:
    for _ in range(600):
        keeper.check()
        time.sleep(0.1)


def test_an_import_is_given_back_uncounted_when_its_worker_is_to_end(shop: Workshop, carried: bytes) -> None:
    bring(shop, carried)
    token = new_lease_token()
    with shop.catalog.transaction() as tx:
        assert tx.imports.claim(token, shop.catalog.now(), 300)
    with ImportKeeper(shop.catalog, token, 300, stopping=lambda: True) as keeper, pytest.raises(LeaseLost):
        until_lost(keeper)
    with shop.catalog.transaction() as tx:
        again = tx.imports.claim(new_lease_token(), shop.catalog.now(), 300)
    assert again is not None
    assert (again.attempt, again.deaths) == (1, 0)


def test_new_ids_make_a_second_store_beside_the_first(shop: Workshop, carried: bytes) -> None:
    first, second = take_in(shop, carried).store_id, take_in(shop, carried, new_ids=True).store_id
    assert first
    assert second
    assert first != second
    assert answers(shop, first, QUESTIONS, ids=False) == answers(shop, second, QUESTIONS, ids=False)
    with shop.catalog.reading() as tx:
        ids = [{file.id for file in tx.moving.files(store)} for store in (first, second)]
        blobs = [[file.blob for file in tx.moving.files(store)] for store in (first, second)]
    assert not ids[0] & ids[1]
    assert blobs[0] == blobs[1], "equal bytes of a project are stored once"


def test_another_project_is_refused_ids_that_are_taken(shop: Workshop, carried: bytes) -> None:
    store = take_in(shop, carried).store_id
    assert store
    with shop.catalog.transaction() as tx:
        other = tx.projects.add(type(shop.project)("proj_other"), "other", shop.catalog.now()).id
    theirs = Workshop(shop.catalog, shop.storage, shop.blobs, shop.embedder, shop.resources, shop.stop, other)
    bring(theirs, carried)
    before = holdings(shop)
    assert import_waiting(shop.resources)
    assert holdings(shop) == before
    wanted = take_in(theirs, carried, new_ids=True)
    assert wanted.status is FileStatus.COMPLETED
    assert wanted.store_id
    assert answers(theirs, wanted.store_id, QUESTIONS, ids=False) == answers(shop, store, QUESTIONS, ids=False)


def test_files_can_be_embedded_anew_on_arrival(shop: Workshop, carried: bytes) -> None:
    row = take_in(shop, carried, model="hashed", new_ids=True)
    assert row.status is FileStatus.COMPLETED
    store = row.store_id
    assert store
    with shop.catalog.reading() as tx:
        assert tx.stores.get(shop.project, store).counts.in_progress == len(BOOKS)
    while index_waiting(store, shop.resources):
        pass
    with shop.catalog.reading() as tx:
        assert tx.stores.get(shop.project, store).counts.completed == len(BOOKS)
    second = take_in(shop, carried).store_id
    assert second
    assert answers(shop, store, QUESTIONS, ids=False) == answers(shop, second, QUESTIONS, ids=False)


def test_what_was_deleted_does_not_travel(shop: Workshop, tmp_path: Path) -> None:
    with open_workshop(tmp_path) as source:
        store = stock(source, BOOKS)
        with source.catalog.transaction() as tx:
            gone = next(file for file in tx.moving.files(store) if file.filename == "book 3.md")
            tx.store_files.delete(source.project, store, gone.id, source.catalog.now())
        archive = archive_of(source, store)
    assert b"subject3" not in archive
    assert b"subject4" in archive
    row = take_in(shop, archive)
    assert (row.status, row.files) == (FileStatus.COMPLETED, len(BOOKS) - 1)


def test_failed_and_waiting_files_arrive_as_such(shop: Workshop, tmp_path: Path) -> None:
    with open_workshop(tmp_path) as source:
        store = stock(source, BOOKS)
        source.attach(store, [b"\x89PNG\r\n\x1a\n" + bytes(64)], "picture.png")
        index_waiting(store, source.resources)
        source.attach(store, [b"words that wait"])
        archive = archive_of(source, store)
    assert take_in(shop, archive).status is FileStatus.COMPLETED
    with shop.catalog.reading() as tx:
        counts = tx.stores.get(shop.project, store).counts
        failed = next(file for file in tx.moving.files(store) if file.status is FileStatus.FAILED)
    assert (counts.completed, counts.failed, counts.in_progress) == (len(BOOKS), 1, 1)
    assert failed.error
    assert index_waiting(store, shop.resources) == 1


def test_an_archive_holds_one_generation_while_writes_go_on(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    store = stock(shop, BOOKS)
    stop = threading.Event()

    def write() -> None:
        number = 100
        while not stop.is_set():
            stock(shop, {f"book {number}.md": f"later{number} subject".encode()}, store)
            number += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        archives = [archive_of(shop, store) for _ in range(4)]
    finally:
        stop.set()
        writing.join()
    for number, archive in enumerate(archives):
        (tmp_path / f"there {number}").mkdir()
        with open_workshop(tmp_path / f"there {number}") as target:
            row = take_in(target, archive)
            assert row.status is FileStatus.COMPLETED, row.error
            assert row.files >= len(BOOKS)
            found = {hit[1] for hit in answers(target, store, ["subject"])[0]}  # type: ignore[attr-defined]
            assert found


def test_what_an_export_names_is_not_swept_until_it_is_let_go(shop: Workshop) -> None:
    store = stock(shop, BOOKS)
    hold = begin_export(shop.catalog, shop.storage, shop.project, store)
    before = b"".join(pieces(shop.storage, hold, 0, hold.bytes))
    with shop.catalog.transaction() as tx:
        files = [file.id for file in tx.moving.files(store)]
        tx.stores.delete(shop.project, store, shop.catalog.now())
    for file in files:
        with shop.catalog.transaction() as tx:
            tx.files.delete(shop.project, file, shop.catalog.now())
    none = Grace(0, 0, 0)
    for later in (1, 1800):
        expire(shop.catalog, shop.catalog.now() + later, none)
        sweep_removed(shop.catalog, shop.storage, shop.catalog.now() + later, none)
    assert b"".join(pieces(shop.storage, hold, 0, hold.bytes)) == before
    release(shop.catalog, shop.storage, hold)
    for _ in range(2):
        sweep_removed(shop.catalog, shop.storage, shop.catalog.now() + 1, none)
        expire(shop.catalog, shop.catalog.now() + 1, none)
    assert list(shop.storage.list()) == []
    with pytest.raises(NotFound), shop.catalog.reading() as tx:
        tx.holds.get(shop.project, store, hold.id, shop.catalog.now())


def test_an_export_that_nobody_fetches_ends_by_itself(shop: Workshop) -> None:
    store = stock(shop, BOOKS)
    before = holdings(shop)
    hold = begin_export(shop.catalog, shop.storage, shop.project, store)
    assert sweep_removed(shop.catalog, shop.storage, hold.held_until - 1).exports == 0
    assert sweep_removed(shop.catalog, shop.storage, hold.held_until).exports == 1
    assert holdings(shop) == before


def test_any_range_of_an_archive_is_the_same_bytes(shop: Workshop) -> None:
    hold = begin_export(shop.catalog, shop.storage, shop.project, stock(shop, BOOKS))
    archive = b"".join(pieces(shop.storage, hold, 0, hold.bytes))
    assert len(archive) == hold.bytes
    chance = random.Random(3)
    edges = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, hold.bytes - 1, hold.bytes]
    for _ in range(200):
        start, stop = sorted(chance.choice([*edges, chance.randrange(hold.bytes)]) for _ in range(2))
        assert b"".join(pieces(shop.storage, hold, start, stop)) == archive[start:stop]


# Archives that nobody should have brought


def refused(dock: Workshop, archive: bytes) -> str:
    """The sentence with which it was refused; nothing else has changed."""
    wanted = bring(dock, archive)
    before = holdings(dock)
    assert import_waiting(dock.resources)
    row = outcome(dock, wanted)
    assert row.status is FileStatus.FAILED
    assert holdings(dock) == before
    assert row.error
    return row.error


def test_an_archive_with_any_bit_turned_is_refused(dock: Workshop, carried: bytes) -> None:
    chance = random.Random(5)
    with tarfile.open(fileobj=io.BytesIO(carried)) as tar:
        places = [one.offset_data + one.size // 2 for one in tar] + [one.offset + 124 for one in tar]
    places += [chance.randrange(len(carried)) for _ in range(60)]
    for place in places:
        broken = bytearray(carried)
        broken[place] ^= 1 << chance.randrange(8)
        refused(dock, bytes(broken))


def test_an_archive_that_is_cut_off_or_goes_on_is_refused(dock: Workshop, carried: bytes) -> None:
    chance = random.Random(7)
    for length in [0, 1, 511, 512, len(carried) - 1, len(carried) - 512, len(carried) - 1024] + [
        chance.randrange(len(carried)) for _ in range(15)
    ]:
        refused(dock, carried[:length])
    refused(dock, carried + b"\0")
    refused(dock, carried + carried)


def zipped() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("manifest.json", "{}")
        return file.getvalue()


@pytest.mark.parametrize("content", [b"words", zipped(), bytes(10_240), packed({"a.txt": b"words"}), packed({})])
def test_what_is_no_archive_is_refused(dock: Workshop, content: bytes) -> None:
    refused(dock, content)


def with_header(archive: bytes, change: Any) -> bytes:
    """The archive with the header of its first uploaded file as another program might write it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        victim = next(one for one in tar if one.name.startswith("blobs/"))
    change(victim)
    block = victim.tobuf(tarfile.GNU_FORMAT)
    return archive[: victim.offset] + block + archive[victim.offset + BLOCK :]


def set_all(one: object, **values: object) -> None:
    for name, value in values.items():
        setattr(one, name, value)


HEADERS = {
    "path traversal": lambda one: setattr(one, "name", "../../../etc/passwd"),
    "absolute path": lambda one: setattr(one, "name", "/etc/passwd"),
    "symbolic link": lambda one: set_all(one, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": lambda one: set_all(one, type=tarfile.LNKTYPE, linkname="manifest.json"),
    "device": lambda one: setattr(one, "type", tarfile.CHRTYPE),
    "folder": lambda one: setattr(one, "type", tarfile.DIRTYPE),
    "sparse file": lambda one: setattr(one, "type", tarfile.GNUTYPE_SPARSE),
    "extended header": lambda one: setattr(one, "type", tarfile.XHDTYPE),
    "absurd size": lambda one: setattr(one, "size", 1 << 60),
    "size beyond the end": lambda one: setattr(one, "size", 1 << 33),
    "another owner": lambda one: setattr(one, "uid", 1000),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_members_that_are_not_plain_files_in_their_place_are_refused(dock: Workshop, carried: bytes, kind: str) -> None:
    refused(dock, with_header(carried, HEADERS[kind]))


def _other_version(number: int) -> Any:
    def change(_: Members, manifest: dict[str, Any], __: list[dict[str, Any]]) -> None:
        manifest["version"] = number

    return change


@pytest.mark.parametrize("number", [0, 2, 99])
def test_another_version_is_refused_by_its_number(dock: Workshop, carried: bytes, number: int) -> None:
    assert f"version {number}" in refused(dock, changed(carried, _other_version(number)))


def test_vectors_of_a_model_that_is_not_here_are_refused(dock: Workshop, carried: bytes) -> None:
    def change(_: Members, manifest: dict[str, Any], __: list[dict[str, Any]]) -> None:
        manifest["store"]["model"] = "somebody's-model"

    assert "somebody's-model" in refused(dock, changed(carried, change))


LINES: dict[str, Any] = {
    "no such status": lambda line: line.update(status="done"),
    "an id that is a path": lambda line: line.update(id="../up"),
    "a hash that is a path": lambda line: line.update(sha256="../up"),
    "another size": lambda line: line.update(bytes=line["bytes"] + 1),
    "a negative size": lambda line: line.update(bytes=-1),
    "a size as text": lambda line: line.update(bytes="12"),
    "NUL in a name": lambda line: line.update(filename="a\0b"),
    "half a character": lambda line: line.update(filename="\ud800"),
    "a name without end": lambda line: line.update(filename="x" * 5000),
    "attributes that are a list": lambda line: line.update(attributes=[1]),
    "nested attributes": lambda line: line.update(attributes={"a": {"b": 1}}),
    "many attributes": lambda line: line.update(attributes={str(n): n for n in range(17)}),
    "an infinite attribute": lambda line: line.update(attributes={"a": float("inf")}),
    "a chunk more": lambda line: line["document"].update(chunks=line["document"]["chunks"] + 1),
    "no document": lambda line: line.update(document=None),
    "document 0": lambda line: line["document"].update(number=0),
    "a document of another number": lambda line: line["document"].update(number=77),
    "a segment that is not there": lambda line: line["document"].update(segment=9),
    "an overlap beyond the chunk": lambda line: line.update(chunking=[10, 10]),
    "an error that is none": lambda line: line.update(error=["oops", "x"]),
    "no time": lambda line: line.pop("created_at"),
    "absurd time": lambda line: line.update(created_at=2**60),
    "no such purpose": lambda line: line.update(purpose="mischief"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_list_of_files_that_lies_is_refused(dock: Workshop, carried: bytes, kind: str) -> None:
    def change(_: Members, __: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        LINES[kind](lines[2])

    refused(dock, changed(carried, change))


def _swap_lines(_: Members, manifest: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    lines[0]["id"] = lines[1]["id"]


def _fewer_lines(_: Members, manifest: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    lines.pop()


def _same_document(_: Members, manifest: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    lines[0]["document"]["number"] = lines[1]["document"]["number"]


def _other_blob(members: Members, _: dict[str, Any], __: list[dict[str, Any]]) -> None:
    name = next(name for name in members if name.startswith("blobs/"))
    members[name] = members[name][:-1] + b"!"


def _extra_member(members: Members, manifest: dict[str, Any], _: list[dict[str, Any]]) -> None:
    members["blobs/" + "0" * 64] = b""
    manifest["blobs"]["count"] += 1


def _wide(_: Members, manifest: dict[str, Any], __: list[dict[str, Any]]) -> None:
    manifest["store"]["width"] = 16


def _many_rows(_: Members, manifest: dict[str, Any], __: list[dict[str, Any]]) -> None:
    manifest["segments"][0]["rows"] = 1 << 24


@pytest.mark.parametrize(
    "change", [_swap_lines, _fewer_lines, _same_document, _other_blob, _extra_member, _wide, _many_rows]
)
def test_parts_that_do_not_agree_are_refused(dock: Workshop, carried: bytes, change: Any) -> None:
    refused(dock, changed(carried, change))


def test_json_without_end_is_refused(dock: Workshop, carried: bytes) -> None:
    members = members_of(carried)
    for content in (b"[" * 1_000_000, b'{"a":' * 100_000, b"{" + b" " * (17 << 20) + b"}", b"\xff\xfe", b"1" * 10_000):
        refused(dock, packed({**members, "manifest.json": content}))


def test_the_archive_may_be_deleted_under_its_import(dock: Workshop, carried: bytes) -> None:
    wanted = bring(dock, carried)
    with dock.catalog.transaction() as tx:
        tx.files.delete(dock.project, tx.imports.get(dock.project, wanted).file_id, dock.catalog.now())
    assert import_waiting(dock.resources)
    assert outcome(dock, wanted).status is FileStatus.FAILED


def test_the_manifest_can_be_read_with_what_every_system_has(carried: bytes) -> None:
    members = members_of(carried)
    assert list(members)[:3] == ["manifest.json", "manifest.sha256", "files.jsonl"]
    manifest = json.loads(members["manifest.json"])
    assert manifest["store"]["model"] == "hashed"
    assert StoreId(manifest["store"]["id"]).startswith("vs_")
    assert sum(entry["rows"] for entry in manifest["segments"]) == sum(
        json.loads(line)["document"]["chunks"] for line in members["files.jsonl"].splitlines()
    )
