"""`carrel stores`: list, make, show and remove vector stores; by name where only one has it, else by id."""

from typing import Annotated, Final

import typer

from carrel.asking import Asking, StoreArgument, asking
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import the_store
from carrel.options import LimitOption, YesOption
from carrel.output import Columns
from carrel.remote import Json

app = typer.Typer(no_args_is_help=True, help=__doc__)

COLUMNS: Final[Columns] = {
    "id": "id",
    "name": "name",
    "status": "status",
    "files": ("file_counts", "total"),
    "failed": ("file_counts", "failed"),
    "size": "usage_bytes",
    "last active": "last_active_at",
}
DETAILS: Final[Columns] = {
    "id": "id",
    "name": "name",
    "description": "description",
    "status": "status",
    "files": "file_counts",
    "size": "usage_bytes",
    "created": "created_at",
    "last active": "last_active_at",
    "expires": "expires_at",
    "metadata": "metadata",
}
STATISTICS: Final[Columns] = {
    "id": "vector_store_id",
    "generation": "generation",
    "model": "embedding_model",
    "dimension": "embedding_dimension",
    "size": "usage_bytes",
    "files": "file_counts",
    "documents": "documents_living",
    "segments": ("segments", "live"),
    "chunks stored": ("segments", "rows"),
    "chunks living": ("segments", "rows_living"),
    "segment size": ("segments", "bytes"),
    "coded segments": ("index", "coded_segments"),
    "codes size": ("index", "bytes"),
    "recall at 10": ("index", "recall"),
}


@app.command("list")
@asking()
def list_stores(ask: Asking, limit: LimitOption = None) -> None:
    """List the stores, newest first."""
    ask.list("vector_stores", COLUMNS, most=limit, right=("files", "failed", "size"))


@app.command()
@asking()
def create(
    ask: Asking,
    name: Annotated[str, typer.Argument(help="Its name.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value; may be given more than once.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=365, help="Days without use until it expires.")] = None,
    embedding_model: Annotated[str | None, typer.Option(help="Model that it keeps for good.")] = None,
) -> None:
    """Make an empty store and print its id."""
    body: Json = {"name": name, "metadata": pairs(metadata or [])}
    if description is not None:
        body["description"] = description
    if expires_days is not None:
        body["expires_after"] = {"anchor": "last_active_at", "days": expires_days}
    if embedding_model is not None:
        body["embedding_model"] = embedding_model
    made = ask.remote.post("vector_stores", body)
    ask.output.done(made, made["id"])


@app.command()
@asking()
def show(ask: Asking, store: StoreArgument) -> None:
    """Show one store."""
    ask.output.item(the_store(ask.remote, store), DETAILS)


@app.command()
@asking()
def stats(ask: Asking, store: StoreArgument) -> None:
    """Show segments, vector codes, recall as measured, and sizes."""
    ask.output.item(ask.remote.get(f"{ask.store(store)}/statistics"), STATISTICS)


@app.command()
@asking()
def retry(ask: Asking, store: StoreArgument) -> None:
    """Begin again with every file of a store that failed."""
    found = ask.remote.post(f"{ask.store(store)}/retry")
    ask.output.done(found, f"Begun again with {found['retried']} files.")


@app.command("rm")
@asking()
def remove(
    ask: Asking,
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Names or ids.")],
    yes: YesOption = False,
) -> None:
    """Remove stores with all that they hold; uploaded files stay."""
    found = [the_store(ask.remote, store) for store in stores]
    names = ", ".join(f"{one['name'] or one['id']} ({one['file_counts']['total']} files)" for one in found)
    ask.output.confirm(f"Remove {names}?", yes=yes)
    ask.remove([f"vector_stores/{one['id']}" for one in found])


def pairs(given: list[str]) -> dict[str, str]:
    """`key=value`, as often as given."""
    for pair in given:
        if "=" not in pair:
            raise ServerError(f"{pair!r} is not of the form key=value.", exit_code=Exit.USAGE)
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in given)}
