"""What all commands that speak to a server have in common: where it is, with which key, and how to answer.

A server is named by `--url`, CARREL_URL or OPENAI_BASE_URL, else it is the one that the settings would start here.
A key is given by `--key` or OPENAI_API_KEY; for a server on this machine the data folder's first key will do.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from carrel.remote import Remote
from configs.settings import SERVER_VARIABLE, Settings, load_settings
from retrieval.api.secret_files import KEY_FILE

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where it listens, to where it is reached)
OURS: Final = "sk-carrel-"

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings; the environment wins over it.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="The server. Else CARREL_URL, OPENAI_BASE_URL, or the one of the settings."),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="Its key. Else OPENAI_API_KEY, or the data folder's first key.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether you are sure.")]
LimitOption = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many.")]


def connect(
    url: str | None,
    key: str | None,
    *,
    config: Path | None = None,
    patience_seconds: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> Remote:
    """The server that options, environment or settings name; nothing is asked of it yet."""
    known = os.environ if environment is None else environment
    named = url or known.get(SERVER_VARIABLE) or known.get("OPENAI_BASE_URL")
    if named and key:
        return Remote(named, key, patience_seconds=patience_seconds)
    if named and (urlsplit(named).hostname or "") not in LOOPBACK:
        return Remote(named, known.get("OPENAI_API_KEY"), key_from="OPENAI_API_KEY", patience_seconds=patience_seconds)
    settings = load_settings(known, file=config)
    secret, origin = _key_here(settings, known, key, believed=bool(named))
    return Remote(named or address(settings), secret, key_from=origin, patience_seconds=patience_seconds)


def address(settings: Settings) -> str:
    """Where the server of these settings is reached from this machine."""
    host = EVERYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _key_here(
    settings: Settings, known: Mapping[str, str], given: str | None, *, believed: bool
) -> tuple[str | None, str]:
    """A key for a server on this machine, and where it comes from.

    OPENAI_API_KEY may be a key for the service of that name: where no URL was given beside it, only one of our making
    goes before the first key.
    """
    if given:
        return given, "--key"
    elsewhere = known.get("OPENAI_API_KEY")
    if elsewhere and (believed or elsewhere.startswith(OURS)):
        return elsewhere, "OPENAI_API_KEY"
    if settings.api_key:
        return settings.api_key, "CARREL_API_KEY"
    file = settings.data_dir / KEY_FILE
    try:
        return file.read_text("utf-8").strip(), str(file)
    except OSError:
        return elsewhere, "OPENAI_API_KEY"
