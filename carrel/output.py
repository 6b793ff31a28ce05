"""What commands say: tables and progress on a terminal, bare lines in a pipe, one JSON document with `--json`.

Answers go to standard output, everything else (progress, remarks, errors) to standard error. In a pipe a table is its
rows, columns parted by tabs, without a heading; progress is not shown. NO_COLOR is respected.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from carrel.exits import Exit
from carrel.failing import ServerError

_OBEYED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all control characters but tab and line feed
Columns = Mapping[str, str | tuple[str, ...]]  # headings, and the key (or path of keys) of what stands below


class Output:
    """How one run of a command answers."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=False)
        self.err = Console(stderr=True, highlight=False)

    @property
    def lively(self) -> bool:
        """Whether somebody sees what moves."""
        return self.err.is_terminal and not self.as_json

    def json(self, document: object) -> None:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2 if self.out.is_terminal else None) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
        """`right`: the columns that line up on the right."""
        if not self.out.is_terminal:
            for row in rows:
                sys.stdout.write("\t".join(_in_one_line(value) for value in row) + "\n")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(str(value))) for value in row))
        self.out.print(table)

    def say(self, text: Text, *, beside: bool = False, soft_wrap: bool = True) -> None:
        """A line of the answer, or `beside` it."""
        text.plain = plain(text.plain)
        (self.err if beside else self.out).print(text, soft_wrap=soft_wrap)

    def listing(
        self,
        items: Iterable[Mapping[str, object]],
        columns: Columns,
        *,
        right: Sequence[str] = (),
    ) -> None:
        """Items as the API has them."""
        if self.as_json:
            self.json({"object": "list", "data": list(items)})
            return
        paths = [(path,) if isinstance(path, str) else path for path in columns.values()]
        rows = [[shown(path[-1], reached(item, path)) for path in paths] for item in items]
        self.table(list(columns), rows, right=right)

    def item(self, item: Mapping[str, object], columns: Columns) -> None:
        """One thing: a line for each of its properties."""
        if self.as_json:
            self.json(item)
            return
        paths = {heading: (path,) if isinstance(path, str) else path for heading, path in columns.items()}
        self.table(["", ""], [[heading, shown(path[-1], reached(item, path))] for heading, path in paths.items()])

    def done(self, document: Mapping[str, object], sentence: str) -> None:
        """A deed: what came of it, as JSON, or in a sentence."""
        if self.as_json:
            self.json(document)
        else:
            self.say(Text(sentence))

    def remark(self, sentence: str, style: str = "") -> None:
        """Beside the answer; not part of it."""
        if not self.as_json:
            self.say(Text(sentence, style=style), beside=True)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ends the command unless a person agrees; where nobody can be asked, `--yes` must have been given."""
        if yes:
            return
        if self.as_json or not sys.stdin.isatty():
            raise ServerError(f"{question} Say --yes to go on.", exit_code=Exit.INCOMPLETE, code="not_confirmed")
        if not typer.confirm(question, err=True):
            raise typer.Exit(Exit.INCOMPLETE)

    @contextmanager
    def status(self, what: str) -> Iterator[None]:
        """A sign of life for what cannot be measured."""
        if not self.lively:
            yield
            return
        with self.err.status(what):
            yield

    def progress(self, *columns: ProgressColumn | str) -> Progress:
        """A display of what moves; invisible where nobody looks."""
        shown_columns = columns or (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        return Progress(*shown_columns, console=self.err, disable=not self.lively, transient=True)


def fail(error: ServerError, *, as_json: bool) -> None:
    """An error, on standard error: a sentence, or the shape that the API has for it."""
    if as_json:
        body = {"message": error.message, "code": error.code, "status": error.status, "param": error.param}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
        return
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("Error: ", "bold red"), plain(error.message)), soft_wrap=True)


def reached(item: object, path: Sequence[str]) -> object:
    for key in path:
        item = item.get(key) if isinstance(item, Mapping) else None
    return item


def shown(key: str, value: object) -> str:
    """A value as a person reads it; the name of its key says what it measures."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith(("_at", "_until")):
        return when(value)
    if isinstance(value, int | float) and (key == "bytes" or key.endswith("_bytes")):
        return size(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={inner}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(inner) for inner in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plain(text: str) -> str:
    """What others wrote (names, documents) without what a terminal would obey, each such sign as its picture."""
    return _OBEYED.sub(lambda sign: _pictured(ord(sign[0])), text)


def _pictured(code: int) -> str:
    return (
        chr(0x2400 + code) if code < 0x20 else "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
    )


def _in_one_line(value: object) -> str:
    return " ".join(plain(str(value)).split())
