"""Which release this is: the checkout's own word where there is one, else the installed package's."""

import tomllib
from importlib import metadata
from pathlib import Path


def version() -> str:
    project = Path(__file__).parents[1] / "pyproject.toml"
    try:
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    except (OSError, KeyError):
        return metadata.version("carrel")
