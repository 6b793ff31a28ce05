"""The OpenAPI document of what is served: made from the routes, and completed with what they cannot say themselves.

Keys, error answers in the envelope, multipart bodies, raw and streamed answers, and the headers of every answer.
A test holds it to the routes, to the JSON Schema of OpenAPI documents, and to answers of the running service.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from retrieval.api.middleware import OPEN_PATHS

Json = dict[str, Any]

ABOUT: Final = """\
Self-hosted vector stores that speak OpenAI's API: set `OPENAI_BASE_URL` to this server's address with `/v1`, and
programs written for the hosted service run unchanged.

Operations marked `extensions` are this server's own. Every answer carries `x-request-id`; failures carry the envelope
`{"error": {"message", "type", "param", "code"}}`, which names the parameter at fault. Requests that fail with 429 or
503 may be sent again after `retry-after`; no other 4xx should be. A POST that makes a file, an upload, a store, a batch
or an attachment may carry an `Idempotency-Key`: sent again with it within a day, it is done once and answered alike.
"""

TAGS: Final = {
    "files": "Bytes that stores can be filled from, kept once however often they are sent.",
    "uploads": "Large files in parts, which may be sent at once and in any order.",
    "vector stores": "What is searched: files, cut into chunks and embedded.",
    "vector store files": "Files in a store, with attributes to filter by.",
    "file batches": "Many files attached by one call.",
    "search": "Questions to a store.",
    "embeddings": "Texts into vectors.",
    "models": "What can embed here.",
    "extensions": "What the hosted service does not have.",
    "health": "For whoever runs the service. These ask for no key.",
}

ERROR: Final[Json] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "Path to what was wrong."},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

REFUSALS: Final = {
    "400": "Something in the request cannot be accepted; `param` says what.",
    "401": "No key, or a wrong one.",
    "403": "The key may not do this.",
    "404": "No such object in the key's project.",
    "413": "The body is larger than is allowed.",
    "429": "Too much, too fast, or more bytes than the project may keep.",
    "500": "The server failed.",
    "503": "Something that is needed is away for the moment.",
}
WAITING: Final = {"429", "503"}

WHOLE: Final = {"type": "string", "contentMediaType": "application/octet-stream"}
PURPOSE: Final = {"type": "string", "enum": ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]}
EXPIRY: Final = {
    "type": "object",
    "properties": {
        "anchor": {"type": "string", "const": "created_at"},
        "seconds": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
    "required": ["anchor", "seconds"],
}
FORMS: Final[dict[str, Json]] = {
    "/v1/files": {
        "required": ["file", "purpose"],
        "properties": {"file": WHOLE, "purpose": PURPOSE, "expires_after": EXPIRY},
    },
    "/v1/uploads/{upload_id}/parts": {"required": ["data"], "properties": {"data": WHOLE}},
}


def _list_of(item: Json) -> Json:
    return {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": item},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
            "has_more": {"type": "boolean"},
        },
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


VECTOR: Final[Json] = {
    "type": "object",
    "required": ["object", "index", "embedding"],
    "properties": {
        "object": {"const": "embedding"},
        "index": {"type": "integer"},
        "embedding": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]},
    },
}
EMBEDDINGS: Final[Json] = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": VECTOR},
        "model": {"type": "string"},
        "usage": {
            "type": "object",
            "required": ["prompt_tokens", "total_tokens"],
            "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}},
        },
    },
}
READINESS: Final[Json] = {
    "type": "object",
    "required": ["status", "search", "ingestion", "parts"],
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "search": {"type": "boolean"},
        "ingestion": {"type": "boolean"},
        "parts": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["ok", "needed_for"],
                "properties": {
                    "ok": {"type": "boolean"},
                    "needed_for": {"type": "array", "items": {"enum": ["search", "ingestion"]}},
                    "why": {"type": "string"},
                },
            },
        },
    },
}
MODELS: Final[Json] = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("ModelObject")}},
}
TAR: Final[Json] = {"application/x-tar": {"schema": {"type": "string", "contentMediaType": "application/x-tar"}}}
RAW: Final[Json] = {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "*/*"}}}

# What answers of these operations hold, where their routes write them without the framework's help.
ANSWERS: Final[dict[tuple[str, str], Json]] = {
    ("/v1/embeddings", "post"): _json(EMBEDDINGS),
    ("/v1/embeddings_batch", "post"): _json(EMBEDDINGS),
    ("/v1/files", "get"): _json(_list_of(_ref("FileObject"))),
    ("/v1/files/{file_id}/content", "get"): RAW,
    ("/v1/file-contents-v2/{file_id}", "get"): RAW,
    ("/v1/vector_stores/{vector_store_id}/exports/{export_id}/content", "get"): TAR,
    ("/v1/models", "get"): _json(MODELS),
    ("/readyz", "get"): _json(READINESS),
    ("/metrics", "get"): {"text/plain": {"schema": {"type": "string"}}},
}
STREAMED: Final = ("/progress",)

HEADERS: Final[Json] = {
    "x-request-id": {
        "description": "Of this request; tell it to whoever runs the server.",
        "schema": {"type": "string"},
    },
    "openai-processing-ms": {"description": "Milliseconds until the answer began.", "schema": {"type": "integer"}},
    "x-request-cost": {"description": "Dollars, by the server's price table.", "schema": {"type": "number"}},
}
LEFT: Final[Json] = {
    f"x-ratelimit-{what}-{noun}": {
        "description": f"{text} Only where there is a limit of {noun}.",
        "schema": {"type": "string" if what == "reset" else "integer"},
    }
    for noun in ("requests", "tokens")
    for what, text in (
        ("limit", "In a minute."),
        ("remaining", "Left at this moment."),
        ("reset", "Until all is left again, as in `6m0s`."),
    )
}
WAIT: Final[Json] = {
    "retry-after": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "retry-after-ms": {"description": "The same in milliseconds.", "schema": {"type": "integer", "minimum": 1}},
}


def document_of(app: FastAPI) -> Callable[[], Json]:
    """In the place of `app.openapi`; made once."""

    def openapi() -> Json:
        if not app.openapi_schema:
            made = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
            app.openapi_schema = completed(made)
        return app.openapi_schema

    return openapi


def completed(document: Json) -> Json:
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    document["security"] = [{"key": []}]
    parts = document["components"]
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "`carrel keys create NAME`"}}
    parts["headers"] = {**HEADERS, **LEFT, **WAIT}
    for left_over in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(left_over, None)
    parts["schemas"]["ErrorResponse"] = ERROR
    parts["responses"] = {
        status: {
            "description": text,
            "headers": _headers(*HEADERS, *(WAIT if status in WAITING else ())),
            "content": _json(_ref("ErrorResponse")),
        }
        for status, text in REFUSALS.items()
    }
    taken = set[str]()
    for path, method, operation in sorted(operations(document), key=lambda found: found[:2]):
        _complete(path, method, operation)
        operation["operationId"] = _unique(operation["operationId"], path, method, taken)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: Json) -> None:
    if path in FORMS and method == "post":
        form = {"type": "object", "additionalProperties": False, **FORMS[path]}
        encoding = {"expires_after": {"style": "deepObject", "explode": True}}
        media: Json = {"schema": form, **({"encoding": encoding} if "expires_after" in form["properties"] else {})}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": media}}
    answers = operation["responses"]
    answers.pop("422", None)
    content = ANSWERS.get((path, method))
    if content is not None:
        answers["200"]["content"] = content
        if content in (RAW, TAR):
            answers["206"] = {"description": "The range that was asked for.", "content": content}
            answers["416"] = {"description": "The file does not have that range."}
    if path.endswith(STREAMED):
        answers["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    is_open = path in OPEN_PATHS
    for status, answer in answers.items():
        if path == "/readyz" and status == "503":
            answer |= {"content": _json(READINESS), "headers": _headers(*HEADERS, *WAIT)}
        else:
            answer["headers"] = _headers(*HEADERS, *(() if is_open else LEFT))
    if is_open:
        operation["security"] = []
    if not is_open or operation.get("parameters"):
        answers["400"] = {"$ref": "#/components/responses/400"}
    for status in _refusals(path, operation) if not is_open else ():
        answers.setdefault(status, {"$ref": f"#/components/responses/{status}"})


def _refusals(path: str, operation: Json) -> Iterator[str]:
    yield from ("401", "403")
    if "{" in path or "requestBody" in operation:
        yield "404"
    if "requestBody" in operation:
        yield "413"
    yield from ("429", "500", "503")


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _unique(given: str, path: str, method: str, taken: set[str]) -> str:
    """The function's name alone; a second path of one function is told apart by its last word."""
    name = given.removesuffix(f"_{method}")
    name = name.split("_v1_")[0].removesuffix(path.replace("/", "_"))
    if name in taken:
        last = path.rsplit("/", 1)[1] if "{" not in path.rsplit("/", 1)[1] else path.rsplit("/", 2)[1]
        name = f"{name}_{last.replace('-', '_')}"
    taken.add(name)
    return name
