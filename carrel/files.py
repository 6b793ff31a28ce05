"""`carrel files`: list, show, fetch and remove uploaded files, or the files of a store."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import store_id
from carrel.options import JsonOption, KeyOption, LimitOption, UrlOption, YesOption, connect
from carrel.output import Columns, Output

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
def list_files(
    store: StoreOption = None,
    status: Annotated[str | None, typer.Option(help=f"Of a store's files, only these: {', '.join(STATUSES)}.")] = None,
    limit: LimitOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List uploaded files, or with --store the files of one store and what became of them."""
    output = Output(as_json=as_json)
    if status is not None and (store is None or status not in STATUSES):
        raise ServerError(f"--status is one of {', '.join(STATUSES)}, beside --store.", exit_code=Exit.USAGE)
    with connect(url, key) as remote:
        if store is None:
            output.listing(remote.pages("files", most=limit), UPLOADED, right=("size",))
        else:
            path = f"vector_stores/{store_id(remote, store)}/files"
            output.listing(remote.pages(path, most=limit, filter=status), ATTACHED, right=("size",))


@app.command()
def show(
    file: FileArgument,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one uploaded file, or what became of it in a store."""
    output = Output(as_json=as_json)
    with connect(url, key) as remote:
        if store is None:
            output.item(remote.get(f"files/{file}"), UPLOADED)
        else:
            output.item(remote.get(f"vector_stores/{store_id(remote, store)}/files/{file}"), ATTACHED_DETAILS)


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
        try:
            with into.open("wb") as target:
                for piece in pieces:
                    target.write(piece)
        except OSError as error:
            raise ServerError(f"{into} cannot be written: {error.strerror}.", exit_code=Exit.NOT_FOUND) from error


@app.command()
def retry(
    file: FileArgument,
    store: ThisStoreOption,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin again with one file of a store that failed."""
    with connect(url, key) as remote:
        found = remote.post(f"vector_stores/{store_id(remote, store)}/files/{file}/retry")
    Output(as_json=as_json).done(found, f"{file} is {found['status']}.")


@app.command()
def cancel(
    file: FileArgument,
    store: ThisStoreOption,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop work on one file of a store."""
    with connect(url, key) as remote:
        found = remote.post(f"vector_stores/{store_id(remote, store)}/files/{file}/cancel")
    Output(as_json=as_json).done(found, f"{file} is {found['status']}.")


@app.command("rm")
def remove(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Ids.")],
    store: StoreOption = None,
    yes: YesOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove uploaded files everywhere, or with --store take them out of one store only."""
    output = Output(as_json=as_json)
    with connect(url, key) as remote:
        base = "files" if store is None else f"vector_stores/{store_id(remote, store)}/files"
        where = "everywhere" if store is None else f"from {store}"
        output.confirm(f"Remove {len(files)} files {where}?", yes=yes)
        removed = [remote.delete(f"{base}/{file}") for file in files]
    output.done({"object": "list", "data": removed}, f"Removed {', '.join(one['id'] for one in removed)}.")
