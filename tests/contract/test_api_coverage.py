"""docs/api-coverage.md names every operation and parameter, published or ours, and says why where it differs."""

from pathlib import Path
from typing import Any

from tests.support.server import Server
from tests.support.wire import description

PAGE = Path(__file__).parents[2] / "docs" / "api-coverage.md"
OUTSIDE = {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"}
STATES = {"as published", "wider", "ignored", "refused"}


def tables() -> dict[str, list[list[str]]]:
    """The rows of each section's table."""
    found: dict[str, list[list[str]]] = {}
    section = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
            found[section] = []
        elif line.startswith("|") and section and not line.startswith("|---"):
            found[section].append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return {name: rows[1:] for name, rows in found.items()}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def operations(document: dict[str, Any]) -> dict[str, set[str]]:
    """By operation, its query parameters and the top-level keys of its body."""
    found: dict[str, set[str]] = {}
    for path, methods in document["paths"].items():
        if path in OUTSIDE:
            continue
        for method, operation in methods.items():
            if method not in {"get", "post", "delete"}:
                continue
            names = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                names |= set(resolved(document, content["schema"]).get("properties", {}))
            found[f"{method.upper()} {path.removeprefix('/v1')}"] = names
    return found


def test_every_published_operation_and_parameter_has_a_line() -> None:
    published = {(operation, name) for operation, names in operations(description()).items() for name in {"", *names}}
    listed = [(row[0], row[1]) for row in tables()["Published operations"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == published


def test_every_state_is_known_and_every_difference_has_a_reason() -> None:
    for operation, parameter, state, note in tables()["Published operations"]:
        assert state in STATES
        assert note or state == "as published", f"{operation} {parameter} says {state} without a reason"
    for what, why in tables()["Deliberate differences"]:
        assert what
        assert why


def test_every_route_and_parameter_of_the_service_is_on_the_page(server: Server) -> None:
    page = tables()
    listed = {
        (row[0], row[1]) for row in page["Published operations"] + page["More parameters on published operations"]
    }
    own = {row[0] for row in page["Operations of our own"]}
    served = operations(server.app.openapi())
    for operation, names in served.items():
        if operation in own:
            continue
        for name in {"", *names}:
            assert (operation, name) in listed, f"{operation} {name} is not in docs/api-coverage.md"
    assert own <= set(served), f"on the page and not served: {own - set(served)}"


def test_what_is_published_is_served(server: Server) -> None:
    missing = set(operations(description())) - set(operations(server.app.openapi()))
    assert not missing
