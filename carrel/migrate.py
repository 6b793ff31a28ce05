"""`carrel migrate from-openai`: files and stores of any service that speaks OpenAI's API, copied by that API.

The id map is the memory of a migration: a line for each thing that has come over, written when it has. The same words
again go on where an earlier run ended. What the source will not give out is listed with its reason, and does not stop
the rest.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import JsonOption, KeyOption, UrlOption, connect
from carrel.output import Output
from carrel.remote import Json, Remote
from carrel.sending import Outgoing, Parts, send

PATIENCE_SECONDS: Final = 120.0
ATTACHED_AT_ONCE: Final = 500
LOOK_SECONDS: Final = 1.0
MADE_BY_SERVICES: Final = frozenset({"assistants_output", "batch_output", "fine-tune-results"})
SHORTEST_SECONDS, LONGEST_SECONDS = 3600, 2592000  # that a file may be told to live
AUTO: Final = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 0}  # how this service reports its own chunking
BETA: Final = {"OpenAI-Beta": "assistants=v2"}
PASSED_BY: Final = frozenset({Exit.REFUSED, Exit.NOT_FOUND, Exit.NO_PERMISSION})

_BEGINNING: Final = b'{"kind": "'  # of every line of a map

app = typer.Typer(no_args_is_help=True, help=__doc__)


@dataclass(slots=True)
class Migrated:
    files: int = 0
    stores: int = 0
    known: int = 0  # that an earlier run has copied
    refused: list[Json] = field(default_factory=list)  # what did not come over, and why

    def refuse(self, kind: str, identity: str, name: str, why: str) -> None:
        self.refused.append({"kind": kind, "id": identity, "name": name, "why": why})

    def document(self, where: Path) -> dict[str, Any]:
        return {
            "object": "migration",
            "files": self.files,
            "stores": self.stores,
            "known": self.known,
            "refused": self.refused,
            "map": str(where),
        }


class IdMap:
    """What has come over: kind, id there, id here. Also what was begun and may have come over without our hearing.

    Its first line names both servers: ids of other ones would mean nothing, or something else.
    """

    def __init__(self, path: Path, there: str = "", here: str = "") -> None:
        self._path = path
        self.here: dict[tuple[str, str], str] = {}
        self.begun: set[tuple[str, str]] = set()
        self._head: Json | None = {"kind": "migration", "from": there, "to": here}  # written before anything else
        for line in self._lines():
            if line["kind"] == "migration":
                self._check(line, there, here)
                self._head = None
                continue
            place = (line["kind"], line["from"])
            if "to" in line:
                self.here[place] = line["to"]
            else:
                self.begun.add(place)

    def _check(self, line: Json, there: str, here: str) -> None:
        if (line["from"], line["to"]) != (there, here):
            raise ServerError(
                f"{self._path} is of a migration from {line['from']} to {line['to']}: name another file with --map.",
                exit_code=Exit.USAGE,
                code="other_migration",
            )

    def begin(self, kind: str, identity: str) -> None:
        self.begun.add((kind, identity))
        self._append({"kind": kind, "from": identity})

    def done(self, kind: str, identity: str, made: str) -> None:
        self.here[kind, identity] = made
        self._append({"kind": kind, "from": identity, "to": made})

    def made(self, kind: str) -> set[str]:
        return {made for (known, _), made in self.here.items() if known == kind}

    def _lines(self) -> list[Json]:
        content = self._path.read_bytes() if self._path.exists() else b""
        *whole, torn = content.split(b"\n")
        lines = [self._line(number, line) for number, line in enumerate(whole, 1)]
        if torn and not torn.startswith(_BEGINNING[: len(torn)]):
            raise self._foreign(len(whole) + 1)
        if torn:  # a run was killed while it wrote
            os.truncate(self._path, len(content) - len(torn))
        return lines

    def _line(self, number: int, line: bytes) -> Json:
        try:
            found = json.loads(line)
            return {"kind": found["kind"], "from": found["from"], **found}
        except (ValueError, TypeError, KeyError) as error:
            raise self._foreign(number) from error

    def _foreign(self, number: int) -> ServerError:
        return ServerError(
            f"{self._path} is no map of a migration: line {number} is not one of its lines.",
            exit_code=Exit.USAGE,
            code="bad_map",
        )

    def _append(self, line: Json) -> None:
        lines = [line] if self._head is None else [self._head, line]
        self._head = None
        with self._path.open("ab") as file:
            file.write(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
            file.flush()
            os.fsync(file.fileno())


class Migration:
    def __init__(self, source: Remote, target: Remote, ids: IdMap, say: Callable[[str], None]) -> None:
        self._source = source
        self._target = target
        self._ids = ids
        self._say = say
        self.result = Migrated()

    def run(self) -> Migrated:
        for file in self._source.pages("files", order="asc"):
            if file["purpose"] not in MADE_BY_SERVICES:
                self._file(file)
        for store in self._source.pages("vector_stores", order="asc"):
            self._store(store)
        return self.result

    # Files

    def _file(self, file: Json) -> None:
        if ("file", file["id"]) in self._ids.here:
            self.result.known += 1
            return
        if file.get("expires_at") and file["expires_at"] <= time.time():
            return
        made = self._found("file", file["id"], "files", lambda one: _same_file(one, file))
        if made is None:
            self._say(f"{file['filename']} ({file['bytes']:,} bytes)")
            try:
                made = self._copied(file)
            except ServerError as error:
                if error.exit_code not in PASSED_BY:
                    raise
                self.result.refuse("file", file["id"], file["filename"], error.message)
                return
        self._ids.done("file", file["id"], made)
        self.result.files += 1

    def _copied(self, file: Json) -> str:
        with tempfile.TemporaryFile() as content:
            with self._source.download(f"files/{file['id']}/content") as pieces:
                for piece in pieces:
                    content.write(piece)
            self._ids.begin("file", file["id"])
            size = content.tell()
            outgoing = Outgoing(content, size, file["filename"], file["purpose"], seconds=_seconds_left(file))
            return send(self._target, outgoing, Parts(), lambda _: None)

    def _found(self, kind: str, identity: str, path: str, same: Callable[[Json], bool]) -> str | None:
        """What an earlier run made here without living to write it down."""
        if (kind, identity) not in self._ids.begun:
            return None
        made = self._ids.made(kind)
        return next((str(one["id"]) for one in self._target.pages(path) if one["id"] not in made and same(one)), None)

    # Stores

    def _store(self, store: Json) -> None:
        if store["status"] == "expired":
            return
        here = self._ids.here.get(("store", store["id"]))
        if here is None:
            try:
                here = self._made(store)
            except ServerError as error:
                if error.exit_code is not Exit.REFUSED:
                    raise
                self.result.refuse("vector store", store["id"], store["name"], error.message)
                return
            self._ids.done("store", store["id"], here)
        if ("filled", store["id"]) in self._ids.here:
            self.result.known += 1
            return
        self._say(f"{store['name'] or store['id']} ({store['file_counts']['total']:,} files)")
        for some in _together(self._attachments(store)):
            self._target.post(f"vector_stores/{here}/file_batches", {"files": some})
        self._ids.done("filled", store["id"], here)
        self.result.stores += 1

    def _made(self, store: Json) -> str:
        wanted = {
            "name": store["name"],
            "description": store.get("description"),
            "metadata": store.get("metadata"),
            "expires_after": store.get("expires_after"),
        }
        found = self._found("store", store["id"], "vector_stores", lambda one: _same_store(one, store))
        if found is not None:
            return found
        self._ids.begin("store", store["id"])
        return str(
            self._target.post("vector_stores", {key: value for key, value in wanted.items() if value is not None})["id"]
        )

    def _attachments(self, store: Json) -> Iterator[Json]:
        for one in self._source.pages(f"vector_stores/{store['id']}/files", order="asc"):
            file = self._ids.here.get(("file", one["id"]))
            if file is None:
                self.result.refuse("file of a store", one["id"], store["name"], "The file did not come over.")
            elif one["status"] in {"completed", "in_progress"}:
                yield {
                    "file_id": file,
                    "attributes": one.get("attributes") or None,
                    "chunking_strategy": _chunking(one.get("chunking_strategy")),
                }
            else:
                why = (one.get("last_error") or {}).get("message") or one["status"]
                self.result.refuse("file of a store", one["id"], store["name"], f"It is {one['status']} there: {why}")

    def wait(self) -> None:
        """Until everything that came over is ingested; what failed is told."""
        for (kind, there), here in self._ids.here.items():
            if kind != "filled":
                continue
            while (found := self._target.get(f"vector_stores/{here}"))["file_counts"]["in_progress"]:
                self._say(f"{found['name'] or here}: {found['file_counts']['in_progress']:,} files to ingest")
                time.sleep(LOOK_SECONDS)
            if found["file_counts"]["failed"]:
                for one in self._target.pages(f"vector_stores/{here}/files", filter="failed"):
                    self.result.refuse("file of a store", one["id"], there, one["last_error"]["message"])


def _same_file(here: Json, there: Json) -> bool:
    return all(here[key] == there[key] for key in ("filename", "bytes", "purpose"))


def _same_store(here: Json, there: Json) -> bool:
    return here["name"] == there["name"] and (here.get("metadata") or {}) == (there.get("metadata") or {})


def _seconds_left(file: Json) -> int | None:
    if not file.get("expires_at"):
        return None
    return min(max(int(file["expires_at"] - time.time()), SHORTEST_SECONDS), LONGEST_SECONDS)


def _chunking(given: Json | None) -> Json | None:
    """Fixed windows as they were; everything else as this service would have it."""
    if not given or given.get("type") != "static" or given["static"] == AUTO:
        return None
    return {"type": "static", "static": given["static"]}


def _together(items: Iterable[Json]) -> Iterator[list[Json]]:
    some: list[Json] = []
    for item in items:
        some.append({key: value for key, value in item.items() if value is not None})
        if len(some) == ATTACHED_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


@app.callback()
def group() -> None:
    """Bring over what another service holds."""


@app.command("from-openai")
def from_openai(
    source_url: Annotated[
        str, typer.Option(envvar="SOURCE_BASE_URL", help="Base URL of the service to copy from.")
    ] = "https://api.openai.com/v1",
    source_key: Annotated[
        str | None, typer.Option(envvar="SOURCE_API_KEY", help="Its key.", show_default=False)
    ] = None,
    id_map: Annotated[Path, typer.Option("--map", help="File that keeps which id became which.")] = Path(
        "carrel-migration.jsonl"
    ),
    wait: Annotated[bool, typer.Option(help="Wait until everything is ingested.")] = True,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy files and vector stores from a service that speaks OpenAI's API; the source is only read."""
    output = Output(as_json=as_json)
    with (
        Remote(
            source_url,
            source_key,
            key_from="--source-key",
            asked_as="source-",
            patience_seconds=PATIENCE_SECONDS,
            headers=BETA,
        ) as there,
        connect(url, key, patience_seconds=PATIENCE_SECONDS) as here,
    ):
        migration = Migration(there, here, IdMap(id_map, there.url, here.url), output.remark)
        result = migration.run()
        if wait:
            migration.wait()
    for one in result.refused:
        output.remark(f"{one['kind']} {one['id']} ({one['name']}): {one['why']}", "yellow")
    output.done(
        result.document(id_map),
        f"{result.files:,} files and {result.stores:,} stores copied, {result.known:,} were here, "
        f"{len(result.refused):,} refused. Ids: {id_map}",
    )
    if result.refused:
        raise typer.Exit(Exit.INCOMPLETE)
