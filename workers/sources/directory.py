"""A folder of this machine. Links are not followed: they would lead out of what the server was allowed to read.

Every open walks from the root, folder by folder, and refuses links on the way, so that exchanging a folder for a link
between listing and reading gains nothing.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from retrieval.catalog.source_rows import Stamp
from retrieval.sources.selection import Selection
from workers.sources.port import ItemChanged, ItemUnreadable, Listed, SourceUnavailable, Trouble

PIECE_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in the place of a file must not hang us


class DirectoryLister:
    def __init__(self, root: Path, selection: Selection) -> None:
        self._root = root
        self._selection = selection

    def items(self) -> Iterator[Listed | Trouble]:
        try:
            descriptor = os.open(self._root, _FOLDER)
        except OSError as error:
            raise SourceUnavailable(f"The folder {self._root} cannot be opened: {error.strerror}.") from error
        try:
            yield from self._below(descriptor, "")
        finally:
            os.close(descriptor)

    def _below(self, descriptor: int, folder: str) -> Iterator[Listed | Trouble]:
        """By descriptor, as reading does: what is listed lies where it is listed."""
        deeper: list[str] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    path = f"{folder}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        if self._selection.enters(path):
                            deeper.append(entry.name)
                    elif entry.is_file(follow_symlinks=False) and self._selection.takes(path):
                        yield self._listed(entry, path)
        except OSError as error:
            if not folder:
                raise SourceUnavailable(f"The folder {self._root} cannot be listed: {error.strerror}.") from error
            yield Trouble(folder.rstrip("/"), f"The folder cannot be listed: {error.strerror}.", below=True)
        for name in deeper:
            path = f"{folder}{name}"
            try:
                inner = os.open(name, _FOLDER, dir_fd=descriptor)
            except OSError as error:
                yield Trouble(path, f"The folder cannot be opened: {error.strerror}.", below=True)
                continue
            try:
                yield from self._below(inner, f"{path}/")
            finally:
                os.close(inner)

    @staticmethod
    def _listed(entry: "os.DirEntry[str]", path: str) -> Listed | Trouble:
        if _unspeakable(path):
            return Trouble(path.encode("utf-8", "replace").decode(), "The name is not valid UTF-8.")
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError as error:
            return Trouble(path, f"The file cannot be looked at: {error.strerror}.")
        return Listed(path, _stamp(found))

    def read(self, item: Listed) -> Iterator[bytes]:
        try:
            descriptor = self._open(item.key)
        except FileNotFoundError as error:
            raise ItemChanged(f"{item.key} has gone since it was listed") from error
        except OSError as error:
            raise ItemUnreadable(f"The file cannot be opened: {error.strerror}.") from error
        try:
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode) or _stamp(before) != item.stamp:
                    raise ItemChanged(f"{item.key} has changed since it was listed")
                size = 0
                while piece := file.read(PIECE_BYTES):
                    size += len(piece)
                    if size > before.st_size:
                        raise ItemChanged(f"{item.key} grew while it was read")  # a log may grow for ever
                    yield piece
                if _stamp(os.fstat(descriptor)) != item.stamp:
                    raise ItemChanged(f"{item.key} changed while it was read")
        except OSError as error:
            raise ItemUnreadable(f"The file cannot be read: {error.strerror}.") from error

    def look(self, key: str) -> Listed | None:
        try:
            descriptor = self._open(key)
        except OSError:
            return None
        try:
            return Listed(key, _stamp(os.fstat(descriptor)))
        finally:
            os.close(descriptor)

    def _open(self, key: str) -> int:
        *folders, name = key.split("/")
        descriptor = os.open(self._root, _FOLDER)
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            return os.open(name, _FILE, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing stays open."""


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns)


def _unspeakable(name: str) -> bool:
    """Half a character, as Python spells bytes that are no text: neither catalog nor answer could hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
