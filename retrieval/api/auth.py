"""Who asks: a bearer key -> its project and scopes. Keys are looked up by hash and remembered for a moment."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from retrieval.catalog.account_rows import KeyRow, Limits, Scope
from retrieval.catalog.keys import hash_of
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotAuthenticated, NotPermitted
from retrieval.ids import ProjectId

REMEMBERED_SECONDS: Final = 2.0  # how long a revoked key may still be taken by this process
REMEMBERED_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent the request, as far as routes may know."""

    project: ProjectId
    key: KeyRow | None  # None: no keys are asked for
    limits: Limits = field(default_factory=dict)  # the project's own

    def require(self, scope: Scope) -> None:
        if self.key is not None and not self.key.scopes & {scope, Scope.ADMIN}:
            raise NotPermitted(f"This key may not {scope.value}: it lacks the scope '{scope.value}'.")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog said of a key, and when."""

    key: KeyRow | None  # None: the open project, which needs none
    project: ProjectId
    limits: Limits
    now: int  # by the catalog's clock
    moment: float


class Gate:
    """Checks keys. With `open_project`, everybody is let in as that project (loopback only)."""

    def __init__(self, catalog: Catalog, pepper: bytes, *, open_project: ProjectId | None = None) -> None:
        self._catalog = catalog
        self._pepper = pepper
        self._open_project = open_project
        self._known: OrderedDict[bytes, _Known] = OrderedDict()  # by marks
        self._lock = threading.Lock()  # guards _known

    def admit(self, authorization: str | None, *, project: str | None = None) -> Caller:
        """The caller behind an Authorization header; `project` is the one that another header claims."""
        secret = self._secret(authorization)
        return _caller(self._remembered(secret) or self._found(secret), project)

    def recall(self, authorization: str | None, *, project: str | None = None) -> Caller | None:
        """As `admit`, for whoever must not wait: None if the catalog has to be asked."""
        known = self._remembered(self._secret(authorization))
        return None if known is None else _caller(known, project)

    def _secret(self, authorization: str | None) -> str:
        """The key that was sent; the open project's is empty, whatever was sent."""
        if self._open_project is not None:
            return ""
        scheme, _, secret = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotAuthenticated(
                "You didn't provide an API key. Send it in the header 'Authorization: Bearer YOUR_KEY'."
            )
        return secret.strip()

    def _mark(self, secret: str) -> bytes:
        """By what a key is remembered, so that none lies in memory; quicker at each request than its stored hash."""
        return blake2b(secret.encode(errors="surrogatepass"), key=self._pepper[: blake2b.MAX_KEY_SIZE]).digest()

    def _remembered(self, secret: str) -> _Known | None:
        mark = self._mark(secret)
        with self._lock:
            known = self._known.get(mark)
        return known if known is not None and time.monotonic() - known.moment < REMEMBERED_SECONDS else None

    def _found(self, secret: str) -> _Known | None:
        """What the catalog says of the key and the limits of its project; without a key, of the open project."""
        moment, mark = time.monotonic(), self._mark(secret)
        with self._catalog.reading() as tx:
            key = tx.keys.find(hash_of(secret, self._pepper)) if secret else None
            project = key.project_id if key else None if secret else self._open_project
            limits = tx.projects.get(project).limits if project else {}
        known = None if project is None else _Known(key, project, limits, self._catalog.now(), moment)
        with self._lock:
            if known is None:
                self._known.pop(mark, None)
            else:
                self._known[mark] = known
                self._known.move_to_end(mark)
                while len(self._known) > REMEMBERED_KEYS:
                    self._known.popitem(last=False)
        return known


def _caller(known: _Known | None, project: str | None) -> Caller:
    """Whoever that is, if the key holds still and belongs to the project that is claimed."""
    key = known.key if known else None
    if known is None or (key and not key.valid_at(known.now + int(time.monotonic() - known.moment))):
        raise NotAuthenticated("Incorrect API key provided.", code="invalid_api_key")
    if key and project and project != key.project_id:
        raise NotAuthenticated("The key does not belong to the project named in 'OpenAI-Project'.")
    return Caller(known.project, key, known.limits)
