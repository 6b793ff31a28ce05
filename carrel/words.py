"""Words of the command line, each the name of a room that is entered only when the word is said.

All rooms together take seconds to load; whoever asks for help, or for a list of stores, needs none or one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from click import Command, Context
from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Word:
    room: str  # a module
    name: str  # in it: the function of one command, or a typer app of several
    help: str

    def command(self, said: str) -> Command:
        found = getattr(import_module(self.room), self.name)
        if not isinstance(found, Typer):
            app = Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(said)(found)
            found = app
        command = get_command(found)
        command.name = said
        return command


class Words(TyperGroup):
    """A group that lists its words without entering their rooms."""

    words: ClassVar[Mapping[str, Word]] = {}

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(self.words)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002 - click's own signature
        word = self.words.get(cmd_name)
        return None if word is None else Command(cmd_name, help=word.help)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else self.words[name].command(name), rest

    def whole(self) -> dict[str, Any]:
        """Every command, its room entered."""
        return {name: word.command(name) for name, word in self.words.items()}
