"""`carrel refresh`: where the documents of a store come from, refreshing them, and reading what a refresh has done."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from carrel.asking import Asking, StoreArgument, asking
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import LimitOption, YesOption
from carrel.output import Columns, Output
from carrel.remote import Json
from carrel.stores import pairs

app = typer.Typer(no_args_is_help=True, help=__doc__)

SourceArgument = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="Id of the source; needed where the store has several.")
]

IncludeOption = Annotated[list[str] | None, typer.Option(help="Pattern as in .gitignore; may be given again.")]
ExcludeOption = Annotated[list[str] | None, typer.Option(help="Pattern of what is left out; may be given again.")]
AttributeOption = Annotated[
    list[str] | None, typer.Option(help="key=template, as folder={folder} or owner={front.owner}; again for more.")
]
CronOption = Annotated[str | None, typer.Option(help="When, as cron has it: '0 3 * * *' is every night at three.")]
TimeZoneOption = Annotated[str | None, typer.Option(help="Whose three o'clock; else that of UTC.")]
ShareOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of the documents that may vanish in one run.")
]

LOOK_SECONDS: Final = 0.5
ENDED: Final = frozenset({"completed", "stopped", "failed"})
SHOWN: Final = 20  # names of each kind in a report for people; `--json` has all

SOURCES: Final[Columns] = {
    "id": "id",
    "from": "source",
    "cron": ("schedule", "cron"),
    "time zone": ("schedule", "time_zone"),
    "next run": "next_run_at",
    "running": "run_id",
}
RUNS: Final[Columns] = {
    "id": "id",
    "began": "started_at",
    "status": "status",
    "added": ("counts", "added"),
    "changed": ("counts", "changed"),
    "removed": ("counts", "removed"),
    "unchanged": ("counts", "unchanged"),
    "failed": ("counts", "failed"),
    "seconds": "seconds",
}
COUNTED: Final = ("added", "changed", "removed", "unchanged", "failed")
REPORT: Final[Columns] = {
    "run": "id",
    "asked by": "asked_by",
    "dry run": "dry_run",
    "status": "status",
    "began": "started_at",
    "seconds": "seconds",
    **{name: ("counts", name) for name in COUNTED},
    "bytes read": "bytes_read",
    "chunks": "chunks",
    "texts embedded": ("embedding", "texts"),
    "embedding calls": ("embedding", "calls"),
    "dollars": ("embedding", "dollars"),
}


@app.command()
@asking()
def add(
    ask: Asking,
    store: StoreArgument,
    places: Annotated[
        list[str], typer.Argument(metavar="PLACE...", help="A folder of the server, s3://bucket/prefix, or URLs.")
    ],
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    attribute: AttributeOption = None,
    cron: CronOption = None,
    time_zone: TimeZoneOption = None,
    max_removed_share: ShareOption = None,
) -> None:
    """Name where documents of a store come from, and print the source's id."""
    named = _named(include, exclude, attribute, cron, time_zone, max_removed_share)
    made = ask.remote.post(f"{ask.store(store)}/sources", {"source": place_of(places), **named})
    ask.output.done(made, made["id"])


@app.command()
@asking()
def change(
    ask: Asking,
    store: StoreArgument,
    source: SourceArgument = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    attribute: AttributeOption = None,
    cron: CronOption = None,
    time_zone: TimeZoneOption = None,
    max_removed_share: ShareOption = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Refresh only when asked.")] = False,
) -> None:
    """Change what is named of a source; the rest stays, and the next run does what the change asks for."""
    at = _source(ask, store, source)
    if no_schedule and (cron or time_zone):
        raise ServerError("--no-schedule goes with neither --cron nor --time-zone.", exit_code=Exit.USAGE)
    if cron is None and time_zone is not None:
        cron = (ask.remote.get(at)["schedule"] or {}).get("cron")
    named = _named(include, exclude, attribute, cron, time_zone, max_removed_share)
    if no_schedule:
        named["schedule"] = None
    if not named:
        raise ServerError("Say what to change: carrel refresh change --help.", exit_code=Exit.USAGE)
    changed = ask.remote.post(at, named)
    ask.output.done(changed, f"Changed {changed['id']}.")


def _named(
    include: list[str] | None,
    exclude: list[str] | None,
    attribute: list[str] | None,
    cron: str | None,
    time_zone: str | None,
    max_removed_share: float | None,
) -> Json:
    """What was said of a source."""
    if cron is None and time_zone is not None:
        raise ServerError("--time-zone says whose time --cron means: it needs one.", exit_code=Exit.USAGE)
    said: Json = {
        "include": include,
        "exclude": exclude,
        "attributes": pairs(attribute) if attribute else None,
        "schedule": None if cron is None else {"cron": cron, "time_zone": time_zone or "UTC"},
        "max_removed_share": max_removed_share,
    }
    return {name: value for name, value in said.items() if value is not None}


