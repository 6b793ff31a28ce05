"""The command `carrel`: what each word does stands in the room it names.

A group of words is a module with a typer `app`, added below. Its commands take the options of `carrel.options`, speak
to the server through `connect`, answer through `Output`, and raise `ServerError` when something is wrong: `main` is the
one place that turns errors into a sentence and an exit code. docs/cli.md lists every command, held by a test.
"""

import os
import sys
from typing import Annotated

import typer

from carrel import (
    backups,
    batches,
    bench,
    doctor,
    files,
    ingest,
    keys,
    migrate,
    moving,
    output,
    processes,
    refresh,
    reindex,
    search,
    stores,
    supervisor,
)
from carrel.exits import Exit
from carrel.listening import PortTaken, inherited, listen
from carrel.options import ConfigOption
from carrel.remote import ServerError
from carrel.version import version
from configs.settings import SettingsError, load_settings
from retrieval.errors import CatalogError

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
app.add_typer(keys.app, name="keys", help="Make, list and revoke API keys.")
app.add_typer(keys.projects, name="projects", help="List projects and set their limits.")
app.command()(ingest.ingest)
app.command()(search.search)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.add_typer(files.app, name="files", help="List, show, fetch and remove files.")
app.add_typer(batches.app, name="batches", help="Watch and stop the file batches of a store.")
app.command("export")(moving.export_command)
app.command("import")(moving.import_command)
app.command("backup")(backups.backup_command)
app.command("restore")(backups.restore_command)
app.add_typer(migrate.app, name="migrate", help="Bring over what another service holds.")
app.add_typer(refresh.app, name="refresh", help="Keep stores as their sources are, and read the reports.")
app.add_typer(reindex.app, name="reindex", help="Another model or chunking for a store that stays in use.")
app.add_typer(stores.app, name="stores", help="List, make, show and remove vector stores.")
model = typer.Typer(no_args_is_help=True)
app.add_typer(model, name="model", help="The local embedding model.")

TiedOption = Annotated[bool, typer.Option("--tied", hidden=True, help="End when standard input ends.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carrel {version()}")
        raise typer.Exit


@app.callback()
def carrel(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Self-hosted vector stores that speak OpenAI's API."""


@app.command()
def serve(
    config: ConfigOption = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no key; on loopback only.")] = False,
) -> None:
    """Start API, worker and beat on this machine, and keep them running until Ctrl-C."""
    settings = load_settings(file=config)
    if no_auth:
        settings = settings.model_copy(update={"access": settings.access.model_copy(update={"require_keys": False})})
    raise typer.Exit(supervisor.serve(settings, config))


@app.command()
def api(
    config: ConfigOption = None,
    tied: TiedOption = False,
    listening: Annotated[int, typer.Option(hidden=True, help="Descriptor of a socket that listens.")] = -1,
) -> None:
    """Run the API in the foreground: one process, or as many as `api.processes` says."""
    processes.tie(tied)
    settings = load_settings(file=config)
    if listening >= 0:
        processes.run_api(settings, inherited(listening))
        return
    try:
        socket = listen(settings.host, settings.port)
    except PortTaken as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.SETTINGS) from None
    if processes.api_processes(settings) == 1:
        processes.run_api(settings, socket)
    else:
        raise typer.Exit(supervisor.serve_api(settings, config, socket))


@app.command()
def worker(
    config: ConfigOption = None,
    queues: Annotated[str, typer.Option(help="Queues to serve, by commas.")] = "interactive,bulk,upkeep",
    concurrency: Annotated[int, typer.Option(help="Worker processes; 0: one per processor.")] = 0,
    tied: TiedOption = False,
) -> None:
    """Run one worker in the foreground."""
    processes.tie(tied)
    processes.run_worker(load_settings(file=config), queues, concurrency)


@app.command()
def beat(config: ConfigOption = None, tied: TiedOption = False) -> None:
    """Run the timetable in the foreground; one is enough, two do no harm."""
    processes.tie(tied)
    processes.run_beat(load_settings(file=config))


@model.command("fetch")
def fetch(config: ConfigOption = None) -> None:
    """Fetch the configured embedding model and verify it."""
    processes.fetch(load_settings(file=config))


def main() -> None:
    as_json = "--json" in sys.argv
    try:
        app(prog_name="carrel")
    except ServerError as error:
        output.fail(error, as_json=as_json)
        sys.exit(error.exit_code)
    except SettingsError as error:
        trouble = ServerError(f"The settings cannot be used:\n{error}", exit_code=Exit.SETTINGS, code="bad_settings")
        output.fail(trouble, as_json=as_json)
        sys.exit(Exit.SETTINGS)
    except CatalogError as error:
        trouble = ServerError(f"The catalog cannot be used: {error}", exit_code=Exit.UNAVAILABLE, code="catalog")
        output.fail(trouble, as_json=as_json)
        sys.exit(Exit.UNAVAILABLE)
    except BrokenPipeError:  # whoever read our lines has seen enough; the flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)
