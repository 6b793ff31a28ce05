"""`carrel serve`, `api`, `worker`, `beat` and `model fetch`: the processes of the service."""

from typing import Annotated

import typer

from carrel import processes, supervisor
from carrel.exits import Exit
from carrel.listening import PortTaken, inherited, listen
from carrel.options import ConfigOption
from configs.settings import load_settings

model = typer.Typer(no_args_is_help=True, help="The local embedding model.")

TiedOption = Annotated[bool, typer.Option("--tied", hidden=True, help="End when standard input ends.")]


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


def worker(
    config: ConfigOption = None,
    queues: Annotated[str, typer.Option(help="Queues to serve, by commas.")] = "interactive,bulk,upkeep",
    concurrency: Annotated[int, typer.Option(help="Worker processes; 0: one per processor.")] = 0,
    tied: TiedOption = False,
) -> None:
    """Run one worker in the foreground."""
    processes.tie(tied)
    processes.run_worker(load_settings(file=config), queues, concurrency)


def beat(config: ConfigOption = None, tied: TiedOption = False) -> None:
    """Run the timetable in the foreground; one is enough, two do no harm."""
    processes.tie(tied)
    processes.run_beat(load_settings(file=config))


@model.command("fetch")
def fetch(config: ConfigOption = None) -> None:
    """Fetch the configured embedding model and verify it."""
    processes.fetch(load_settings(file=config))
