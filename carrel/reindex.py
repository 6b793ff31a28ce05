"""`carrel reindex`: another model or chunking for a store that stays in use, or for all stores of a project."""

import time
from typing import Annotated, Any, Final

import typer

from carrel.asking import Asking, StoreArgument, asking
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import LimitOption, YesOption
from carrel.output import Columns, Output
from carrel.remote import Json

app = typer.Typer(no_args_is_help=True, help=__doc__)

LOOK_SECONDS: Final = 0.5
AT_WORK: Final = frozenset({"running", "paused", "rolling_back"})
INCOMPLETE: Final = frozenset({"blocked", "cancelled"})

STATE: Final[Columns] = {
    "re-index": "id",
    "store": "vector_store_id",
    "status": "status",
    "reason": "reason",
    "model": "embedding_model",
    "instead of": "replaces_model",
    "chunking": "chunking_strategy",
    "files": ("progress", "files"),
    "files done": ("progress", "files_done"),
    "files failed": ("progress", "files_failed"),
    "chunks": ("progress", "chunks"),
    "chunks done": ("progress", "chunks_done"),
    "seconds left": "eta_seconds",
    "tokens": "tokens",
    "dollars": "cost_usd",
    "swapped": "swapped_at",
    "can go back until": "kept_until",
}
LISTED: Final[Columns] = {
    "store": "vector_store_id",
    "began": "created_at",
    "status": "status",
    "model": "embedding_model",
    "chunks": ("progress", "chunks"),
    "chunks done": ("progress", "chunks_done"),
    "files failed": ("progress", "files_failed"),
}
ESTIMATED: Final[Columns] = {
    "model": "embedding_model",
    "width": "embedding_dimension",
    "files": "files",
    "chunks": "chunks",
    "tokens": "tokens",
    "dollars": "cost_usd",
}

ModelOption = Annotated[str | None, typer.Option(help="Embedding model to change to.")]
ChunkOption = Annotated[
    str | None, typer.Option(metavar="auto|TOKENS/OVERLAP", help="Chunking to change to, as 'auto' or '800/400'.")
]


@app.command()
@asking(patience_seconds=60)
def start(
    ask: Asking,
    store: Annotated[str | None, typer.Argument(metavar="[STORE]", help="Id or name; with --all, none.")] = None,
    model: ModelOption = None,
    chunking: ChunkOption = None,
    every: Annotated[bool, typer.Option("--all", help="All stores of the project.")] = False,
    rate: Annotated[float | None, typer.Option(min=0, help="Chunks a second at most, of all workers together.")] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Seconds for which the old edition can come back.")] = None,
    allow_failed: Annotated[bool, typer.Option(help="Swap although files failed that are found now.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the swap.")] = True,
    yes: YesOption = False,
) -> None:
    """Say what it will cost, ask, and build a second edition beside the first; ends with 1 if it is not swapped in."""
    body: Json = {**_change(model, chunking), **({"allow_failed": True} if allow_failed else {})}
    body |= {name: value for name, value in (("chunks_per_second", rate), ("keep_seconds", keep)) if value is not None}
    if (store is None) != every:
        raise ServerError("Name a store, or give --all for every store of the project.", exit_code=Exit.USAGE)
    if store is None:
        ask.output.confirm("Re-index every store of the project?", yes=yes)
        begun = ask.remote.post("reindex", body)
        _say_skipped(ask.output, begun)
        ask.output.done(begun, f"{len(begun['started'])} begun, {len(begun['skipped'])} left as they are.")
        return
    at = _path(ask, store)
    estimate = ask.remote.post(f"{at}/estimate", _change(model, chunking))
    ask.output.remark(
        f"{estimate['chunks']:,} chunks of {estimate['files']:,} files, about {estimate['tokens']:,} tokens: "
        f"${estimate['cost_usd']:.4f} with {estimate['embedding_model']}"
    )
    ask.output.confirm(f"Re-index {store}?", yes=yes)
    begun = ask.remote.post(at, body)
    _end(ask.output, _awaited(ask, at, begun) if wait else begun)


@app.command()
@asking()
def estimate(ask: Asking, store: StoreArgument, model: ModelOption = None, chunking: ChunkOption = None) -> None:
    """Say what it would cost; nothing is started."""
    ask.output.item(ask.remote.post(f"{_path(ask, store)}/estimate", _change(model, chunking)), ESTIMATED)


@app.command()
@asking()
def show(ask: Asking, store: StoreArgument) -> None:
    """Show how far a store's re-index is, or its last one; ends with 1 if it was given up or waits for a decision."""
    _end(ask.output, ask.remote.get(_path(ask, store)))


