"""`python -m ingest FOLDER`, from the outside."""

import json
from pathlib import Path

import pytest

from ingest.__main__ import main
from tests.support import poison_office, poison_pdf


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARREL_PARSING_CHILDREN", "2")
    (tmp_path / "inside" / ".hidden").mkdir(parents=True)
    (tmp_path / "words.txt").write_text("Some words.\n\nAnd more of them.")
    (tmp_path / "[red]odd\udcff.md").write_bytes(b"# A heading\n\nA paragraph.")
    (tmp_path / "inside" / "pages.pdf").write_bytes(poison_pdf.many_pages(3))
    (tmp_path / "inside" / "report.docx").write_bytes(poison_office.good_docx())
    (tmp_path / "inside" / ".hidden" / "not.txt").write_text("unseen")
    (tmp_path / ".not.txt").write_text("unseen")
    return tmp_path


def test_every_file_is_shown_with_blocks_chunks_and_vectors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--model", "hashed", "--json"]) == 0
    rows = {row["file"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(rows) == ["[red]odd�.md", "inside/pages.pdf", "inside/report.docx", "words.txt"]
    for row in rows.values():
        assert row["blocks"] >= 2
        assert row["vectors"] == [row["chunks"], 384]
        assert row["tokens"] > 0
        assert row["error"] == ""
    assert rows["inside/pages.pdf"]["media_type"] == "application/pdf"


def test_a_file_that_cannot_be_read_is_named_with_its_reason_and_the_others_are_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "locked.pdf").write_bytes(poison_pdf.encrypted("secret"))
    assert main([str(folder), "--model", "hashed"]) == 1
    shown = capsys.readouterr().out
    assert "EncryptedDocument (invalid_file): " in shown
    assert "[red]odd" in shown
    assert "4 of 5 files read" in shown


def test_the_chunking_asked_for_is_the_chunking_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "long.txt").write_text("word " * 1000)
    options = ["--model", "hashed", "--json", "--chunking", "static", "--max-tokens", "100", "--overlap", "0"]
    assert main([str(folder), *options]) == 0
    rows = {row["file"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["long.txt"]["chunks"] in (10, 11)


def test_an_empty_folder_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--model", "hashed"]) == 0
    assert "0 of 0 files read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/no/such/folder", "--model", "hashed"], "/no/such/folder is no folder"),
        ([".", "--model", "local"], "no-such-models"),
        ([".", "--max-tokens", "99", "--model", "hashed"], "max_tokens must be 100..4096"),
        ([".", "--overlap", "50", "--model", "hashed"], "do not overlap"),
    ],
)
def test_what_cannot_be_tried_ends_in_2_and_a_sentence(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARREL_EMBEDDING_MODELS_DIR", "/no-such-models")
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""
