"""What a request has used, noted where it is known: for its log line, its headers, its limits and the ledger."""

from fastapi import Request

from ingest.embedding import ModelSpec
from retrieval import ledger
from retrieval.api.auth import Caller
from retrieval.api.dependencies import Service
from retrieval.search.query import Answer


def embedded(request: Request, caller: Caller, spec: ModelSpec, tokens: int, kind: str) -> None:
    """`tokens` were embedded for the caller; `kind` is the ledger's word for what."""
    service: Service = request.app.state.service
    cost = tokens * spec.dollars_per_million_tokens / 1e6
    request.state.facts |= {"model": spec.name, "prompt_tokens": tokens, "cost_usd": cost}
    if not tokens:
        return
    request.state.standing |= service.limiter.charge_tokens(caller, tokens)
    key = caller.key.id if caller.key else None
    service.ledger.add(caller.project, key, kind, tokens)
    service.ledger.add(caller.project, key, ledger.MICRODOLLARS, round(cost * 1e6))


def searched(request: Request, caller: Caller, answer: Answer) -> None:
    service: Service = request.app.state.service
    if answer.tokens:
        spec = service.resources.embedders.spec(answer.model)
        embedded(request, caller, spec, answer.tokens, ledger.SEARCH_TOKENS)
    service.ledger.add(caller.project, caller.key.id if caller.key else None, ledger.SEARCHES)
    service.metrics.search(answer)


def uploaded(request: Request, caller: Caller, size: int) -> None:
    service: Service = request.app.state.service
    request.state.facts["bytes"] = size
    service.ledger.add(caller.project, caller.key.id if caller.key else None, ledger.UPLOADED_BYTES, size)
