"""docs/cli.md names every command and every exit code, and no others."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from carrel.cli import Carrel, app
from carrel.exits import Exit
from carrel.words import Words

ANSWERS_IN_BYTES = "carrel files get"
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def section(title: str) -> str:
    return PAGE.read_text("utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(group: TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand]]:
    inside = group.whole() if isinstance(group, Words) else group.commands
    for name, command in inside.items():
        if command.hidden:
            continue
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{path} {name}", command


def every_command() -> dict[str, TyperCommand]:
    found = get_command(app)
    assert isinstance(found, TyperGroup)
    return dict(commands(found, "carrel"))


def test_help_says_of_each_command_what_its_room_says() -> None:
    for name, word in Carrel.words.items():
        command = word.command(name)
        if not isinstance(command, TyperGroup):
            assert (command.help or "").split("\n\n")[0] == word.help, name


def test_asking_for_help_enters_no_room() -> None:
    program = "import sys; from carrel.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not {"httpx", "pydantic", "sqlalchemy", "fastapi", "celery", "numpy"} & set(asked.stdout.split())


def test_every_command_has_a_line() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", section("Commands"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(every_command())


def test_every_command_and_option_says_what_it_is_for() -> None:
    for path, command in every_command().items():
        assert command.help, f"{path} has no help"
        for parameter in command.params:
            if isinstance(parameter, TyperOption) and not parameter.hidden:
                assert parameter.help, f"{path} {parameter.opts[0]} has no help"


def test_commands_that_speak_to_a_server_can_be_told_where_it_is_and_answer_in_json() -> None:
    for path, command in every_command().items():
        options = {name for parameter in command.params for name in parameter.opts}
        if "--url" in options and path != ANSWERS_IN_BYTES:
            assert {"--key", "--json"} <= options, path


def test_every_exit_code_has_a_line() -> None:
    listed = dict(re.findall(r"^\| (\d+) \| (.+) \|$", section("Exit codes"), re.MULTILINE))
    assert listed == {str(int(code)): code.meaning for code in Exit}
