"""The OpenAPI document as one page for people: plain HTML, no scripts, nothing fetched from anywhere."""

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from retrieval.api.page_style import STYLE

Json = dict[str, Any]

METHODS: Final = ("get", "post", "delete", "put", "patch")
BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} elements"),
    ("maxItems", "at most {} elements"),
    ("maxProperties", "at most {} pairs"),
    ("default", "default {}"),
)
UNSAID: Final[tuple[Json, ...]] = ({}, {"type": "null"})


def render(document: Json) -> str:
    return "".join(_page(document))


def _page(document: Json) -> Iterator[str]:
    title = escape(document["info"]["title"])
    groups = _groups(document)
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: the API</title>'
    yield f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body>'
    yield f'<nav><a class="home" href="#top">{title} <small>{escape(document["info"]["version"])}</small></a>'
    for tag, found in groups.items():
        yield f"<h4>{escape(tag)}</h4>"
        for path, method, operation in found:
            yield f'<a href="#{operation["operationId"]}"><i class="{method}">{method}</i>{_short(path)}</a>'
    yield '<h4>reference</h4><a href="#errors">Errors</a><a href="#schemas">Objects</a></nav><main id="top">'
    yield f"<h1>{title}</h1>{_prose(document['info'].get('description', ''))}"
    yield '<p>The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
    said = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    for tag, found in groups.items():
        yield f"<h2>{escape(tag.capitalize())}</h2><p>{escape(said.get(tag, ''))}</p>"
        for path, method, operation in found:
            yield from _operation(document, path, method, operation)
    yield from _errors(document)
    yield from _schemas(document)
    yield "</main></body></html>"


def _groups(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    """Each operation under its first tag, tags in their own order."""
    groups: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, methods in sorted(document["paths"].items()):
        for method in METHODS:
            if method in methods:
                tags = methods[method].get("tags") or ["other"]
                groups.setdefault(tags[0], []).append((path, method, methods[method]))
    return {tag: found for tag, found in groups.items() if found}


def _operation(document: Json, path: str, method: str, operation: Json) -> Iterator[str]:
    marks = "".join(f"<b>{escape(tag)}</b>" for tag in operation.get("tags", ())[1:])
    marks += "" if operation.get("security", True) else "<b>no key</b>"
    where = re.sub(r"({[^}]+})", r"<em>\1</em>", escape(path))
    yield f'<section id="{operation["operationId"]}"><h3><i class="{method}">{method}</i>'
    yield f"<code>{where}</code>{marks}</h3>"
    yield _prose(operation.get("description") or f"{operation.get('summary', '')}.")
    parameters = operation.get("parameters", [])
    for place, heading in (("path", "In the path"), ("query", "In the query"), ("header", "Headers")):
        mine = [one for one in parameters if one["in"] == place]
        if mine:
            rows = ((one["name"], one.get("schema", {}), one.get("required"), one.get("description")) for one in mine)
            yield f"<h5>{heading}</h5>{_table(rows)}"
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h5>Body <small>{escape(kind)}</small></h5>"
        yield _shape(_resolved(document, media.get("schema", {})))
    good = [status for status in operation["responses"] if status < "400"]
    for status in good:
        answer = operation["responses"][status]
        yield f"<h5>Answer <small>{status}</small></h5>"
        for kind, media in answer.get("content", {}).items():
            schema = media.get("schema", {})
            yield f'<p class="kind"><small>{escape(kind)}</small> {_type(schema)}</p>'
            yield _shape(schema) if schema.get("properties") else ""
    bad = [status for status in operation["responses"] if status >= "400"]
    if bad:
        links = " ".join(f'<a href="#errors">{status}</a>' for status in bad)
        yield f'<p class="kind"><small>fails with</small> {links}</p>'
    yield "</section>"


def _errors(document: Json) -> Iterator[str]:
    rows = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in document["components"].get("responses", {}).items()
    )
    yield f'<h2 id="errors">Errors</h2><p>Always {_type({"$ref": "#/components/schemas/ErrorResponse"})}.</p>'
    yield f"<table>{rows}</table>"


def _schemas(document: Json) -> Iterator[str]:
    yield '<h2 id="schemas">Objects</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<section id="schema-{escape(name)}"><h3><code>{escape(name)}</code></h3>'
        yield f"{_prose(schema.get('description', ''))}{_shape(schema)}</section>"


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _shape(schema: Json) -> str:
    """A table of an object's keys; a line for what is no object."""
    properties = schema.get("properties")
    if not properties:
        return f'<p class="kind">{_type(schema)}</p>'
    needed = set(schema.get("required", ()))
    return _table((name, one, name in needed, one.get("description")) for name, one in properties.items())


def _table(rows: Iterator[tuple[str, Json, bool | None, str | None]]) -> str:
    lines = []
    for name, schema, needed, text in rows:
        mark = " <b>required</b>" if needed else ""
        bounds = _bounds(schema)
        about = " ".join(part for part in (_inline(text or ""), f"<small>{bounds}</small>" if bounds else "") if part)
        inner = _inner(schema)
        lines.append(
            f"<tr><td><code>{escape(name)}</code>{mark}</td><td>{_type(schema)}</td><td>{about}{inner}</td></tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _inner(schema: Json) -> str:
    items = schema.get("items", schema)
    return _shape(items) if items.get("properties") else ""


def _bounds(schema: Json) -> str:
    parts = [schema, *(one for one in schema.get("anyOf", ()) if "$ref" not in one)]
    told = [
        text.format(escape(json.dumps(part[key], ensure_ascii=False)))
        for part in parts
        for key, text in BOUNDS
        if part.get(key) is not None
    ]
    return "; ".join(dict.fromkeys(told))


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[choice]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " | ".join(kind)
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if "contentMediaType" in schema:
        return "bytes"
    values = schema.get("additionalProperties")
    if kind == "object" and isinstance(values, dict) and values not in UNSAID:
        return f"map of {_type(values)}"
    return escape(str(kind))


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(' '.join(part.split()))}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _short(path: str) -> str:
    return escape(path.removeprefix("/v1")).replace("/", "/<wbr>")
