"""Whether an answer is what the published description of the API says it is.

The clients that tests get look at every answer by themselves: `looks_at_answer` hangs on their transport.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import yaml
from jsonschema import Draft202012Validator

DESCRIPTION = Path(__file__).parents[1] / "contract" / "openai-subset.yaml"
BASE: Final = "/v1"
# Keys that answers have beyond the description: the contract wants the first, which the published samples show.
MORE_KEYS: Final = {"VectorStoreObject": {"description"}}
MORE_PURPOSES: Final = ("evals",)  # which requests may name, and answers echo
OURS: Final = re.compile(r"/vector_stores/[^/]+/files/delete")  # where the description has a file's id
TRACE: Final = "trace"  # of a search, and only where it was asked for


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
def _closed() -> dict[str, Any]:
    """The description's objects without room for keys that it does not name: what it leaves open it hardly means."""
    components: dict[str, Any] = copy.deepcopy(description()["components"])
    for name, schema in components["schemas"].items():
        for node in _objects(schema):
            node.setdefault("additionalProperties", False)
        if name == "OpenAIFile":
            schema["properties"]["purpose"]["enum"] += MORE_PURPOSES
        for key in MORE_KEYS.get(name, ()):
            schema["properties"][key] = {}
    return components


def _objects(node: object) -> Iterator[dict[str, Any]]:
    """Every schema of an object with named keys, unless it is a part of a larger one."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node
        for name, inner in node.items():
            if name != "allOf":
                yield from _objects(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _objects(inner)


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": _closed()},
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


@cache
def _published() -> tuple[tuple[str, str, re.Pattern[str], str | None], ...]:
    """(method, path, the same as a pattern, schema of what is answered with 200); paths without parameters first."""
    found = []
    for path, methods in sorted(description()["paths"].items(), key=lambda item: item[0].count("{")):
        pattern = re.compile(
            re.sub(r"\\{(\w+)\\}", lambda name: ".+" if name[1] == "model" else "[^/]+", re.escape(path))
        )
        for method, operation in methods.items():
            if method in {"get", "post", "delete"}:
                content = operation["responses"]["200"]["content"]["application/json"]["schema"]
                named = content.get("$ref", "").rsplit("/", 1)[-1]
                found.append((method.upper(), path, pattern, named or None))
    return tuple(found)


def operation_of(method: str, path: str) -> tuple[str, str | None] | None:
    """A published operation as `GET /files/{file_id}`, and what it answers with; None: an operation of our own. The
    schema is None where the answer is not JSON."""
    bare = path.removeprefix(BASE)
    if not path.startswith(BASE) or OURS.fullmatch(bare):
        return None
    for verb, template, known, schema in _published():
        if verb == method and known.fullmatch(bare):
            return f"{verb} {template}", schema
    return None


def published_operations() -> set[str]:
    return {f"{verb} {template}" for verb, template, _, _ in _published()}


class Asked(Protocol):
    """A request, as far as it matters here: the SDK and the tests have HTTP libraries of their own."""

    method: str
    headers: Mapping[str, str]

    @property
    def url(self) -> Any: ...


class Answered(Protocol):
    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def request(self) -> Asked: ...
    def read(self) -> bytes: ...
    async def aread(self) -> bytes: ...
    def json(self) -> Any: ...


def _is_json(answer: Answered) -> bool:
    return answer.headers.get("content-type", "").startswith("application/json")


def _look_at(answer: Answered) -> None:
    request = answer.request
    where = f"{request.method} {request.url.path}: {answer.status_code}"
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers.get("x-request-id", "")), f"{where} has no id"
    assert answer.headers["openai-processing-ms"].isdecimal(), where
    if answer.status_code >= 400:
        if request.method != "HEAD" and request.url.path not in {"/readyz"}:
            assert _is_json(answer), f"{where} is no JSON"
            assert_is("ErrorResponse", answer.json())
        return
    operation = operation_of(request.method, request.url.path) if answer.status_code == 200 else None
    schema = operation and operation[1]
    if schema is None:
        return
    assert _is_json(answer), f"{where} is no JSON"
    value = answer.json()
    asked = request.url.params.get(TRACE) == "true" or TRACE in "".join(request.headers.keys())
    if asked and isinstance(value, dict):
        value.pop(TRACE, None)
    if schema == "CreateEmbeddingResponse":  # which describes numbers only; the SDKs ask for base64
        value["data"] = [{**one, "embedding": _numbers(one["embedding"])} for one in value["data"]]
    assert_is(schema, value)


def _numbers(embedding: object) -> object:
    return [0.0] if isinstance(embedding, str) and embedding else embedding


def looks_at_answer(answer: Answered) -> None:
    """A client's hook. What is no JSON is left to be streamed."""
    if _is_json(answer):
        answer.read()
    _look_at(answer)


async def alooks_at_answer(answer: Answered) -> None:
    if _is_json(answer):
        await answer.aread()
    _look_at(answer)
