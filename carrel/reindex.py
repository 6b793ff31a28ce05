"""`carrel reindex`: another model or chunking for a store that stays in use, or for all stores of a project."""

import time
from typing import Annotated, Any, Final

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.naming import store_id
from carrel.options import JsonOption, KeyOption, LimitOption, UrlOption, YesOption, connect
from carrel.output import Columns, Output
from carrel.remote import Json, Remote
from carrel.stores import StoreArgument

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
def start(
    store: Annotated[str | None, typer.Argument(metavar="[STORE]", help="Id or name; with --all, none.")] = None,
    model: ModelOption = None,
    chunking: ChunkOption = None,
    every: Annotated[bool, typer.Option("--all", help="All stores of the project.")] = False,
    rate: Annotated[float | None, typer.Option(min=0, help="Chunks a second at most, of all workers together.")] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Seconds for which the old edition can come back.")] = None,
    allow_failed: Annotated[bool, typer.Option(help="Swap although files failed that are found now.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the swap.")] = True,
    yes: YesOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what it will cost, ask, and build a second edition beside the first; ends with 1 if it is not swapped in."""
    body: Json = {**_change(model, chunking), **({"allow_failed": True} if allow_failed else {})}
    body |= {name: value for name, value in (("chunks_per_second", rate), ("keep_seconds", keep)) if value is not None}
    if (store is None) != every:
        raise ServerError("Name a store, or give --all for every store of the project.", exit_code=Exit.USAGE)
    output = Output(as_json=as_json)
    with connect(url, key, patience_seconds=60) as remote:
        if store is None:
            output.confirm("Re-index every store of the project?", yes=yes)
            begun = remote.post("reindex", body)
            _say_skipped(output, begun)
            output.done(begun, f"{len(begun['started'])} begun, {len(begun['skipped'])} left as they are.")
            return
        at = _path(remote, store)
        estimate = remote.post(f"{at}/estimate", _change(model, chunking))
        output.remark(
            f"{estimate['chunks']:,} chunks of {estimate['files']:,} files, about {estimate['tokens']:,} tokens: "
            f"${estimate['cost_usd']:.4f} with {estimate['embedding_model']}"
        )
        output.confirm(f"Re-index {store}?", yes=yes)
        begun = remote.post(at, body)
        _end(output, _awaited(output, remote, at, begun) if wait else begun)


@app.command()
def estimate(
    store: StoreArgument,
    model: ModelOption = None,
    chunking: ChunkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what it would cost; nothing is started."""
    with connect(url, key) as remote:
        found = remote.post(f"{_path(remote, store)}/estimate", _change(model, chunking))
    Output(as_json=as_json).item(found, ESTIMATED)


@app.command()
def show(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show how far a store's re-index is, or its last one; ends with 1 if it was given up or waits for a decision."""
    with connect(url, key) as remote:
        found = remote.get(_path(remote, store))
    _end(Output(as_json=as_json), found)


@app.command()
def wait(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Wait until it is swapped, or waits for a decision."""
    output = Output(as_json=as_json)
    with connect(url, key, patience_seconds=60) as remote:
        at = _path(remote, store)
        found = _awaited(output, remote, at, remote.get(at))
    _end(output, found)


@app.command("list")
def list_reindexes(
    limit: LimitOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the re-indexes of the project, the newest first."""
    with connect(url, key) as remote:
        found = remote.get("reindex", limit=min(limit or 20, 100))["data"]
    Output(as_json=as_json).listing(iter(found), LISTED, right=("chunks", "chunks done", "files failed"))


@app.command()
def pause(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Begin nothing more; what is being worked on is finished."""
    _steer(store, "pause", url, key, as_json=as_json)


@app.command()
def resume(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Go on after a pause."""
    _steer(store, "resume", url, key, as_json=as_json)


@app.command()
def retry(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Try again what failed."""
    _steer(store, "retry", url, key, as_json=as_json)


@app.command("allow-failed")
def allow_failed_files(
    store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """Swap although files failed; they are `failed` in the store then, and come back with a rollback."""
    _steer(store, "allow_failed", url, key, as_json=as_json)


@app.command()
def cancel(
    store: StoreArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up what is being built; searches go on as they are."""
    Output(as_json=as_json).confirm(f"Give up the re-index of {store}?", yes=yes)
    _steer(store, "cancel", url, key, as_json=as_json)


@app.command()
def rollback(store: StoreArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Serve the old edition again: at once, or as soon as it has what came since the swap."""
    _steer(store, "rollback", url, key, as_json=as_json)


@app.command()
def finish(
    store: StoreArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the old edition go before its time; there is no way back then."""
    Output(as_json=as_json).confirm(f"Let the old edition of {store} go?", yes=yes)
    _steer(store, "finish", url, key, as_json=as_json)


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


def _path(remote: Remote, store: str) -> str:
    return f"vector_stores/{store_id(remote, store)}/reindex"


def _steer(store: str, step: str, url: str | None, key: str | None, *, as_json: bool) -> None:
    with connect(url, key) as remote:
        found = remote.post(f"{_path(remote, store)}/{step}")
    output = Output(as_json=as_json)
    output.done(
        found, f"{found['status']}: {found['progress']['chunks_done']:,} of {found['progress']['chunks']:,} chunks"
    )


def _awaited(output: Output, remote: Remote, at: str, found: Json) -> Json:
    with output.progress() as display:
        task = display.add_task(found["status"], total=None)
        while found["status"] in AT_WORK:
            time.sleep(LOOK_SECONDS)
            found = remote.get(at)
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
