"""Whether an answer is what the published description of the API says it is."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

DESCRIPTION = Path(__file__).parents[1] / "contract" / "openai-subset.yaml"


@cache
def description() -> dict[str, Any]:
    with DESCRIPTION.open(encoding="utf-8") as file:
        document: dict[str, Any] = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    _allow_null(document)
    return document


def _allow_null(node: object) -> None:
    """Where the document speaks the older dialect, `nullable: true` means that null is allowed."""
    if isinstance(node, dict):
        if node.pop("nullable", False) is True and isinstance(node.get("type"), str):
            node["type"] = [node["type"], "null"]
        for inner in node.values():
            _allow_null(inner)
    elif isinstance(node, list):
        for inner in node:
            _allow_null(inner)


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": description()["components"]},
        format_checker=None,
    )


def assert_is(schema: str, value: object) -> None:
    """`value`: decoded JSON. On an empty page the first and last id are null, which the hosted service sends too."""
    if isinstance(value, dict) and value.get("object") == "list" and value.get("data") == []:
        assert value["first_id"] is None
        assert value["last_id"] is None
        value = {**value, "first_id": "", "last_id": ""}
    problems = [f"{error.json_path}: {error.message}" for error in _validator(schema).iter_errors(value)]
    assert not problems, f"not a {schema}: {problems}"
