"""`carrel stores`: list, make, show and remove vector stores; by name where only one has it, else by id."""

from typing import Annotated, Final

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import store_id, the_store
from carrel.options import JsonOption, KeyOption, LimitOption, UrlOption, YesOption, connect
from carrel.output import Columns, Output
from carrel.remote import Json

app = typer.Typer(no_args_is_help=True, help=__doc__)

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Name or id of the store.")]

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
def list_stores(
    limit: LimitOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the stores, newest first."""
    with connect(url, key) as remote:
        Output(as_json=as_json).listing(
            remote.pages("vector_stores", most=limit), COLUMNS, right=("files", "failed", "size")
        )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value; may be given more than once.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=365, help="Days without use until it expires.")] = None,
    embedding_model: Annotated[str | None, typer.Option(help="Model that it keeps for good.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty store and print its id."""
    body: Json = {"name": name, "metadata": pairs(metadata or [])}
    if description is not None:
        body["description"] = description
    if expires_days is not None:
        body["expires_after"] = {"anchor": "last_active_at", "days": expires_days}
    if embedding_model is not None:
        body["embedding_model"] = embedding_model
    with connect(url, key) as remote:
        made = remote.post("vector_stores", body)
    Output(as_json=as_json).done(made, made["id"])


@app.command()
def show(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show one store."""
    with connect(url, key) as remote:
        Output(as_json=as_json).item(the_store(remote, store), DETAILS)


@app.command()
def stats(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show segments, vector codes, recall as measured, and sizes."""
    with connect(url, key) as remote:
        found = remote.get(f"vector_stores/{store_id(remote, store)}/statistics")
    Output(as_json=as_json).item(found, STATISTICS)


@app.command()
def retry(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Begin again with every file of a store that failed."""
    with connect(url, key) as remote:
        found = remote.post(f"vector_stores/{store_id(remote, store)}/retry")
    Output(as_json=as_json).done(found, f"Begun again with {found['retried']} files.")


@app.command("rm")
def remove(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Names or ids.")],
    yes: YesOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove stores with all that they hold; uploaded files stay."""
    output = Output(as_json=as_json)
    with connect(url, key) as remote:
        found = [the_store(remote, store) for store in stores]
        names = ", ".join(f"{one['name'] or one['id']} ({one['file_counts']['total']} files)" for one in found)
        output.confirm(f"Remove {names}?", yes=yes)
        removed = [remote.delete(f"vector_stores/{one['id']}") for one in found]
    output.done({"object": "list", "data": removed}, f"Removed {', '.join(one['id'] for one in removed)}.")


def pairs(given: list[str]) -> dict[str, str]:
    """`key=value`, as often as given."""
    for pair in given:
        if "=" not in pair:
            raise ServerError(f"{pair!r} is not of the form key=value.", exit_code=Exit.USAGE)
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in given)}
