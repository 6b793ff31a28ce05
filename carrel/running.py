"""`carrel serve` and `carrel model fetch`."""

import sys
from typing import Annotated

import typer

from carrel import supervisor
from carrel.options import ConfigOption
from configs.settings import load_settings
from ingest.embedding.fetch import fetch_model
from ingest.errors import IngestError

model = typer.Typer(no_args_is_help=True, help="The local embedding model.")


@model.callback()
def of_model() -> None:
    """The local embedding model."""


def serve(
    config: ConfigOption = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no key; on loopback only.")] = False,
) -> None:
    """Start API, worker and beat on this machine, and keep them running until Ctrl-C."""
    settings = load_settings(file=config)
    if no_auth:
        settings = settings.model_copy(update={"access": settings.access.model_copy(update={"require_keys": False})})
    raise typer.Exit(supervisor.serve(settings, config))


@model.command("fetch")
def fetch(config: ConfigOption = None) -> None:
    """Fetch the configured embedding model and verify it."""
    settings = load_settings(file=config)
    try:
        folder = fetch_model(settings.embedding.model, settings.embedding.models_dir)
    except IngestError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    typer.echo(f"{settings.embedding.model} is complete in {folder}")
