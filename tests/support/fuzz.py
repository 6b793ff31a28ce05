"""Requests made from the service's own description: odd ones, many of them, and what no answer may be."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.support.server import Server

NEVER = {409, 422}  # the SDKs would send it again, or not know what it is


@dataclass(slots=True)
class FuzzReport:
    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)


class BadAnswer(AssertionError):
    """The request that did it is in the message."""


def things(server: Server, key: str) -> Mapping[str, str]:
    """Real ids by the names of path parameters, so that requests get behind the door."""
    client = server.client(key)
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"words to be found")).id
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file]).id
    upload = client.uploads.create(filename="u.txt", purpose="assistants", bytes=3, mime_type="text/plain").id
    return {"vector_store_id": store, "file_id": file, "batch_id": batch, "upload_id": upload, "model": "hashed"}


def fuzz(server: Server, cases_each: int) -> FuzzReport:
    """Up to `cases_each` requests to every operation; raises `BadAnswer` with a small one at the first bad answer."""
    report = FuzzReport()
    key = server.new_key()
    session = requests.Session()
    session.headers["authorization"] = f"Bearer {key}"
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    known = things(server, key)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), f"an operation of our document cannot be read: {result}"
        operation = result.ok()
        _ask(operation, known, session, cases_each, report)
        if operation.method.upper() == "DELETE":
            known = things(server, key)
    return report


def _ask(
    operation: APIOperation[Any, Any, Any, Any],
    known: Mapping[str, str],
    session: requests.Session,
    most: int,
    report: FuzzReport,
) -> None:
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def ask(case: Case[Any], real: bool) -> None:
        if real:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = known.get(name, case.path_parameters[name])
        answer = case.call(session=session, timeout=60)
        report.cases += 1
        report.statuses[answer.status_code] += 1
        report.by_operation[operation.label] += 1
        why = _what_is_wrong(answer.status_code, {name.lower() for name in answer.headers}, answer.content)
        if why:
            raise BadAnswer(f"{operation.label}: {why}\n{case.as_curl_command()}\n{answer.text[:500]}")

    ask()


def _what_is_wrong(status: int, headers: set[str], body: bytes) -> str | None:
    if status >= 500 or status in NEVER:
        return f"answered {status}"
    if "x-request-id" not in headers:
        return "an answer without x-request-id"
    if status >= 400 and b'"error"' not in body:
        return f"{status} without the envelope"
    return None
