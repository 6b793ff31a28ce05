"""What commands have in common that ask a server: the options that say which one, a connection, and how to answer."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Concatenate

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import store_id
from carrel.options import JsonOption, KeyOption, UrlOption, connect
from carrel.output import Columns, Output
from carrel.remote import Json, Remote

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Name or id of the store.")]


@dataclass(frozen=True, slots=True)
class Asking:
    """One run of a command: whom it asks, and how it answers."""

    remote: Remote
    output: Output

    def store(self, given: str) -> str:
        """The path of the store with that id, or else of the only one with that name."""
        return f"vector_stores/{store_id(self.remote, given)}"

    def list(
        self, path: str, columns: Columns, *, most: int | None = None, right: tuple[str, ...] = (), **parameters: object
    ) -> None:
        """What the API lists page by page, as one list."""
        self.output.listing(self.remote.pages(path, most=most, **parameters), columns, right=right)

    def remove(self, paths: Sequence[str]) -> None:
        """All of them; what is not there is told at the end, and keeps nothing else."""
        gone, absent = list[Json](), list[ServerError]()
        for path in paths:
            try:
                gone.append(self.remote.delete(path))
            except ServerError as error:
                if error.exit_code is not Exit.NOT_FOUND:
                    raise
                absent.append(error)
        if gone or not absent:
            self.output.done({"object": "list", "data": gone}, f"Removed {', '.join(one['id'] for one in gone)}.")
        if absent:
            raise absent[0]


Command = Callable[Concatenate[Asking, ...], None]


def asking(*, patience_seconds: float = 0.0) -> Callable[[Command], Callable[..., None]]:
    """Give a command `--url`, `--key` and `--json`, and hand it what they say as its first argument."""

    def decorated(command: Command) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, url: str | None, key: str | None, as_json: bool, **own: object) -> None:
            with connect(url, key, patience_seconds=patience_seconds) as remote:
                command(Asking(remote, Output(as_json=as_json)), **own)

        own = list(inspect.signature(command).parameters.values())[1:]
        shared = inspect.signature(_shared).parameters.values()
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # typer reads it
        return run

    return decorated


def _shared(url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """The options that all of them have."""
