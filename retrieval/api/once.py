"""`Idempotency-Key`: a POST that comes again with its key is answered as it was the first time, and done once.

What is kept is written in the transaction that does the work, so there is no moment at which one is true without the
other. Refusals are not kept: whoever mends his request may send it with the same key.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from retrieval.api.auth import Caller
from retrieval.catalog.transaction import Transaction
from retrieval.errors import InvalidInput
from retrieval.ids import ProjectId

HEADER: Final = "idempotency-key"
AGAIN: Final = "idempotent-replayed"
LONGEST_KEY: Final = 255

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request under a key of its own."""

    project: ProjectId
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answer
    again: bool  # nothing was done: it had been before

    def mark(self, response: Response) -> Response:
        if self.again:
            response.headers[AGAIN] = "true"
        return response


def wanted(request: Request, caller: Caller, *said: str) -> Wanted | None:
    """None without a key. `said`: what makes this request another than the next."""
    key = request.headers.get(HEADER)
    if not key:
        return None
    if len(key) > LONGEST_KEY:
        sentence = f"'Idempotency-Key' has at most {LONGEST_KEY} characters."
        raise InvalidInput(sentence, param="Idempotency-Key", code="string_above_max_length")
    parts = json.dumps([request.method, request.url.path, *said])
    return Wanted(caller.project, key, sha256(parts.encode()).hexdigest())


def once(tx: Transaction, want: Wanted | None, now: int, act: Callable[[], Answer]) -> Done:
    """`act` works in `tx`; nothing else may have been done in it before."""
    if want is None:
        return Done(act(), again=False)
    kept = tx.kept_answers.begin(want.project, want.key, want.fingerprint, now)
    if kept is None:
        answer = act()
        tx.kept_answers.keep(want.project, want.key, json.dumps(answer))
        return Done(answer, again=False)
    if kept.fingerprint != want.fingerprint:
        sentence = "This 'Idempotency-Key' came with another request within a day. Use a key for one request only."
        raise InvalidInput(sentence, param="Idempotency-Key", code="invalid_value")
    return Done(json.loads(kept.answer), again=True)
