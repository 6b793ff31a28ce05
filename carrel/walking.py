"""Folders -> the files in them that are meant: .gitignore and .carrelignore, hidden names, include and exclude.

Patterns are git's: the innermost folder's have the last word, .carrelignore's over .gitignore's, and those of folders
above count too, up to the root of the checkout. Links are not followed: they may lead anywhere, or round in a circle.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

IGNORE_FILES: Final = (".gitignore", ".carrelignore")
NEVER: Final = frozenset({".git", ".hg", ".svn", ".carrel"})
MOST_NAME_CHARACTERS: Final = 512  # of an attribute's value

Closed = Callable[[Path, OSError], None]


@dataclass(frozen=True, slots=True)
class Found:
    path: Path
    name: str  # below the base, parted by slashes: the document's `path` attribute
    bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Wanted:
    base: Path
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = False
    ignore_files: bool = True


@dataclass(frozen=True, slots=True)
class _Rules:
    """The patterns of one folder."""

    folder: Path
    spec: GitIgnoreSpec


def walk(roots: Sequence[Path], wanted: Wanted, closed: Closed) -> Iterator[Found]:
    """Each file once, in the order of names; a path given by name is taken whatever the patterns say. `closed` is
    told of folders that cannot be read."""
    seen: set[Path] = set()
    for root in roots:
        start = root.resolve()
        files = _below(start, start, _above(start, wanted), wanted, closed) if start.is_dir() else iter([start])
        for path in files:
            if path in seen:
                continue
            seen.add(path)
            found = found_at(path, wanted.base)
            if found is not None:
                yield found


def found_at(path: Path, base: Path) -> Found | None:
    """None if it is no file, or has gone meanwhile."""
    try:
        about = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode):
        return None
    return Found(path, name_of(path, base), about.st_size, about.st_mtime_ns)


def name_of(path: Path, base: Path) -> str:
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix().lstrip("/")
    plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return plain if len(plain) <= MOST_NAME_CHARACTERS else f"…{plain[1 - MOST_NAME_CHARACTERS :]}"


def _below(folder: Path, root: Path, rules: Sequence[_Rules], wanted: Wanted, closed: Closed) -> Iterator[Path]:
    rules = [*rules, *_rules_of(folder, wanted)]
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        closed(folder, error)
        return
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink() or entry.name in NEVER or (entry.name.startswith(".") and not wanted.hidden):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if _ignored(path, rules, is_folder=is_folder) or _matches(wanted.exclude, path, root, is_folder=is_folder):
            continue
        if is_folder:
            yield from _below(path, root, rules, wanted, closed)
        elif entry.is_file(follow_symlinks=False) and (
            not wanted.include or _matches(wanted.include, path, root, is_folder=False)
        ):
            yield path


def _above(start: Path, wanted: Wanted) -> list[_Rules]:
    """The rules of folders above, within the checkout that `start` lies in."""
    checkout = next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)
    if checkout is None:
        return []
    above = [folder for folder in reversed(start.parents) if folder.is_relative_to(checkout)]
    return [rules for folder in above for rules in _rules_of(folder, wanted)]


def _rules_of(folder: Path, wanted: Wanted) -> list[_Rules]:
    lines: list[str] = []
    for name in IGNORE_FILES if wanted.ignore_files else ():
        try:
            lines += (folder / name).read_text("utf-8", errors="replace").splitlines()
        except OSError:
            continue
    return [_Rules(folder, GitIgnoreSpec.from_lines(lines))] if lines else []


def _ignored(path: Path, rules: Sequence[_Rules], *, is_folder: bool) -> bool:
    for one in reversed(rules):
        verdict = one.spec.check_file(_relative(path, one.folder, is_folder=is_folder)).include
        if verdict is not None:
            return verdict
    return False


def _matches(patterns: Sequence[str], path: Path, root: Path, *, is_folder: bool) -> bool:
    return bool(patterns) and GitIgnoreSpec.from_lines(patterns).match_file(_relative(path, root, is_folder=is_folder))


def _relative(path: Path, folder: Path, *, is_folder: bool) -> str:
    return path.relative_to(folder).as_posix() + ("/" if is_folder else "")
