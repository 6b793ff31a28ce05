"""`carrel keys` and `carrel projects`: who may ask, for what, how much and how long, in the catalog of the settings."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, NoReturn

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import ConfigOption, JsonOption
from carrel.output import Columns, Output
from configs.settings import load_settings
from retrieval.api.first_key import first_project, pepper_of
from retrieval.api.limits import NAMES
from retrieval.catalog.account_rows import KeyRow, ProjectRow, Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotFound
from retrieval.ids import KeyId, new_key_id, new_project_id
from retrieval.resources import catalog_url

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
projects = typer.Typer(no_args_is_help=True, help="List projects and set their limits.")

ProjectOption = Annotated[str, typer.Option(help="Name of the project; made if there is none of it.")]
KnownProjectOption = Annotated[str, typer.Option("--project", help="Name of the project.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=NUMBER", help=f"May be given more than once. Names: {', '.join(NAMES)}."),
]
ExpiresOption = Annotated[
    str | None, typer.Option(help="When it ends: a span such as 12h, 30d or 52w, or a date such as 2031-12-31 (UTC).")
]
RouteOption = Annotated[
    list[str] | None,
    typer.Option(help="A path that it may use, with all below it, such as /v1/files. May be given more than once."),
]

SPAN: Final = re.compile(r"(\d{1,6})([mhdw])\Z")
SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LARGEST: Final = 2**53

KEYS: Final[Columns] = {
    "id": "id",
    "hint": "hint",
    "scopes": "scopes",
    "state": "state",
    "ends": "expires_at",
    "routes": "routes",
    "limits": "limits",
    "name": "name",
}
PROJECTS: Final[Columns] = {"id": "id", "keeps": "bytes_stored", "limits": "limits", "name": "name"}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    project: ProjectOption = "default",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; may be given more than once.")] = None,
    expires: ExpiresOption = None,
    route: RouteOption = None,
    limit: LimitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it; it is shown this once."""
    settings = load_settings(file=config)
    ends, routes, limits = _expiry(expires, int(time.time())), _routes(route), _limits(limit)
    secret = f"sk-carrel-{secrets.token_urlsafe(32)}"
    with Catalog.open(catalog_url(settings)) as catalog:
        first_project(catalog)
        with catalog.transaction() as tx:
            now = catalog.now()
            found = tx.projects.named(project) or tx.projects.add(new_project_id(), project, now)
            scopes = tuple(scope or (Scope.READ, Scope.WRITE))
            hashed = hash_of(secret, pepper_of(settings.access.pepper, settings.data_dir))
            key = NewKey(new_key_id(), found.id, name, hashed, hint_of(secret), scopes, routes, limits, ends)
            tx.keys.add(key, now)
            made = tx.keys.get(found.id, key.id)
    Output(as_json=as_json).done({**_record(made, now), "key": secret}, secret)


@app.command("list")
def list_keys(
    project: KnownProjectOption = "default", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the keys of a project, without the keys themselves."""
    with Catalog.open(catalog_url(load_settings(file=config))) as catalog:
        now = catalog.now()
        with catalog.reading() as tx:
            keys = tx.keys.all(_known(tx.projects.named(project), project).id)
    Output(as_json=as_json).listing([_record(key, now) for key in keys], KEYS)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its id; `carrel keys list` shows it.")],
    project: KnownProjectOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key by its id; running servers notice within seconds."""
    with Catalog.open(catalog_url(load_settings(file=config))) as catalog:
        now = catalog.now()
        try:
            with catalog.transaction() as tx:
                found = _known(tx.projects.named(project), project)
                before = tx.keys.get(found.id, KeyId(key))
                tx.keys.revoke(found.id, before.id, now)
                after = tx.keys.get(found.id, before.id)
        except NotFound as error:
            _refuse(
                f"{error} in the project {project!r}. `carrel keys list --project NAME` has the ids.", Exit.NOT_FOUND
            )
    said = f"{key} was revoked before." if before.revoked_at is not None else f"{key} is revoked."
    Output(as_json=as_json).done(_record(after, now), said)


@projects.command("list")
def list_projects(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List all projects, with what they keep and their limits."""
    with Catalog.open(catalog_url(load_settings(file=config))) as catalog, catalog.reading() as tx:
        found = tx.projects.all()
    Output(as_json=as_json).listing(map(_project, found), PROJECTS, right=("keeps",))


@projects.command("limit")
def limit_project(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    limit: LimitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set limits of a project: those named are changed, 0 lifts one. Running servers notice within seconds."""
    given = _limits(limit)
    if not given:
        _refuse(f"Say which limit: --limit NAME=NUMBER. Names: {', '.join(NAMES)}.")
    with Catalog.open(catalog_url(load_settings(file=config))) as catalog, catalog.transaction() as tx:
        found = _known(tx.projects.named(name), name)
        changed = tx.projects.set_limits(found.id, {**found.limits, **given})
    Output(as_json=as_json).done(_project(changed), f"{name}: {_written(changed.limits)}")


def _refuse(message: str, code: Exit = Exit.USAGE) -> NoReturn:
    raise ServerError(message, exit_code=code)


def _known(project: ProjectRow | None, name: str) -> ProjectRow:
    if project is None:
        _refuse(f"There is no project named {name!r}. `carrel projects list` shows them.", Exit.NOT_FOUND)
    return project


def _expiry(given: str | None, now: int) -> int | None:
    if given is None:
        return None
    ends = 0
    span = SPAN.match(given)
    if span is not None:
        ends = now + int(span[1]) * SECONDS[span[2]]
    else:
        try:
            moment = datetime.fromisoformat(given)
            ends = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except ValueError:
            _refuse(f"--expires: {given!r} is neither a span such as 30d nor a date such as 2031-12-31.")
    if ends <= now:
        _refuse(f"--expires: {given!r} is not in the future.")
    return ends


def _routes(given: Sequence[str] | None) -> tuple[str, ...] | None:
    for route in given or ():
        if not route.startswith("/v1/") or route != route.strip() or "{" in route or "*" in route:
            _refuse(f"--route: {route!r} is not a path of the API, such as /v1/files; what is below it is meant too.")
    return tuple(given) if given else None


def _limits(given: Sequence[str] | None) -> dict[str, int]:
    limits = {}
    for one in given or ():
        name, _, number = one.partition("=")
        if name not in NAMES:
            _refuse(f"--limit: there is no limit {name!r}. Names: {', '.join(NAMES)}.")
        if not number.isdecimal() or int(number) > LARGEST:
            _refuse(f"--limit: {name} must be a whole number, not {number!r}.")
        limits[name] = int(number)
    return limits


def _state(key: KeyRow, now: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.valid_at(now) else "expired"


def _written(limits: Mapping[str, int]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(limits.items())) or "no limits"


def _record(key: KeyRow, now: int) -> dict[str, object]:
    return {
        "object": "key",
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "state": _state(key, now),
        "scopes": sorted(key.scopes),
        "routes": None if key.routes is None else list(key.routes),
        "limits": dict(key.limits),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _project(one: ProjectRow) -> dict[str, object]:
    limits = dict(one.limits)
    return {"object": "project", "id": one.id, "name": one.name, "bytes_stored": one.bytes_stored, "limits": limits}