@app.command()
@asking(patience_seconds=60)
def wait(ask: Asking, store: StoreArgument) -> None:
    """Wait until it is swapped, or waits for a decision."""
    at = _path(ask, store)
    _end(ask.output, _awaited(ask, at, ask.remote.get(at)))


@app.command("list")
@asking()
def list_reindexes(ask: Asking, limit: LimitOption = None) -> None:
    """List the re-indexes of the project, the newest first."""
    found = ask.remote.get("reindex", limit=min(limit or 20, 100))["data"]
    ask.output.listing(iter(found), LISTED, right=("chunks", "chunks done", "files failed"))


@app.command()
@asking()
def pause(ask: Asking, store: StoreArgument) -> None:
    """Begin nothing more; what is being worked on is finished."""
    _steer(ask, store, "pause")


@app.command()
@asking()
def resume(ask: Asking, store: StoreArgument) -> None:
    """Go on after a pause."""
    _steer(ask, store, "resume")


@app.command()
@asking()
def retry(ask: Asking, store: StoreArgument) -> None:
    """Try again what failed."""
    _steer(ask, store, "retry")


@app.command("allow-failed")
@asking()
def allow_failed_files(ask: Asking, store: StoreArgument) -> None:
    """Swap although files failed; they are `failed` in the store then, and come back with a rollback."""
    _steer(ask, store, "allow_failed")


@app.command()
@asking()
def cancel(ask: Asking, store: StoreArgument, yes: YesOption = False) -> None:
    """Give up what is being built; searches go on as they are."""
    ask.output.confirm(f"Give up the re-index of {store}?", yes=yes)
    _steer(ask, store, "cancel")


@app.command()
@asking()
def rollback(ask: Asking, store: StoreArgument) -> None:
    """Serve the old edition again: at once, or as soon as it has what came since the swap."""
    _steer(ask, store, "rollback")


@app.command()
@asking()
def finish(ask: Asking, store: StoreArgument, yes: YesOption = False) -> None:
    """Let the old edition go before its time; there is no way back then."""
    ask.output.confirm(f"Let the old edition of {store} go?", yes=yes)
    _steer(ask, store, "finish")


def _change(model: str | None, chunking: str | None) -> Json:
    body: Json = {}
    if model is not None:
        body["embedding_model"] = model
    if chunking is not None:
        body["chunking_strategy"] = chunking_of(chunking)
    if not body:
        raise ServerError("Give --model, --chunking or both: what is to change?", exit_code=Exit.USAGE)
    return body


def chunking_of(words: str) -> dict[str, Any]:
    """`auto`, or tokens and overlap as `800/400`."""
    if words == "auto":
        return {"type": "auto"}
    tokens, _, overlap = words.partition("/")
    if not tokens.isdecimal() or not (overlap or "0").isdecimal():
        raise ServerError(f"--chunking is 'auto' or TOKENS/OVERLAP as 800/400, not {words!r}.", exit_code=Exit.USAGE)
    sizes = {"max_chunk_size_tokens": int(tokens), "chunk_overlap_tokens": int(overlap or "0")}
    return {"type": "static", "static": sizes}


def _path(ask: Asking, store: str) -> str:
    return f"{ask.store(store)}/reindex"


def _steer(ask: Asking, store: str, step: str) -> None:
    found = ask.remote.post(f"{_path(ask, store)}/{step}")
    ask.output.done(
        found, f"{found['status']}: {found['progress']['chunks_done']:,} of {found['progress']['chunks']:,} chunks"
    )


def _awaited(ask: Asking, at: str, found: Json) -> Json:
    with ask.output.progress() as display:
        task = display.add_task(found["status"], total=None)
        while found["status"] in AT_WORK:
            time.sleep(LOOK_SECONDS)
            found = ask.remote.get(at)
            progress = found["progress"]
            left = found["eta_seconds"]
            words = f"{found['status']}: {progress['chunks_done']:,} of {progress['chunks']:,} chunks"
            display.update(
                task,
                description=words if left is None else f"{words}, {left} s left",
                total=progress["chunks"] or None,
                completed=progress["chunks_done"],
            )
    return found


def _end(output: Output, found: Json) -> None:
    output.item(found, STATE)
    if not output.as_json:
        for one in found["failures"]:
            output.remark(f"failed {one['filename']}: {one['message']}", "red")
    if found["status"] in INCOMPLETE:
        raise typer.Exit(Exit.INCOMPLETE)


def _say_skipped(output: Output, begun: Json) -> None:
    for one in begun["skipped"] if not output.as_json else ():
        output.remark(f"{one['vector_store_id']}: {one['reason']}")
