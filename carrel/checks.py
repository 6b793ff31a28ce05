"""Each part of the set-up on this machine, looked at without changing it: what was found, and what to do about it."""

import fcntl
import os
import re
import shutil
import socket
import stat
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Final

from carrel.options import EVERYWHERE
from configs.settings import Settings
from ingest.embedding import EmbedderConfig
from ingest.embedding.model_folder import PUBLISHED, is_complete
from ingest.errors import IngestError
from retrieval.api.secret_files import KEY_FILE, PEPPER_FILE
from retrieval.catalog.database import Database
from retrieval.catalog.progress import ProgressReports
from retrieval.catalog.rows import Trouble
from retrieval.catalog.schema import versions
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogTooNew, RetrievalError
from retrieval.jobs import BULK, INTERACTIVE, UPKEEP, CeleryDoorbell, messenger
from retrieval.resources import catalog_url, embedder_configs, open_storage

OLDEST_PYTHON: Final = (3, 11)
QUIET_SECONDS: Final = 30  # between two answered rings of a worker that lives; the beat rings every few seconds
MANY_WAITING: Final = 50
PATIENCE_SECONDS: Final = 300  # that an embedder may answer nonsense before somebody should look
LASTING: Final = {Trouble.EMBEDDER_MISBEHAVED, Trouble.MODEL_MISSING}
ADVICE: Final = {
    Trouble.EMBEDDER_MISBEHAVED: "Compare width, model and address in the settings with what the service really gives.",
    Trouble.EMBEDDER_UNAVAILABLE: "Files wait until the embedding service answers; see its own status.",
    Trouble.MODEL_MISSING: "Run `carrel model fetch`, or name a model that is there.",
}
CLOCK_SECONDS: Final = 5
PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT: Final = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*])?>=([0-9.]+)")


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    part: str
    state: State
    found: str
    advice: str = ""


def ok(part: str, found: str) -> Finding:
    return Finding(part, State.OK, found)


def warning(part: str, found: str, advice: str) -> Finding:
    return Finding(part, State.WARNING, found, advice)


def problem(part: str, found: str, advice: str) -> Finding:
    return Finding(part, State.PROBLEM, found, advice)


def checks_here(settings: Settings, *, in_use: bool, deep: bool) -> Iterator[Finding]:
    """`in_use`: whether a service runs over the data folder."""
    yield python()
    yield packages()
    yield from map(model, embedder_configs(settings))
    yield data_folder(settings, in_use=in_use)
    yield disk(settings)
    yield port(settings, in_use=in_use)
    yield catalog(settings, deep=deep)
    yield from waiting(settings)
    yield storage(settings)
    yield broker(settings, in_use=in_use)


def python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        return problem("python", found, "Install Python 3.11 or newer, and begin again with `make serve`.")
    return ok("python", f"{found}, {sys.executable}")


def packages() -> Finding:
    wrong = []
    wanted = _requirements()
    for name, least in wanted:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if _numbers(found) < _numbers(least):
            wrong.append(f"{name} is {found}, at least {least} is needed")
    if wrong:
        return problem(
            "packages", "; ".join(wrong), "Run `make serve` again, or pip install -r requirements/runtime.lock."
        )
    return ok("packages", f"{len(wanted)} are there")


def model(given: EmbedderConfig) -> Finding:
    if given.provider == "hashed":
        return warning(
            "model", "hashed: finds words, not meaning", "Set CARREL_EMBEDDING_PROVIDER=local; `hashed` is for tests."
        )
    if given.provider == "openai":
        if not given.base_url:
            return problem("model", "an endpoint without an address", "Set CARREL_EMBEDDING_BASE_URL.")
        return ok("model", f"{given.model} at {given.base_url}; --deep asks it")
    folder, published = (given.folder / given.model).absolute(), PUBLISHED.get(given.model)
    if not folder.is_dir():
        return problem("model", f"{folder} is not there", "Run `carrel model fetch`.")
    try:
        whole = published is None or is_complete(published, folder)
    except (OSError, IngestError) as error:
        return problem("model", f"{folder} cannot be read: {error}", "Make it readable for whoever runs Carrel.")
    if not whole:
        advice = "Remove the folder and run `carrel model fetch`."
        return problem("model", f"{folder} is not what was published", advice)
    return ok("model", f"{given.model}, {'proved by its hash' if published else 'a model of your own'}")


