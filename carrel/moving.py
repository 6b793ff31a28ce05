"""`carrel export` and `carrel import`: a store as one file, from a running server and into one.

Both may be killed at any time and be started again with the same words: a download goes on where it was, a large upload
sends the parts that are missing, an import that runs is waited for. What is not whole never has the name asked for.
"""

import io
import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from carrel.asking import Asking, StoreArgument, asking
from carrel.durable import sync
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import store_id
from carrel.output import Output, size
from carrel.remote import Json, Remote
from carrel.sending import Outgoing, Parts, send
from retrieval.archive.errors import ArchiveRefused
from retrieval.archive.reading import Archive
from retrieval.storage.directory import Hurried

PATIENCE_SECONDS: Final = 120.0  # a server may be restarted meanwhile
LOOK_SECONDS: Final = 0.2
SHOWN: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TimeRemainingColumn(),
)

Moved = Callable[[str, int, int], None]  # what moves, how many bytes of it have come so far, of how many


def unseen(_: str, __: int, ___: int) -> None:
    pass


# Out


def export_store(remote: Remote, store: str, target: Path, moved: Moved = unseen) -> Json:
    """Download a store as it is now, or go on with a download that was broken off; what the server says of it."""
    partial, note = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    export = _begun(remote, store, note) or _begin(remote, store, partial, note)
    at = f"vector_stores/{store}/exports/{export['id']}"
    with partial.open("ab") as file:
        file.truncate(min(file.tell(), export["bytes"]))
        _fetch(remote, f"{at}/content", file, export["bytes"], moved)
        file.flush()
        os.fsync(file.fileno())
    _checked(partial)
    partial.replace(target)
    sync(target.parent)
    note.unlink(missing_ok=True)
    with suppress(ServerError):  # it ends by itself
        remote.delete(at)
    return export


def _begin(remote: Remote, store: str, partial: Path, note: Path) -> Json:
    export = remote.post(f"vector_stores/{store}/exports")
    partial.unlink(missing_ok=True)
    _write(note, {"url": remote.url, "export": export})
    return export


def _begun(remote: Remote, store: str, note: Path) -> Json | None:
    """The export that an earlier run began, if it is of this store and still held."""
    known = _read(note)
    export = known.get("export")
    if known.get("url") != remote.url or not isinstance(export, dict) or export.get("vector_store_id") != store:
        return None
    try:
        return remote.get(f"vector_stores/{store}/exports/{export['id']}")
    except ServerError as error:
        if error.exit_code is Exit.NOT_FOUND:
            return None
        raise


def _fetch(remote: Remote, path: str, file: io.BufferedWriter, whole: int, moved: Moved) -> None:
    """The rest of the bytes, over as many connections as it takes, as long as each brings some."""
    until, hurried = time.monotonic() + PATIENCE_SECONDS, Hurried(file.fileno(), file.tell())
    while (at := file.tell()) < whole:
        try:
            with remote.download(path, start=at) as pieces:
                for piece in pieces:
                    file.write(piece)
                    moved("export", file.tell(), whole)
                    hurried.reached(file.tell())
        except ServerError as error:
            if error.exit_code is not Exit.UNAVAILABLE:
                raise
        if file.tell() > at:
            until = time.monotonic() + PATIENCE_SECONDS
        elif time.monotonic() > until:
            raise ServerError(
                f"The server does not go on with the archive; {at} of {whole} bytes are here. "
                "Start the same command again to go on.",
                exit_code=Exit.UNAVAILABLE,
            )
        else:
            time.sleep(1)


# In


def import_archive(
    remote: Remote,
    source: Path,
    *,
    new_ids: bool = False,
    name: str | None = None,
    model: str | None = None,
    moved: Moved = unseen,
) -> Json:
    """Upload an archive, or the parts of it that are missing, and wait until it is a store. Until `forget` is called
    the same words mean the same import."""
    note = _note_of(source)
    wish = {"ids": "new" if new_ids else "keep", "name": name, "embedding_model": model}
    facts = source.stat()
    mark = {"url": remote.url, "bytes": facts.st_size, "modified": facts.st_mtime_ns}
    known = _read(note)
    if {key: known.get(key) for key in mark} != mark:
        _checked(source)
        known = dict(mark)
    file = known.get("file") or _send(remote, source, note, known, moved)
    known["file"] = file
    _write(note, known)
    row = _wait(remote, _asked(remote, file, wish, note, known), moved)
    with suppress(ServerError):
        remote.delete(f"files/{file}")
    if row["status"] != "completed":
        forget(source)
        raise ServerError(f"The archive was refused: {row['error']}", exit_code=Exit.REFUSED, code="invalid_archive")
    return row


