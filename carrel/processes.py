"""What one process of the service does in the foreground: API, worker or beat."""

import functools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import typer
import uvicorn

from carrel.collecting import collect_rarely
from carrel.exits import Exit
from carrel.logs import configure
from carrel.protocol import guarded
from configs.settings import Settings
from ingest.cores import usable_cores
from ingest.embedding.fetch import fetch_model
from ingest.errors import IngestError
from retrieval.api.app import create_app
from retrieval.api.service import open_service
from workers.app import create_worker_app

LAST_SECONDS: Final = 10.0  # for an orderly end without a parent
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def tie(tied: bool) -> None:
    """End with the parent, also when it is killed and can tell nobody: its end of our standard input closes then."""
    if not tied:
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="tied to the parent", daemon=True).start()


def api_processes(settings: Settings) -> int:
    return settings.api.processes or usable_cores()


def run_api(settings: Settings, listening: socket.socket) -> None:
    """Serve from a socket that listens already, until told to end."""
    configure()
    if not settings.access.require_keys and settings.host not in LOOPBACK:
        typer.echo(f"Without keys the service listens on loopback only, not on {settings.host}.", err=True)
        raise typer.Exit(Exit.SETTINGS)
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


def run_worker(settings: Settings, queues: str, concurrency: int) -> None:
    """One process by itself, or, over a broker that is a server, several below one that listens for them.

    Over the spool a process works alone: several would wait for one lock, and one that is killed may hold it.
    """
    configure()
    count = concurrency or settings.workers.processes or usable_cores()
    alone = count == 1 or not settings.broker.url
    app = create_worker_app(settings, alone=alone)
    collect_rarely()
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--queues={queues}",
            *(["--pool=solo"] if alone else ["--pool=prefork", f"--concurrency={count}"]),
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--hostname=carrel-{os.getpid()}@%h",
        ]
    )


def run_beat(settings: Settings) -> None:
    configure()
    app = create_worker_app(settings, alone=True)
    app.Beat(loglevel="WARNING", quiet=True).run()


def fetch(settings: Settings) -> None:
    try:
        folder = fetch_model(settings.embedding.model, settings.embedding.models_dir)
    except IngestError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    typer.echo(f"{settings.embedding.model} is complete in {folder}")
