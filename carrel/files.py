"""`carrel files`: list, show, fetch and remove uploaded files, or the files of a store."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from carrel.asking import Asking, asking
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import KeyOption, LimitOption, UrlOption, YesOption, connect
from carrel.output import Columns

app = typer.Typer(no_args_is_help=True, help=__doc__)

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="Id of the file.")]
StoreOption = Annotated[str | None, typer.Option("--store", "-s", help="Name or id of a store: its files are meant.")]
ThisStoreOption = Annotated[str, typer.Option("--store", "-s", help="Name or id of the store.")]

UPLOADED: Final[Columns] = {
    "id": "id",
    "name": "filename",
    "size": "bytes",
    "purpose": "purpose",
    "created": "created_at",
    "expires": "expires_at",
}
ATTACHED: Final[Columns] = {
    "id": "id",
    "status": "status",
    "size": "usage_bytes",
    "attributes": "attributes",
    "reason": ("last_error", "message"),
}
ATTACHED_DETAILS: Final[Columns] = {
    "id": "id",
    "store": "vector_store_id",
    "status": "status",
    "reason": ("last_error", "message"),
    "code": ("last_error", "code"),
    "size": "usage_bytes",
    "attached": "created_at",
    "attributes": "attributes",
}
STATUSES: Final = ("in_progress", "completed", "failed", "cancelled")


@app.command("list")
@asking()
def list_files(
    ask: Asking,
    store: StoreOption = None,
    status: Annotated[str | None, typer.Option(help=f"Of a store's files, only these: {', '.join(STATUSES)}.")] = None,
    limit: LimitOption = None,
) -> None:
    """List uploaded files, or with --store the files of one store and what became of them."""
    if status is not None and (store is None or status not in STATUSES):
        raise ServerError(f"--status is one of {', '.join(STATUSES)}, beside --store.", exit_code=Exit.USAGE)
    if store is None:
        ask.list("files", UPLOADED, most=limit, right=("size",))
    else:
        ask.list(f"{ask.store(store)}/files", ATTACHED, most=limit, right=("size",), filter=status)


@app.command()
@asking()
def show(ask: Asking, file: FileArgument, store: StoreOption = None) -> None:
    """Show one uploaded file, or what became of it in a store."""
    if store is None:
        ask.output.item(ask.remote.get(f"files/{file}"), UPLOADED)
    else:
        ask.output.item(ask.remote.get(f"{ask.store(store)}/files/{file}"), ATTACHED_DETAILS)


@app.command()
def get(
    file: FileArgument,
    into: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it; else standard output.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Fetch the bytes of an uploaded file."""
    if into is None and sys.stdout.isatty():
        raise ServerError("A terminal is no place for a file: say --output PATH, or pipe.", exit_code=Exit.USAGE)
    with connect(url, key) as remote, remote.download(f"files/{file}/content") as pieces:
        if into is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        whole = into.is_file() or not into.exists()  # a pipe or a terminal is written to as it is
        partial = into.with_name(f"{into.name}.part") if whole else into
        with partial.open("wb") as target:
            for piece in pieces:
                target.write(piece)
        if whole:
            partial.replace(into)


@app.command()
@asking()
def retry(ask: Asking, file: FileArgument, store: ThisStoreOption) -> None:
    """Begin again with one file of a store that failed."""
    _steer(ask, store, file, "retry")


@app.command()
@asking()
def cancel(ask: Asking, file: FileArgument, store: ThisStoreOption) -> None:
    """Stop work on one file of a store."""
    _steer(ask, store, file, "cancel")


@app.command("rm")
@asking()
def remove(
    ask: Asking,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Ids.")],
    store: StoreOption = None,
    yes: YesOption = False,
) -> None:
    """Remove uploaded files everywhere, or with --store take them out of one store only."""
    base = "files" if store is None else f"{ask.store(store)}/files"
    where = "everywhere" if store is None else f"from {store}"
    ask.output.confirm(f"Remove {len(files)} files {where}?", yes=yes)
    ask.remove([f"{base}/{file}" for file in files])


def _steer(ask: Asking, store: str, file: str, step: str) -> None:
    found = ask.remote.post(f"{ask.store(store)}/files/{file}/{step}")
    ask.output.done(found, f"{file} is {found['status']}.")
