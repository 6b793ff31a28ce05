"""Words of the command line, each the name of a room that is entered only when the word is said.

All rooms together take seconds to load; whoever asks for help, or for a list of stores, needs none or one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Word:
    room: str  # a module
    name: str  # in it: the function of one command, or a typer app of several
    help: str

    def command(self, said: str) -> TyperCommand | TyperGroup:
        found = getattr(import_module(self.room), self.name)
        if not isinstance(found, Typer):
            app = Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(said)(found)
            found = app
        command = get_command(found)
        assert isinstance(command, TyperCommand | TyperGroup)
        command.name = said
        return command


class Words(TyperGroup):
    """A group that lists its words without entering their rooms."""

    words: ClassVar[Mapping[str, Word]] = {}

    # `ctx` is of a class that typer keeps to itself.

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's own signature
        return list(self.words)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002 - typer's own signature
        """Enough of it for a line of help."""
        word = self.words.get(cmd_name)
        return None if word is None else TyperCommand(cmd_name, help=word.help)

    def resolve_command(
        self, ctx: Any, args: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else self.words[name].command(name), rest

    def whole(self) -> dict[str, TyperCommand | TyperGroup]:
        """Every command, its room entered."""
        return {name: word.command(name) for name, word in self.words.items()}
