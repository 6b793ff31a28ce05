"""`carrel worker` and `carrel beat`: who works, and who keeps the timetable."""

import os
from typing import Annotated

import typer

from carrel.logs import configure
from carrel.options import ConfigOption
from carrel.tied import TiedOption, tie
from configs.settings import Settings, load_settings
from ingest.collecting import collect_rarely
from ingest.cores import usable_cores
from workers.app import create_worker_app


def worker(
    config: ConfigOption = None,
    queues: Annotated[str, typer.Option(help="Queues to serve, by commas.")] = "interactive,bulk,upkeep",
    concurrency: Annotated[int, typer.Option(help="Worker processes; 0: one per processor.")] = 0,
    tied: TiedOption = False,
) -> None:
    """Run one worker in the foreground."""
    tie(tied)
    run_worker(load_settings(file=config), queues, concurrency)


def beat(config: ConfigOption = None, tied: TiedOption = False) -> None:
    """Run the timetable in the foreground; one is enough, two do no harm."""
    tie(tied)
    run_beat(load_settings(file=config))


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
            "--loglevel=INFO",
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
