"""The command `carrel`: what each word does stands in the room it names."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from carrel import keys, processes, supervisor
from configs.settings import Settings, SettingsError, load_settings

SETTINGS_WRONG: Final = 78  # the exit code that systems know for bad configuration

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(keys.app, name="keys", help="Make, list and revoke API keys.")
app.add_typer(keys.projects, name="projects", help="List projects and set their limits.")
model = typer.Typer(no_args_is_help=True)
app.add_typer(model, name="model", help="The local embedding model.")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings; the environment wins over it.")
]
TiedOption = Annotated[bool, typer.Option("--tied", hidden=True, help="End when standard input ends.")]


def settings_or_exit(config: Path | None) -> Settings:
    try:
        return load_settings(file=config)
    except SettingsError as error:
        typer.echo(f"The settings cannot be used:\n{error}", err=True)
        raise typer.Exit(SETTINGS_WRONG) from None


@app.command()
def serve(
    config: ConfigOption = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no key; on loopback only.")] = False,
) -> None:
    """Start API, worker and beat on this machine, and keep them running until Ctrl-C."""
    settings = settings_or_exit(config)
    if no_auth:
        settings = settings.model_copy(update={"access": settings.access.model_copy(update={"require_keys": False})})
    raise typer.Exit(supervisor.serve(settings, config))


@app.command()
def api(config: ConfigOption = None, tied: TiedOption = False) -> None:
    """Run one API process in the foreground."""
    processes.tie(tied)
    processes.run_api(settings_or_exit(config))


@app.command()
def worker(
    config: ConfigOption = None,
    queues: Annotated[str, typer.Option(help="Queues to serve, by commas.")] = "interactive,bulk,upkeep",
    concurrency: Annotated[int, typer.Option(help="Worker processes; 0: one per processor.")] = 0,
    tied: TiedOption = False,
) -> None:
    """Run one worker in the foreground."""
    processes.tie(tied)
    processes.run_worker(settings_or_exit(config), queues, concurrency)


@app.command()
def beat(config: ConfigOption = None, tied: TiedOption = False) -> None:
    """Run the timetable in the foreground; one is enough, two do no harm."""
    processes.tie(tied)
    processes.run_beat(settings_or_exit(config))


@model.command("fetch")
def fetch(config: ConfigOption = None) -> None:
    """Fetch the configured embedding model and verify it."""
    processes.fetch(settings_or_exit(config))


def main() -> None:
    app(prog_name="carrel")
    sys.exit(0)