def place_of(places: list[str]) -> Json:
    """A folder by its whole path, a bucket, or pages."""
    if all(place.startswith(("http://", "https://")) for place in places):
        return {"type": "urls", "urls": places}
    if len(places) > 1:
        raise ServerError("A source is one folder, one bucket and prefix, or any number of URLs.", exit_code=Exit.USAGE)
    [place] = places
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        return {"type": "s3", "bucket": bucket, "prefix": prefix.strip("/")}
    return {"type": "directory", "path": str(Path(place).absolute())}


@app.command("list")
@asking()
def list_sources(ask: Asking, store: StoreArgument) -> None:
    """List the sources of a store."""
    ask.list(f"{ask.store(store)}/sources", SOURCES)


@app.command()
@asking(patience_seconds=60)
def run(
    ask: Asking,
    store: StoreArgument,
    source: SourceArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if much has vanished from the source.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end, and show the report.")] = True,
) -> None:
    """Refresh now; ends with 1 if anything failed or the run was stopped."""
    at = _source(ask, store, source)
    begun = ask.remote.post(f"{at}/refresh", {"dry_run": dry_run, "force": force})
    if not wait:
        ask.output.done(begun, begun["id"])
        return
    with ask.output.progress() as progress:
        task = progress.add_task(begun["status"], total=None)
        while begun["status"] not in ENDED:
            time.sleep(LOOK_SECONDS)
            begun = ask.remote.get(f"{at}/runs/{begun['id']}")
            counts = begun["counts"]
            done = counts["added"] + counts["changed"] + counts["removed"]
            progress.update(task, description=f"{begun['status']}: {done} changes")
    _show(ask.output, ask.remote.get(f"{at}/runs/{begun['id']}"))


@app.command()
@asking()
def runs(ask: Asking, store: StoreArgument, source: SourceArgument = None, limit: LimitOption = None) -> None:
    """List the runs of a source, newest first."""
    ask.list(f"{_source(ask, store, source)}/runs", RUNS, most=limit, right=(*COUNTED, "seconds"))


@app.command()
@asking()
def report(
    ask: Asking,
    store: StoreArgument,
    source: SourceArgument = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Id of the run; else the last one.")] = None,
) -> None:
    """Show what a run has done; ends with 1 if anything failed or the run was stopped."""
    at = _source(ask, store, source)
    if run_id is None:
        last = list(ask.remote.pages(f"{at}/runs", most=1))
        if not last:
            raise ServerError("This source has not been refreshed yet.", exit_code=Exit.NOT_FOUND)
        run_id = last[0]["id"]
    _show(ask.output, ask.remote.get(f"{at}/runs/{run_id}"))


@app.command()
@asking()
def remove(ask: Asking, store: StoreArgument, source: SourceArgument = None, yes: YesOption = False) -> None:
    """Forget a source and its reports; the documents that came from it stay in the store."""
    at = _source(ask, store, source)
    ask.output.confirm(f"Forget source {at.rsplit('/', 1)[1]}?", yes=yes)
    gone = ask.remote.delete(at)
    ask.output.done(gone, f"Forgot {gone['id']}.")


def _source(ask: Asking, store: str, source: str | None) -> str:
    """The path of the source meant: the one named, or the only one."""
    at = f"{ask.store(store)}/sources"
    if source is not None:
        return f"{at}/{source}"
    found = [one["id"] for one in ask.remote.pages(at, most=2)]
    if not found:
        raise ServerError(f"Store {store} has no source. Add one: carrel refresh add.", exit_code=Exit.NOT_FOUND)
    if len(found) > 1:
        raise ServerError(
            f"Store {store} has several sources; say which: carrel refresh list {store}.", exit_code=Exit.USAGE
        )
    return f"{at}/{found[0]}"


def _show(output: Output, report: Json) -> None:
    output.item(report, REPORT)
    if report["message"]:
        output.remark(report["message"], "bold")
    if not output.as_json:
        _show_changes(output, report)
    if report["status"] in {"stopped", "failed"} or report["counts"]["failed"]:
        raise typer.Exit(Exit.INCOMPLETE)


def _show_changes(output: Output, report: Json) -> None:
    """The first names of each kind, and every failure with its reason."""
    changes = report["changes"]
    for kind in ("added", "changed", "removed"):
        for path in changes[kind][:SHOWN]:
            output.remark(f"{kind} {path}")
        more = report["counts"][kind] - len(changes[kind][:SHOWN])
        if more > 0:
            output.remark(f"{kind} {more} more")
    for failure in changes["failed"]:
        output.remark(f"failed {failure['path']}: {failure['reason']}", "red")
