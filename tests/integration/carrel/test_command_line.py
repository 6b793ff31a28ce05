"""The command line as people and scripts use it, against a service that is really running."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.command import Ran, carrel
from tests.support.whole import KEY, Whole, installed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with installed(tmp_path_factory.mktemp("carrel") / "data") as made:
        made.start()
        yield made


@pytest.fixture
def environment(whole: Whole, tmp_path: Path) -> Mapping[str, str]:
    return {"CARREL_URL": whole.url, "OPENAI_API_KEY": KEY, "HOME": str(tmp_path / "home")}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    (folder / "birds").mkdir(parents=True)
    (folder / "birds" / "heron.md").write_text("# Heron\n\nThe heron waits at the pond for hours.\n")
    (folder / "birds" / "robin.txt").write_text("The robin sings in winter too.\n")
    (folder / "stones.txt").write_text("Granite is a stone of quartz and feldspar.\n")
    (folder / "draft.log").write_text("not meant\n")
    (folder / ".gitignore").write_text("*.log\n")
    return folder


class Shelf:
    """`carrel ingest` of one folder into one store, again and again."""

    def __init__(self, folder: Path, store: str, environment: Mapping[str, str]) -> None:
        self.folder, self.store, self.environment = folder, store, environment

    def ingest(self, *words: str) -> Ran:
        base = ("--base", str(self.folder), "--store", self.store, "--json")
        return carrel("ingest", str(self.folder), *base, *words, environment=self.environment)

    def found(self, *words: str) -> list[dict[str, object]]:
        ran = carrel("search", self.store, *words, "--json", environment=self.environment)
        assert ran.code == 0, ran.err
        hits: list[dict[str, object]] = ran.document["data"]
        return hits


@pytest.fixture
def kept(shelf: Path, environment: Mapping[str, str], request: pytest.FixtureRequest) -> Shelf:
    return Shelf(shelf, request.node.name, environment)


def told(ran: Ran) -> dict[str, int]:
    return {what: ran.document[what] for what in ("added", "replaced", "updated", "unchanged", "failed")}


def test_a_repeat_uploads_only_what_is_new_or_changed(kept: Shelf) -> None:
    first = kept.ingest("-a", "shelf=3")
    assert first.code == 0, first.err
    assert told(first) == {"added": 3, "replaced": 0, "updated": 0, "unchanged": 0, "failed": 0}

    again = kept.ingest("-a", "shelf=3")
    assert told(again) == {"added": 0, "replaced": 0, "updated": 0, "unchanged": 3, "failed": 0}
    assert again.document["bytes_uploaded"] == 0

    (kept.folder / "stones.txt").write_text("Basalt is a stone from volcanoes.\n")
    (kept.folder / "moss.txt").write_text("Moss grows on the north side.\n")
    (kept.folder / "noise.bin").write_bytes(bytes(range(256)) * 20)
    third = kept.ingest("-a", "shelf=3")
    assert third.code == 1
    assert told(third) == {"added": 1, "replaced": 1, "updated": 0, "unchanged": 2, "failed": 1}
    (failure,) = third.document["failures"]
    assert failure["path"] == "noise.bin"
    assert failure["code"] == "unsupported_file"

    texts = [hit["content"][0]["text"] for hit in kept.found("stone", "-f", "path=stones.txt")]  # type: ignore[index]  # JSON
    assert texts == ["Basalt is a stone from volcanoes."]

    moved = kept.ingest("-a", "shelf=4")
    assert told(moved) == {"added": 0, "replaced": 0, "updated": 4, "unchanged": 0, "failed": 1}
    assert len(kept.found("stone", "-f", "shelf>3")) == 4


def test_files_are_chosen_by_patterns_and_listed_without_being_taken(kept: Shelf) -> None:
    def meant(*words: str) -> list[str]:
        ran = kept.ingest("--dry-run", *words)
        return [one["path"] for one in ran.document["data"]]

    assert meant() == ["birds/heron.md", "birds/robin.txt", "stones.txt"]
    assert meant("--include", "*.md") == ["birds/heron.md"]
    assert meant("--exclude", "birds/") == ["stones.txt"]
    assert meant("--no-ignore") == ["birds/heron.md", "birds/robin.txt", "draft.log", "stones.txt"]
    (kept.folder / "birds" / ".carrelignore").write_text("*\n!heron.md\n")
    assert meant() == ["birds/heron.md", "stones.txt"]
    assert carrel("stores", "show", kept.store, environment=kept.environment).code == 66


def test_what_a_run_that_was_interrupted_left_behind_is_put_right(kept: Shelf, whole: Whole) -> None:
    kept.ingest()
    client = whole.client()
    (store,) = [one.id for one in client.vector_stores.list() if one.name == kept.store]
    old = next(one for one in client.vector_stores.files.list(store) if (one.attributes or {})["path"] == "stones.txt")
    # An earlier run attached the new form, and was ended before it took the old one out.
    (kept.folder / "stones.txt").write_text("Basalt is a stone from volcanoes.\n")
    kept.ingest()
    attributes = {**(old.attributes or {})}
    client.vector_stores.files.create(vector_store_id=store, file_id=old.id, attributes=attributes)
    client.vector_stores.files.poll(old.id, vector_store_id=store)
    ran = kept.ingest()
    assert ran.code == 0, ran.err
    paths = [(one.attributes or {})["path"] for one in client.vector_stores.files.list(store)]
    assert sorted(paths) == ["birds/heron.md", "birds/robin.txt", "stones.txt"]


def test_search_shows_hits_and_where_they_come_from(kept: Shelf) -> None:
    kept.ingest()
    plain = carrel("search", kept.store, "heron", "pond", "-n", "1", environment=kept.environment)
    score, file, name, text = plain.out.strip().split("\t")
    assert 0 <= float(score) <= 1
    assert file.startswith("file-")
    assert (name, text) == ("heron.md", "# Heron The heron waits at the pond for hours.")

    traced = carrel("search", kept.store, "heron", "--trace", "--json", environment=kept.environment).document
    assert traced["trace"]["rows_living"] == 3
    both = ("-f", "path=stones.txt,birds/heron.md", "-f", '{"type":"ne","key":"path","value":"stones.txt"}')
    assert [hit["filename"] for hit in kept.found("stone", *both)] == ["heron.md"]
    assert [hit["filename"] for hit in kept.found("stone", "-f", "path!=stones.txt")] != []


def test_stores_files_and_batches_can_be_looked_after(kept: Shelf) -> None:
    def ran(*words: str, code: int = 0) -> Ran:
        found = carrel(*words, environment=kept.environment)
        assert found.code == code, found.err
        return found

    (kept.folder / "noise.bin").write_bytes(bytes(range(256)) * 20)
    report = kept.ingest().document
    store, (batch, *_) = kept.store, report["batches"]
    assert store in ran("stores", "list").out
    assert ran("stores", "show", store, "--json").document["file_counts"]["failed"] == 1
    assert ran("stores", "stats", store, "--json").document["documents_living"] == 3
    assert ran("batches", "show", store, batch, "--json").document["status"] == "completed"
    ran("batches", "wait", store, batch, code=1)  # one of its files failed
    (failed,) = ran("batches", "files", store, batch, "--status", "failed", "--json").document["data"]
    assert ran("files", "show", failed["id"], "--store", store, "--json").document["last_error"]["code"]
    assert ran("files", "retry", failed["id"], "-s", store, "--json").document["status"] == "in_progress"
    assert ran("files", "get", failed["id"], "-o", str(kept.folder / "back")).out == ""
    assert (kept.folder / "back").read_bytes() == (kept.folder / "noise.bin").read_bytes()

    into = str(kept.folder / "absent" / "back")
    assert into in ran("files", "get", failed["id"], "-o", into, code=66).err
    assert into in ran("export", store, "-o", into, code=66).err
    ran("files", "rm", "..", "--store", store, "-y", code=66)  # is the store itself, to whoever joins paths

    again = kept.ingest("--retry")
    assert told(again) == {"added": 0, "replaced": 0, "updated": 0, "unchanged": 3, "failed": 2}, "it was waited for"

    refused = ran("stores", "rm", store, code=1)
    assert "--yes" in refused.err
    gone = ran("files", "rm", "file-absent", failed["id"], "-y", "--json", code=66)
    assert [one["id"] for one in gone.document["data"]] == [failed["id"]], "what is absent keeps nothing else"
    assert "file-absent" in gone.err
    ran("stores", "rm", store, "--yes")
    ran("stores", "show", store, code=66)


def test_two_stores_of_one_name_are_told_apart_by_id(environment: Mapping[str, str]) -> None:
    made = [carrel("stores", "create", "twin", environment=environment).out.strip() for _ in range(2)]
    ran = carrel("stores", "show", "twin", environment=environment)
    assert ran.code == 2
    assert all(one in ran.err for one in made)
    assert carrel("stores", "show", made[0], "--json", environment=environment).document["id"] == made[0]
    assert carrel("stores", "rm", *made, "--yes", environment=environment).code == 0


def test_mistakes_end_in_a_sentence_and_a_code(environment: Mapping[str, str], whole: Whole) -> None:
    nobody = dict(environment) | {"CARREL_URL": "http://127.0.0.1:9"}
    wrong_key = dict(environment) | {"OPENAI_API_KEY": "sk-wrong"}
    cases: list[tuple[tuple[str, ...], Mapping[str, str], int, str]] = [
        (("stores", "list"), nobody, 69, "carrel serve"),
        (("ingest", ".", "-s", "x"), nobody, 69, "carrel serve"),
        (("batches", "wait", "x", "vsfb_x"), nobody, 69, "carrel serve"),
        (("export", "x", "-o", "x.carrel"), nobody, 69, "carrel serve"),
        (("import", __file__), nobody, 65, "archive"),
        (("migrate", "from-openai", "--source-url", "http://127.0.0.1:9"), environment, 69, "--source-url"),
        (("migrate", "from-openai", "--source-url", whole.url), environment, 77, "--source-key"),
        (("stores", "list", "--url", "ftp://x"), environment, 2, "http://"),
        (("stores", "list"), wrong_key, 77, "OPENAI_API_KEY"),
        (("search", "absent", "words"), environment, 66, "absent"),
        (("ingest", ".", "-s", "vs_absent"), environment, 66, "There is no vector store 'vs_absent'"),
        (("search", "absent", "words", "-f", "nothing"), environment, 2, "key=value"),
        (("ingest", "/absent", "-s", "x"), environment, 66, "/absent"),
        (("import", "/absent.carrel"), environment, 66, "/absent.carrel"),
        (("ingest", ".", "-s", "x", "-a", "path=1"), environment, 2, "path"),
        (("ingest", ".", "-s", "x", "--chunk-overlap", "9"), environment, 2, "--chunk-tokens"),
        (("search", "absent", "words", "-f", '{"type":"eq","key":"a","value":NaN}'), environment, 2, "NaN"),
        (("files", "show", ".."), environment, 66, ".."),
        (("files", "get", "file-absent?", "-o", "x"), environment, 66, "file-absent?"),
        (("backup", "/dev/null/backups"), whole.variables(), 69, "/dev/null/backups"),
        (("files", "show", "file-absent"), environment, 66, "file-absent"),
        (("serve",), {"CARREL_PORT": "many"}, 78, "CARREL_PORT"),
        (("keys", "list"), {"CARREL_NONSENSE": "1"}, 78, "CARREL_NONSENSE"),
        (("serve",), {**whole.variables()}, 75, "in use"),
    ]
    for words, given, code, part in cases:
        ran = carrel(*words, environment=given)
        assert (ran.code, part in ran.err, ran.out) == (code, True, ""), (words, ran)
        assert "Traceback" not in ran.err


def test_an_error_is_json_too_where_json_is_asked_for(environment: Mapping[str, str]) -> None:
    ran = carrel("stores", "show", "absent", "--json", environment=environment)
    assert ran.code == 66
    assert '"code": "not_found"' in ran.err


def test_a_server_here_is_found_without_options(whole: Whole, tmp_path: Path) -> None:
    here = {"CARREL_PORT": str(whole.port), "CARREL_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)}
    (tmp_path / "first-key").write_text(KEY)
    foreign = here | {"OPENAI_API_KEY": "sk-proj-for-somebody-else"}
    assert carrel("stores", "list", environment=here).code == 0
    assert carrel("stores", "list", environment=foreign).code == 0


def states(ran: Ran) -> dict[str, str]:
    return {one["part"]: one["state"] for one in ran.document["checks"]}


def test_the_doctor_finds_a_running_service_well(whole: Whole) -> None:
    ran = carrel("doctor", "--deep", "--json", environment=whole.variables())
    found = states(ran)
    assert ran.code == 0, ran.out
    assert found.pop("model") == "warning"  # this service has none that understands
    assert {found.pop("disk space"), found.pop("round trip")} <= {"ok", "warning"}  # on whatever machine this is
    assert {"catalog", "storage", "worker", "server", "key"} <= set(found)
    assert set(found.values()) == {"ok"}, ran.out


def test_the_doctor_says_what_to_do(whole: Whole, tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("open to all")
    (tmp_path / "pepper").chmod(0o644)
    ill = {
        "CARREL_DATA_DIR": str(tmp_path),
        "CARREL_PORT": str(whole.port),
        "CARREL_EMBEDDING_MODELS_DIR": str(tmp_path / "absent"),
        "CARREL_CATALOG_URL": "postgresql://nobody@127.0.0.1:9/nothing",
    }
    ran = carrel("doctor", "--json", environment=ill)
    assert ran.code == 1
    assert ran.document["healthy"] is False
    wrong = {one["part"]: one["advice"] for one in ran.document["checks"] if one["state"] == "problem"}
    assert set(wrong) >= {"model", "data folder", "port", "catalog"}
    assert "carrel model fetch" in wrong["model"]
    assert "chmod 600" in wrong["data folder"]
    assert "CARREL_PORT" in wrong["port"]

    away = carrel("doctor", "--json", "--url", "http://127.0.0.1:9", environment=whole.variables())
    assert states(away)["server"] == "problem"
    locked = carrel("doctor", "--json", "--url", whole.url, "--key", "sk-wrong", environment=whole.variables())
    assert states(locked)["key"] == "problem"


def test_a_measure_leaves_nothing_behind(environment: Mapping[str, str]) -> None:
    ran = carrel("bench", "-d", "3", "-n", "10", "--json", environment=environment)
    assert ran.code == 0, ran.err
    assert ran.document["documents"] == 3
    assert ran.document["search_p50_milliseconds"] > 0
    assert "carrel bench" not in carrel("stores", "list", environment=environment).out
    assert "bench.txt" not in carrel("files", "list", environment=environment).out
