"""`carrel doctor`: looks at every part of the set-up, says what is wrong and what to do."""

import io
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from rich.text import Text

from carrel.checks import CLOCK_SECONDS, Finding, State, checks_here, is_in_use, ok, problem, warning
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.options import LOOPBACK, ConfigOption, JsonOption, KeyOption, UrlOption, connect
from carrel.output import Output
from carrel.remote import Remote
from configs.errors import SettingsError
from configs.settings import SERVER_VARIABLE, load_settings

STYLES: Final = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}
ROUND_TRIP_SECONDS: Final = 60.0
SLOW_SECONDS: Final = 5.0


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also bring a small document in, find it, and remove it again.")
    ] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every part of the set-up, and say what to do about what is wrong."""
    output = Output(as_json=as_json)
    findings = []
    for finding in _findings(config, url, key, deep=deep):
        findings.append(finding)
        if not as_json:
            _show(output, finding)
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        shown = [
            {"part": one.part, "state": str(one.state), "found": one.found, "advice": one.advice or None}
            for one in findings
        ]
        output.json({"object": "doctor.report", "healthy": not problems, "checks": shown})
    else:
        need = "needs" if problems == 1 else "need"
        output.remark(f"{problems} of {len(findings)} parts {need} you." if problems else "Nothing needs you.")
    if problems:
        raise typer.Exit(Exit.INCOMPLETE)


def _findings(config: Path | None, url: str | None, key: str | None, *, deep: bool) -> Iterator[Finding]:
    named = url or os.environ.get(SERVER_VARIABLE) or os.environ.get("OPENAI_BASE_URL")
    running = True
    if not named or (urlsplit(named).hostname or "") in LOOPBACK:
        try:
            settings = load_settings(file=config)
        except SettingsError as error:
            advice = "docs/configuration.md has every setting."
            yield problem("settings", str(error).replace("\n", "; "), advice)
            return
        yield ok("settings", f"from {config or os.environ.get('CARREL_CONFIG') or 'the environment and the defaults'}")
        running = is_in_use(settings.data_dir)
        yield from checks_here(settings, in_use=running, deep=deep)
    if not named and not running:
        yield warning("server", "not running", "Start it with `carrel serve`.")
        return
    with connect(url, key, config=config) as remote:
        yield from _server(remote, deep=deep)


def _server(remote: Remote, *, deep: bool) -> Iterator[Finding]:
    steps: list[tuple[str, Callable[[Remote], Finding]]] = [
        ("server", _answers),
        ("clock", _clock),
        ("readiness", _ready),
        ("key", _key),
    ]
    if deep:
        steps.append(("round trip", _round_trip))
    for part, step in steps:
        try:
            finding = step(remote)
        except ServerError as error:
            yield problem(part, error.message, _advice(error))
            return
        yield finding


def _advice(error: ServerError) -> str:
    match error.exit_code:
        case Exit.NO_PERMISSION:
            return "Make a key with `carrel keys create NAME`, and give it with --key or OPENAI_API_KEY."
        case Exit.NOT_CARREL:
            return "Another program listens there: correct --url, or set CARREL_PORT."
        case _:
            return "Start the server with `carrel serve`; if it runs, its log says why it does not answer."


def _answers(remote: Remote) -> Finding:
    begun = time.monotonic()
    remote.get("/healthz")
    return ok("server", f"{remote.url} answers in {1000 * (time.monotonic() - begun):.0f} ms")


def _clock(remote: Remote) -> Finding:
    off = remote.clock() - time.time()
    if abs(off) > CLOCK_SECONDS:
        return warning("clock", f"the server is {off:+.0f} s from this machine", "Let both follow a time server.")
    return ok("clock", "the server's and this machine's agree")


def _ready(remote: Remote) -> Finding:
    parts = remote.readiness()["parts"]
    wrong = [f"{name}: {part.get('why', 'not well')}" for name, part in parts.items() if not part["ok"]]
    if wrong:
        return problem("readiness", "; ".join(wrong), "The server's log says more; docs/operations.md what to do.")
    return ok("readiness", f"{', '.join(parts)} are well")


def _key(remote: Remote) -> Finding:
    models = [one["id"] for one in remote.get("models")["data"]]
    return ok("key", f"is accepted; models: {', '.join(models)}")


def _round_trip(remote: Remote) -> Finding:
    """Upload, attach, wait, search, remove: all that the service is for."""
    word, begun = f"carrel{secrets.token_hex(6)}", time.monotonic()
    text = f"The doctor's word is {word}.\n".encode()
    store = remote.post("vector_stores", {"name": "carrel doctor"})["id"]
    file = ""
    try:
        file = remote.upload("files", io.BytesIO(text), "doctor.txt", {"purpose": "assistants"})["id"]
        attached = remote.post(f"vector_stores/{store}/files", {"file_id": file})
        while attached["status"] == "in_progress":
            if time.monotonic() - begun > ROUND_TRIP_SECONDS:
                advice = "No worker takes it: start `carrel worker`, or see its log."
                return problem("round trip", f"a document waits for {ROUND_TRIP_SECONDS:.0f} s", advice)
            time.sleep(0.1)
            attached = remote.get(f"vector_stores/{store}/files/{file}")
        if attached["status"] != "completed":
            why = (attached["last_error"] or {}).get("message", attached["status"])
            return problem("round trip", f"a document was not taken: {why}", "See the worker's log.")
        seconds = time.monotonic() - begun
        hits = remote.post(f"vector_stores/{store}/search", {"query": word})["data"]
        if not any(hit["file_id"] == file for hit in hits):
            return problem("round trip", "a document was taken, and is not found", "See the server's log.")
    finally:
        remote.delete(f"vector_stores/{store}")
        if file:
            remote.delete(f"files/{file}")
    told = f"a document was found {seconds:.1f} s after its upload"
    if seconds > SLOW_SECONDS:
        return warning("round trip", told, "The workers are busy, or too few.")
    return ok("round trip", told)


def _show(output: Output, finding: Finding) -> None:
    if not output.out.is_terminal:
        output.table((), [[finding.part, finding.state, finding.found, finding.advice]])
        return
    line = Text.assemble((f"{finding.state:8}", STYLES[finding.state]), (f"{finding.part:12}", "bold"), finding.found)
    output.out.print(line, soft_wrap=True)
    if finding.advice:
        output.out.print(Text(f"{'':20}→ {finding.advice}"), soft_wrap=True)
