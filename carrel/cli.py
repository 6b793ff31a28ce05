"""The command `carrel`: what each word does stands in the room it names.

A room is a module with a function for a command, or with a typer `app` for a group of them, and is entered when its
word is said (`carrel.words`). Commands that ask a server are handed an `Asking`, which has the connection and the
`Output`; all raise `ServerError` when something is wrong: `main` is the one place that turns errors into a sentence and
an exit code. docs/cli.md lists every command, held by a test.
"""

import errno
import os
import sys
from typing import Annotated, ClassVar, Final

import typer

from carrel import output
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.version import version
from carrel.words import Word, Words
from configs.errors import SettingsError
from retrieval.errors import CatalogError, StorageError


class Carrel(Words):
    words: ClassVar[dict[str, Word]] = {
        "serve": Word(
            "carrel.running",
            "serve",
            "Start API, worker and beat on this machine, and keep them running until Ctrl-C.",
        ),
        "api": Word(
            "carrel.api", "api", "Run the API in the foreground: one process, or as many as `api.processes` says."
        ),
        "worker": Word("carrel.worker", "worker", "Run one worker in the foreground."),
        "beat": Word("carrel.worker", "beat", "Run the timetable in the foreground; one is enough, two do no harm."),
        "ingest": Word(
            "carrel.ingest",
            "ingest",
            "Bring files and folders into a store: whatever is new there or has changed since.",
        ),
        "search": Word("carrel.search", "search", "Search a store."),
        "doctor": Word(
            "carrel.doctor", "doctor", "Check every part of the set-up, and say what to do about what is wrong."
        ),
        "bench": Word(
            "carrel.bench", "bench", "Measure this server from here, with documents of its own that are removed again."
        ),
        "export": Word(
            "carrel.moving", "export_command", "Carry a store out as one file, as it is now, while it is in use."
        ),
        "import": Word("carrel.moving", "import_command", "Make a store of an archive: whole, or not at all."),
        "backup": Word(
            "carrel.backups",
            "backup_command",
            "Back up the installation of the settings while it runs; copies only what is new.",
        ),
        "restore": Word("carrel.backups", "restore_command", "Make an installation of a backup, looked at before."),
        "keys": Word("carrel.keys", "app", "Make, list and revoke API keys."),
        "projects": Word("carrel.keys", "projects", "List projects and set their limits."),
        "files": Word("carrel.files", "app", "List, show, fetch and remove files."),
        "batches": Word("carrel.batches", "app", "Watch and stop the file batches of a store."),
        "migrate": Word("carrel.migrate", "app", "Bring over what another service holds."),
        "refresh": Word("carrel.refresh", "app", "Keep stores as their sources are, and read the reports."),
        "reindex": Word("carrel.reindex", "app", "Another model or chunking for a store that stays in use."),
        "stores": Word("carrel.stores", "app", "List, make, show and remove vector stores."),
        "model": Word("carrel.running", "model", "The local embedding model."),
    }


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

app = typer.Typer(cls=Carrel, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


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


def main() -> None:
    try:
        app(prog_name="carrel")
    except BrokenPipeError:  # whoever read our lines has seen enough; the flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)
    except (ServerError, SettingsError, CatalogError, StorageError, OSError) as error:
        trouble = _told(error)
        if trouble is None:
            raise
        output.fail(trouble, as_json="--json" in sys.argv)
        sys.exit(trouble.exit_code)


def _told(error: Exception) -> ServerError | None:
    """What a command fails of, as a sentence and an exit code; None: nobody foresaw it."""
    match error:
        case ServerError():
            return error
        case SettingsError():
            return ServerError(f"The settings cannot be used:\n{error}", exit_code=Exit.SETTINGS, code="bad_settings")
        case CatalogError():
            return ServerError(f"The catalog cannot be used: {error}", exit_code=Exit.UNAVAILABLE, code="catalog")
        case StorageError():
            return ServerError(f"The storage cannot be used: {error}", exit_code=Exit.UNAVAILABLE, code="storage")
        case OSError() if error.errno in _FULL:
            return ServerError(f"This machine: {error.strerror}.", exit_code=Exit.UNAVAILABLE, code="disk_full")
        case OSError() if error.filename is not None:
            return ServerError(f"{error.filename}: {error.strerror}.", exit_code=Exit.NOT_FOUND, code="no_such_path")
    return None
