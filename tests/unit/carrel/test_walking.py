"""Which files of a folder are meant: git's rules, and what the command line adds."""

import os
import subprocess
from pathlib import Path

import pytest

from carrel.walking import Wanted, name_of, walk


def laid_out(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    return folder


def told(folder: Path, error: OSError) -> None:
    raise AssertionError(f"{folder}: {error}")


def names(folder: Path, **wishes: object) -> list[str]:
    return [found.name for found in walk([folder], Wanted(folder, **wishes), told)]  # type: ignore[arg-type]  # many types


RULES = {
    ".gitignore": "*.log\nbuild/\n/top.txt\n!keep.log\ndocs/*.tmp\n",
    "deep/.gitignore": "!noise.log\nsecret*\n",
}
FILES = (
    "a.txt", "top.txt", "x.log", "keep.log", "build/out.txt", "docs/a.tmp", "docs/sub/a.tmp", "deep/noise.log",
    "deep/secret.txt", "deep/top.txt", "deep/build/x.txt", "deeper/one/two.txt",
)  # fmt: skip


def test_it_reads_patterns_as_git_does(tmp_path: Path) -> None:
    laid_out(tmp_path, *FILES)
    for name, lines in RULES.items():
        (tmp_path / name).write_text(lines)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listing = ["git", "ls-files", "--others", "--exclude-standard"]
    by_git = subprocess.run(listing, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    assert names(tmp_path, hidden=True) == sorted(by_git, key=lambda name: Path(name).parts)
    assert names(tmp_path / "deep") == ["noise.log", "top.txt"], "rules of folders above count within a checkout"


def test_hidden_names_links_and_version_control_are_left_out(tmp_path: Path) -> None:
    laid_out(tmp_path, "a.txt", ".env", ".cache/b.txt", ".git/config", "sub/.hidden/c.txt")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "round").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.txt"]
    assert names(tmp_path, hidden=True) == [".cache/b.txt", ".env", "a.txt", "sub/.hidden/c.txt"]


def test_what_is_named_is_taken_and_each_file_once(tmp_path: Path) -> None:
    laid_out(tmp_path, "a.log", "b.txt")
    (tmp_path / ".gitignore").write_text("*.log\n")
    found = walk([tmp_path / "a.log", tmp_path, tmp_path / "b.txt"], Wanted(tmp_path), told)
    assert [one.name for one in found] == ["a.log", "b.txt"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("/base/a/b.md", "a/b.md"), ("/else/b.md", "else/b.md"), ("/base/bad\udcff.md", "bad�.md")],
)
def test_names_are_below_the_base_and_valid_text(path: str, name: str) -> None:
    assert name_of(Path(path), Path("/base")) == name


def test_a_name_longer_than_an_attribute_keeps_its_end() -> None:
    name = name_of(Path("/base/" + "long/" * 200 + "end.md"), Path("/base"))
    assert len(name) == 512
    assert name.endswith("/end.md")


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    laid_out(tmp_path, "a.txt", "z.txt")
    within = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long: also an owner of everything cannot name it
        os.mkdir("m" * 250, dir_fd=within)
        inner = os.open("m" * 250, os.O_RDONLY, dir_fd=within)
        os.close(within)
        within = inner
    os.close(within)
    closed: list[str] = []
    found = walk([tmp_path], Wanted(tmp_path), lambda folder, error: closed.append(str(error.strerror)))
    assert [one.name for one in found] == ["a.txt", "z.txt"]
    assert closed == ["File name too long"]
