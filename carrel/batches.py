"""`carrel batches`: how far the file batches of a store are, which of their files failed, and stopping them."""

from typing import Annotated, Final

import typer

from carrel.exits import Exit
from carrel.files import ATTACHED, STATUSES
from carrel.following import follow
from carrel.naming import store_id
from carrel.options import JsonOption, KeyOption, LimitOption, UrlOption, connect
from carrel.output import Columns, Output

app = typer.Typer(no_args_is_help=True, help=__doc__)

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Name or id of the store.")]
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.")]

DETAILS: Final[Columns] = {
    "id": "id",
    "store": "vector_store_id",
    "status": "status",
    "in progress": ("file_counts", "in_progress"),
    "completed": ("file_counts", "completed"),
    "failed": ("file_counts", "failed"),
    "cancelled": ("file_counts", "cancelled"),
    "created": "created_at",
}


@app.command()
def show(
    store: StoreArgument,
    batch: BatchArgument,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one batch."""
    with connect(url, key) as remote:
        found = remote.get(f"vector_stores/{store_id(remote, store)}/file_batches/{batch}")
    Output(as_json=as_json).item(found, DETAILS)


@app.command()
def files(
    store: StoreArgument,
    batch: BatchArgument,
    status: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(STATUSES)}.")] = None,
    limit: LimitOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the files of a batch, and why those failed that did."""
    with connect(url, key) as remote:
        path = f"vector_stores/{store_id(remote, store)}/file_batches/{batch}/files"
        Output(as_json=as_json).listing(remote.pages(path, most=limit, filter=status), ATTACHED, right=("size",))


@app.command()
def wait(
    store: StoreArgument,
    batch: BatchArgument,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until all files of a batch have settled, and show how far it is meanwhile."""
    output = Output(as_json=as_json)
    with connect(url, key, patience_seconds=60) as remote:
        path = f"vector_stores/{store_id(remote, store)}/file_batches/{batch}"
        follow(remote, path, output)
        found = remote.get(path)
    output.item(found, DETAILS)
    if found["file_counts"]["failed"] or found["file_counts"]["cancelled"]:
        raise typer.Exit(Exit.INCOMPLETE)


@app.command()
def cancel(
    store: StoreArgument,
    batch: BatchArgument,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop work on the files of a batch that are not done; those that are done stay."""
    with connect(url, key) as remote:
        found = remote.post(f"vector_stores/{store_id(remote, store)}/file_batches/{batch}/cancel")
    Output(as_json=as_json).item(found, DETAILS)