def forget(source: Path) -> None:
    """The caller knows what came of the import: the same words mean another from now on."""
    _note_of(source).unlink(missing_ok=True)


def _note_of(source: Path) -> Path:
    return source.with_name(f".{source.name}.import.json")


def _send(remote: Remote, source: Path, note: Path, known: Json, moved: Moved) -> str:
    whole = source.stat().st_size

    def keep() -> None:
        known.update(upload=parts.upload, parts=parts.parts)
        _write(note, known)

    parts = Parts(known.get("upload", ""), list(known.get("parts", ())), keep)
    with source.open("rb") as content:
        file = Outgoing(content, whole, source.name, media_type="application/x-tar")
        return send(remote, file, parts, lambda done: moved("upload", done, whole))


def _asked(remote: Remote, file: str, wish: Json, note: Path, known: Json) -> Json:
    """The import of this file with these wishes; one that an earlier run has asked for, heard or not, is the same."""
    if known.get("wish") == wish and "import" in known:
        try:
            return remote.get(f"imports/{known['import']}")
        except ServerError as error:
            if error.exit_code is not Exit.NOT_FOUND:
                raise
        del known["wish"]
    if known.get("wish") != wish:
        known |= {"wish": wish, "once": secrets.token_hex(16)}
        known.pop("import", None)
        _write(note, known)
    asked = {"file_id": file, **{key: value for key, value in wish.items() if value is not None}}
    row = remote.post("imports", asked, once=known["once"])
    known["import"] = row["id"]
    _write(note, known)
    return row


def _wait(remote: Remote, row: Json, moved: Moved) -> Json:
    while row["status"] == "in_progress":
        moved("import", row["bytes_done"], row["bytes"])
        time.sleep(LOOK_SECONDS)
        row = remote.get(f"imports/{row['id']}")
    return row


def _checked(archive: Path) -> None:
    """Its members and its manifest; everything else is looked at by whoever imports it."""
    try:
        with Archive(archive):
            pass
    except ArchiveRefused as error:
        raise ServerError(f"{archive}: {error.message}", exit_code=Exit.REFUSED, code="invalid_archive") from error
    except OSError as error:
        raise ServerError(f"{archive}: {error.strerror}", exit_code=Exit.NOT_FOUND) from error


# What a run leaves for the next one


def _read(note: Path) -> Json:
    try:
        found = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(note: Path, content: Json) -> None:
    """Whole or not at all; where it cannot be written, the next run begins anew."""
    fresh = note.with_name(f"{note.name}.{os.getpid()}")
    with suppress(OSError):
        fresh.write_text(json.dumps(content), "utf-8")
        fresh.replace(note)


# The commands


def _shown(output: Output, act: Callable[[Moved], Json]) -> Json:
    with output.progress(*SHOWN) as progress:
        tasks: dict[str, int] = {}

        def moved(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=whole)
            progress.update(tasks[what], completed=done)  # type: ignore[arg-type]  # a task's id is a number

        return act(moved)


@asking(patience_seconds=PATIENCE_SECONDS)
def export_command(
    ask: Asking,
    store: StoreArgument,
    target: Annotated[Path, typer.Option("--output", "-o", help="The archive to write.")],
) -> None:
    """Carry a store out as one file, as it is now, while it is in use."""
    found = store_id(ask.remote, store)
    export = _shown(ask.output, lambda moved: export_store(ask.remote, found, target, moved))
    ask.output.done(
        {**export, "path": str(target)},
        f"{target}: {export['files']:,} files, {export['chunks']:,} chunks, {size(export['bytes'])}",
    )


@asking(patience_seconds=PATIENCE_SECONDS)
def import_command(
    ask: Asking,
    archive: Annotated[Path, typer.Argument(help="An archive that `carrel export` wrote.")],
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Give store and files new ids.")] = False,
    name: Annotated[str | None, typer.Option(help="Another name for the store.")] = None,
    embedding_model: Annotated[str | None, typer.Option(help="Embed everything anew with this model.")] = None,
) -> None:
    """Make a store of an archive: whole, or not at all."""
    if not archive.is_file():  # before anything is asked
        raise ServerError(f"There is no file {archive}.", exit_code=Exit.NOT_FOUND, code="no_such_path")
    row = _shown(
        ask.output,
        lambda moved: import_archive(
            ask.remote, archive, new_ids=new_ids, name=name, model=embedding_model, moved=moved
        ),
    )
    what = "was here already, the same" if row["unchanged"] else f"is here, with {row['files']:,} files"
    ask.output.done(row, f"{row['vector_store_id']} {what}")
    forget(archive)