def data_folder(settings: Settings, *, in_use: bool) -> Finding:
    folder = settings.data_dir.absolute()
    if not folder.exists():
        above = next(one for one in folder.parents if one.exists())
        if not os.access(above, os.W_OK):
            return problem("data folder", f"{folder} cannot be made", f"Make {above} writable, or set CARREL_DATA_DIR.")
        return ok("data folder", f"{folder} will be made at the first start")
    if not folder.is_dir():
        return problem("data folder", f"{folder} is not a folder", "Move it away, or set CARREL_DATA_DIR.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return problem("data folder", f"{folder} is not ours to write", f"chown -R {os.getuid()} {folder}")
    for name in (KEY_FILE, PEPPER_FILE):
        file = folder / name
        if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return problem("data folder", f"others can read {file}", f"chmod 600 {file}, and make new keys.")
    return ok("data folder", f"{folder}, {'in use by a running service' if in_use else 'not in use'}")


def disk(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
    reserve = settings.storage.reserve_bytes
    told = f"{free / 1e9:.1f} GB free"
    if free < reserve:
        return problem("disk space", f"{told}; uploads are refused below {reserve / 1e9:.1f} GB", "Make room.")
    if free < 8 * reserve:
        return warning("disk space", told, f"Make room soon: uploads stop at {reserve / 1e9:.1f} GB.")
    return ok("disk space", told)


def port(settings: Settings, *, in_use: bool) -> Finding:
    host, number = EVERYWHERE.get(settings.host, settings.host), settings.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(3)
        try:
            taken = probe.connect_ex((host, number)) == 0
        except OSError as error:
            return problem("port", f"{host}:{number}: {error}", "Set CARREL_HOST to an address of this machine.")
    if taken and not in_use:
        return problem("port", f"{host}:{number} is taken by another program", "Stop that, or set CARREL_PORT.")
    if in_use and not taken:
        advice = "Set CARREL_HOST and CARREL_PORT here as it was started with; if they are, see its log."
        return problem("port", f"{host}:{number}: the service runs, and does not listen there", advice)
    return ok("port", f"{host}:{number}, {'answers' if taken else 'free'}")


def _catalog_advice(settings: Settings, error: Exception) -> str:
    if isinstance(error, CatalogTooNew):
        return "Use the release that brought it up to date, or a later one."
    if settings.catalog.url:
        return "Start the database, or correct CARREL_CATALOG_URL."
    return "Make the data folder readable and writable; if the file itself is damaged, restore a backup."


def catalog(settings: Settings, *, deep: bool) -> Finding:
    if not settings.catalog.url and not (settings.data_dir / "catalog.db").exists():
        return ok("catalog", "will be made at the first start")
    try:
        url = catalog_url(settings)
        with closing(Database(url, busy_seconds=5, connections=1)) as database:
            found, newest = versions(database)
        if found is None:
            return ok("catalog", "empty; will be set up at the first start")
        if found != newest:
            advice = "Restart the service with this release: it brings the schema up to date."
            return warning("catalog", f"schema {found}, and this release has {newest}", advice)
        with Catalog.open(url, busy_seconds=5, connections=1) as opened:
            opened.check()
            off = opened.now() - time.time()
            untruths = _untruths(opened) if deep else []
    except (RetrievalError, ValueError) as error:
        return problem("catalog", str(error), _catalog_advice(settings, error))
    if untruths:
        return problem("catalog", "; ".join(untruths[:3]), "Counts are wrong: tell the makers; searches are right.")
    if abs(off) > CLOCK_SECONDS:
        return warning("clock", f"the database is {off:+.0f} s from this machine", "Let both follow a time server.")
    return ok("catalog", f"{'PostgreSQL' if settings.catalog.url else 'SQLite'}, schema {found}")


def _untruths(opened: Catalog) -> list[str]:
    with opened.reading() as tx:
        return tx.untruths()


def waiting(settings: Settings) -> Iterator[Finding]:
    """Files that are put off, and why: a model whose vectors never fit shows nowhere else."""
    if not settings.catalog.url and not (settings.data_dir / "catalog.db").exists():
        return
    try:
        with closing(Database(catalog_url(settings), busy_seconds=5, connections=1)) as database:
            found, newest = versions(database)
            if found != newest:
                return
            with database.reading() as connection:
                put_off = ProgressReports(connection).put_off()
    except (RetrievalError, ValueError):
        return  # `catalog` has said why
    for one in put_off:
        seconds = max(0, int(time.time()) - one.since)
        told = f"{one.files} files have waited for up to {seconds} s ({one.trouble}): {one.message}"
        said = problem if one.trouble in LASTING and seconds > PATIENCE_SECONDS else warning
        yield said("ingestion", told, ADVICE.get(one.trouble, "They are tried again; the worker's log says more."))


def storage(settings: Settings) -> Finding:
    if not settings.storage.url and not (settings.data_dir / "objects").exists():
        return ok("storage", "will be made at the first start")
    try:
        with closing(open_storage(settings)) as opened:
            opened.check()
    except RetrievalError as error:
        return problem("storage", str(error), "Correct CARREL_STORAGE_URL and its credentials, or make room.")
    return ok("storage", settings.storage.url or "the data folder; a byte was written and synced")


def broker(settings: Settings, *, in_use: bool) -> Finding:
    spool = settings.data_dir / "queue"
    if not settings.broker.url and not spool.exists():
        return ok("broker", "will be made at the first start")
    app = messenger(settings.broker.url, spool, poll_seconds=settings.broker.poll_seconds)
    try:
        doorbell = CeleryDoorbell(app)
        answers = doorbell.reachable()
        waiting = {queue: doorbell.waiting(queue) for queue in (INTERACTIVE, BULK, UPKEEP)}
    finally:
        app.close()
    if not answers:
        return problem("broker", "does not answer", "Start the broker, or correct CARREL_BROKER_URL.")
    told = ", ".join(f"{count} {queue}" for queue, count in waiting.items())
    if settings.broker.url and max(waiting.values()) >= MANY_WAITING:
        return problem("broker", f"unanswered: {told}", "No worker answers: start `carrel worker`, or see its log.")
    if not settings.broker.url and in_use:
        quiet = time.time() - max((one.stat().st_mtime for one in (spool / "done").iterdir()), default=0.0)
        if quiet > QUIET_SECONDS:
            return problem("worker", f"no worker has answered for {min(quiet, 1e6):.0f} s", "See the service's log.")
        return ok("worker", f"answered {quiet:.0f} s ago; unanswered: {told}")
    return ok("broker", f"unanswered: {told}")


def is_in_use(folder: Path) -> bool:
    """Whether a supervisor holds the lock of the data folder."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _requirements() -> list[tuple[str, str]]:
    try:
        lines = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]
    except (OSError, KeyError):
        lines = [line for line in metadata.requires("carrel") or () if "extra ==" not in line]
    return [match.groups() for match in map(REQUIREMENT.match, lines) if match]  # type: ignore[misc]  # two groups


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
