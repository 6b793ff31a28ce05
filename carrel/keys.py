"""`carrel keys`: make, list and revoke API keys in the catalog that the settings name."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from configs.settings import load_settings
from retrieval.api.service import first_project, pepper_of
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.transaction import Catalog
from retrieval.ids import KeyId, new_key_id, new_project_id
from retrieval.resources import catalog_url

app = typer.Typer(no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
ProjectOption = Annotated[str, typer.Option(help="Name of the project; made if there is none of it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    project: ProjectOption = "default",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; may be given more than once.")] = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it; it is shown this once."""
    settings = load_settings(file=config)
    secret = f"sk-carrel-{secrets.token_urlsafe(32)}"
    with Catalog.open(catalog_url(settings)) as catalog:
        first_project(catalog)
        with catalog.transaction() as tx:
            found = tx.projects.named(project) or tx.projects.add(new_project_id(), project, catalog.now())
            scopes = tuple(scope or (Scope.READ, Scope.WRITE))
            hashed = hash_of(secret, pepper_of(settings))
            tx.keys.add(NewKey(new_key_id(), found.id, name, hashed, hint_of(secret), scopes), catalog.now())
    typer.echo(secret)


@app.command("list")
def list_keys(project: ProjectOption = "default", config: ConfigOption = None) -> None:
    """List the keys of a project, without the keys themselves."""
    settings = load_settings(file=config)
    with Catalog.open(catalog_url(settings)) as catalog, catalog.reading() as tx:
        found = tx.projects.named(project)
        for key in tx.keys.all(found.id) if found else ():
            state = "valid" if key.valid_at(catalog.now()) else "not valid"
            typer.echo(f"{key.id}  {key.hint}  {','.join(sorted(key.scopes))}  {state}  {key.name}")


@app.command()
def revoke(key: str, project: ProjectOption = "default", config: ConfigOption = None) -> None:
    """Revoke a key by its id; running servers notice within seconds."""
    settings = load_settings(file=config)
    with Catalog.open(catalog_url(settings)) as catalog, catalog.transaction() as tx:
        found = tx.projects.named(project)
        if found is None:
            typer.echo(f"There is no project named {project!r}.", err=True)
            raise typer.Exit(1)
        tx.keys.revoke(found.id, KeyId(key), catalog.now())
    typer.echo(f"{key} is revoked.")
