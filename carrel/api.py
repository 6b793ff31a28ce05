"""`carrel api`: one process that answers HTTP, or the parent of several."""

import functools
import socket
from collections.abc import Callable
from typing import Annotated, Any

import typer
import uvicorn

from carrel import supervisor
from carrel.exits import Exit
from carrel.listening import PortTaken, inherited, listen
from carrel.logs import configure
from carrel.options import ConfigOption
from carrel.protocol import guarded
from carrel.tied import TiedOption, tie
from configs.settings import Settings, load_settings
from ingest.collecting import collect_rarely
from retrieval.api.app import create_app
from retrieval.api.service import open_service


def api(
    config: ConfigOption = None,
    tied: TiedOption = False,
    listening: Annotated[int, typer.Option(hidden=True, help="Descriptor of a socket that listens.")] = -1,
) -> None:
    """Run the API in the foreground: one process, or as many as `api.processes` says."""
    tie(tied)
    settings = load_settings(file=config)
    problem = supervisor.open_to_anybody(settings)
    if problem is not None:
        typer.echo(problem, err=True)
        raise typer.Exit(Exit.SETTINGS)
    if listening >= 0:
        run_api(settings, inherited(listening))
        return
    try:
        socket = listen(settings.host, settings.port)
    except PortTaken as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.SETTINGS) from None
    if supervisor.api_processes(settings) == 1:
        run_api(settings, socket)
    else:
        raise typer.Exit(supervisor.serve_api(settings, config, socket))


def run_api(settings: Settings, listening: socket.socket) -> None:
    """Serve from a socket that listens already, until told to end."""
    configure()
    application = create_app(functools.partial(open_service, settings))
    server = uvicorn.Server(server_config(settings, application))
    collect_rarely()
    server.run([listening])
    if not server.started:
        raise typer.Exit(1)


def server_config(settings: Settings, application: Callable[..., Any]) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        loop="uvloop",
        http=guarded(settings.api.head_seconds, settings.api.stall_seconds),
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
