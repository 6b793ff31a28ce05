"""`carrel batches`: how far the file batches of a store are, which of their files failed, and stopping them."""

from typing import Annotated, Final

import typer

from carrel.asking import Asking, StoreArgument, asking
from carrel.exits import Exit
from carrel.files import ATTACHED, STATUSES
from carrel.following import follow
from carrel.options import LimitOption
from carrel.output import Columns

app = typer.Typer(no_args_is_help=True, help=__doc__)

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
@asking()
def show(ask: Asking, store: StoreArgument, batch: BatchArgument) -> None:
    """Show one batch."""
    ask.output.item(ask.remote.get(_path(ask, store, batch)), DETAILS)


@app.command()
@asking()
def files(
    ask: Asking,
    store: StoreArgument,
    batch: BatchArgument,
    status: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(STATUSES)}.")] = None,
    limit: LimitOption = None,
) -> None:
    """List the files of a batch, and why those failed that did."""
    ask.list(f"{_path(ask, store, batch)}/files", ATTACHED, most=limit, right=("size",), filter=status)


@app.command()
@asking(patience_seconds=60)
def wait(ask: Asking, store: StoreArgument, batch: BatchArgument) -> None:
    """Wait until all files of a batch have settled, and show how far it is meanwhile."""
    path = _path(ask, store, batch)
    follow(ask.remote, path, ask.output)
    found = ask.remote.get(path)
    ask.output.item(found, DETAILS)
    if found["file_counts"]["failed"] or found["file_counts"]["cancelled"]:
        raise typer.Exit(Exit.INCOMPLETE)


@app.command()
@asking()
def cancel(ask: Asking, store: StoreArgument, batch: BatchArgument) -> None:
    """Stop work on the files of a batch that are not done; those that are done stay."""
    ask.output.item(ask.remote.post(f"{_path(ask, store, batch)}/cancel"), DETAILS)


def _path(ask: Asking, store: str, batch: str) -> str:
    return f"{ask.store(store)}/file_batches/{batch}"
