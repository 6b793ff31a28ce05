"""`carrel ingest PATH…`: files and folders into a store; a repeat uploads only what is new or changed."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.following import counts, sentence, span
from carrel.ledger import Ledger
from carrel.loading import HASH, PATH, PATIENCE_SECONDS, Failure, Loader, Report, Watch
from carrel.naming import no_store, store_named
from carrel.options import JsonOption, KeyOption, UrlOption, connect
from carrel.output import Output, size
from carrel.remote import Json, Remote
from carrel.search import typed
from carrel.walking import Found, Wanted, name_of, walk

FAILURES_SHOWN: Final = 50


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    store: Annotated[
        str, typer.Option("--store", "-s", help="Name or id of the store; made if no store has that name.")
    ],
    include: Annotated[list[str] | None, typer.Option(help="Only files that match, as in .gitignore.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files or folders that match.")] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also names that begin with a dot.")] = False,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Heed no .gitignore and no .carrelignore.")] = False,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", help="key=value for each file; may be given more than once."),
    ] = None,
    base: Annotated[
        Path, typer.Option(help="Folder below which the attribute `path` begins; the current one.", show_default=False)
    ] = Path(),
    chunk_tokens: Annotated[int | None, typer.Option(help="Static chunks of at most so many tokens.")] = None,
    chunk_overlap: Annotated[
        int | None, typer.Option(help="Tokens that two static chunks share; beside --chunk-tokens.")
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", "-j", min=1, max=32, help="Uploads at once.")] = 4,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files that are meant.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring files and folders into a store: whatever is new there or has changed since."""
    output = Output(as_json=as_json)
    if chunk_overlap is not None and chunk_tokens is None:
        raise ServerError("--chunk-overlap goes with --chunk-tokens: how large are the chunks?", exit_code=Exit.USAGE)
    for path in paths:
        if not path.exists():
            raise ServerError(f"There is no file or folder {path}.", exit_code=Exit.NOT_FOUND, code="no_such_path")
    wanted = Wanted(base.resolve(), include or (), exclude or (), hidden=hidden, ignore_files=not no_ignore)
    attributes = _attributes(attribute or ())
    with output.status("Looking for files"):
        files, closed = _meant(paths, wanted)
    if dry_run:
        _list(output, files, closed)
        return
    chunking: Json | None = None
    if chunk_tokens is not None:
        numbers = {"max_chunk_size_tokens": chunk_tokens, "chunk_overlap_tokens": chunk_overlap or 0}
        chunking = {"type": "static", "static": numbers}
    begun = time.monotonic()
    with connect(url, key, patience_seconds=PATIENCE_SECONDS) as remote:
        remote.check()
        found = store_named(remote, store)
        if found is None:
            if store.startswith("vs_"):
                raise no_store(store)
            found = remote.post("vector_stores", {"name": store})
            output.remark(f"Made the store {store} ({found['id']}).")
        with Ledger.open(found["id"], os.environ) as ledger, _Display(output, remote, found["id"], files) as display:
            loader = Loader(
                remote,
                found["id"],
                ledger,
                attributes=attributes,
                chunking=chunking,
                concurrency=concurrency,
                retry_failed=retry,
                watch=display.watch,
            )
            try:
                report = loader.run(files)
            except KeyboardInterrupt:
                display.stop()
                output.remark(
                    "Interrupted. The server goes on with what is attached; repeat the command to go on here."
                )
                raise typer.Exit(Exit.INTERRUPTED) from None
    for one in closed:
        report.fail(one.path, one.code, one.message)
    _tell(output, report, store, len(files), time.monotonic() - begun)
    if report.failures:
        raise typer.Exit(Exit.INCOMPLETE)


def _meant(paths: Sequence[Path], wanted: Wanted) -> tuple[list[Found], list[Failure]]:
    """The files, and the folders that cannot be looked into."""
    closed: list[Failure] = []

    def pass_over(folder: Path, error: OSError) -> None:
        name = name_of(folder, wanted.base)
        closed.append(Failure(name, "unreadable", f"The folder cannot be read: {error.strerror}."))

    try:
        return list(walk(paths, wanted, pass_over)), closed
    except ValueError as error:
        raise ServerError(f"A pattern is not as in .gitignore: {error}", exit_code=Exit.USAGE) from error


def _list(output: Output, files: Sequence[Found], closed: Sequence[Failure]) -> None:
    found = [{"path": one.name, "bytes": one.bytes} for one in files]
    output.listing(found, {"path": "path", "size": "bytes"}, right=("size",))
    for one in closed:
        output.remark(f"{one.path}: {one.message}", "yellow")
    if closed:
        raise typer.Exit(Exit.INCOMPLETE)


class _Display:
    """Two bars: what goes up, and what the server has made of it."""

    def __init__(self, output: Output, remote: Remote, store_id: str, files: Sequence[Found]) -> None:
        self._progress: Progress = output.progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._files, self._seen = len(files), 0
        self._up = self._progress.add_task("Uploading", total=sum(one.bytes for one in files), said="")
        self._down = self._progress.add_task("Indexing ", total=None, said="", visible=False)
        self._before = counts(remote.get(f"vector_stores/{store_id}/progress"))[0]
        self.watch = Watch(moved=self._moved, seen=self._look, progress=self._index)

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._progress.stop()

    def _moved(self, count: int) -> None:
        self._progress.advance(self._up, count)

    def _look(self, _: Found) -> None:
        self._seen += 1
        self._progress.update(self._up, said=f"{self._seen:,} of {self._files:,} files")

    def _index(self, progress: Json) -> None:
        settled, total = counts(progress)
        self._progress.update(
            self._down,
            visible=True,
            completed=max(0, settled - self._before),
            total=max(1, total - self._before),
            said=f"{settled:,} of {total:,} files · {sentence(progress)}",
        )


def _attributes(given: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name.strip():
            raise ServerError(f"--attribute: {pair!r} is not of the form key=value.", exit_code=Exit.USAGE)
        if name.strip() in {PATH, HASH}:
            raise ServerError(f"--attribute: {name.strip()!r} is set by the command itself.", exit_code=Exit.USAGE)
        found[name.strip()] = typed(value)
    return found


def _tell(output: Output, report: Report, store: str, files: int, seconds: float) -> None:
    if output.as_json:
        document: dict[str, object] = {"object": "ingest.report", "store_id": report.store_id, "files": files}
        document |= {str(what): count for what, count in report.became.items()}
        document |= {"bytes_uploaded": report.bytes_uploaded, "seconds": round(seconds, 3), "batches": report.batches}
        document["failures"] = [{"path": one.path, "code": one.code, "message": one.message} for one in report.failures]
        output.json(document)
        return
    if report.failures:
        output.remark("")
    for failure in report.failures[:FAILURES_SHOWN]:
        output.say(Text.assemble(("failed ", "red"), failure.path, ": ", failure.message), beside=True)
    if len(report.failures) > FAILURES_SHOWN:
        rest: Mapping[str, int] = Counter(one.code for one in report.failures[FAILURES_SHOWN:])
        told = ", ".join(f"{count} {code}" for code, count in rest.items())
        output.remark(f"… and more: {told}. `carrel files list --store {store} --status failed` lists all.")
    told = ", ".join(f"{count:,} {what}" for what, count in report.became.items() if count) or "no files"
    output.done({}, f"{store}: {told}; {size(report.bytes_uploaded)} uploaded in {span(seconds)}.")
