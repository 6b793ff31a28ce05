"""Who asks: a bearer key -> its project and scopes. Keys are looked up by hash and remembered for a moment."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
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


class Gate:
    """Checks keys. With `open_project`, everybody is let in as that project (loopback only)."""

    def __init__(self, catalog: Catalog, pepper: bytes, *, open_project: ProjectId | None = None) -> None:
        self._catalog = catalog
        self._pepper = pepper
        self._open_project = open_project
        self._known: OrderedDict[str, tuple[float, KeyRow | None, Limits]] = OrderedDict()
        self._lock = threading.Lock()  # guards _known

    def admit(self, authorization: str | None, *, project: str | None = None) -> Caller:
        """The caller behind an Authorization header; `project` is the one that another header claims."""
        if self._open_project is not None:
            return Caller(self._open_project, None, self._remembered("")[1])
        scheme, _, secret = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotAuthenticated(
                "You didn't provide an API key. Send it in the header 'Authorization: Bearer YOUR_KEY'."
            )
        key, limits = self._remembered(hash_of(secret.strip(), self._pepper))
        if key is None or not key.valid_at(self._catalog.now()):
            raise NotAuthenticated("Incorrect API key provided.", code="invalid_api_key")
        if project and project != key.project_id:
            raise NotAuthenticated("The key does not belong to the project named in 'OpenAI-Project'.")
        return Caller(key.project_id, key, limits)

    def _remembered(self, hashed: str) -> tuple[KeyRow | None, Limits]:
        """The key with this hash and the limits of its project; without a hash, those of the open project."""
        moment = time.monotonic()
        with self._lock:
            known = self._known.get(hashed)
            if known is not None and moment - known[0] < REMEMBERED_SECONDS:
                return known[1], known[2]
        with self._catalog.reading() as tx:
            key = tx.keys.find(hashed) if hashed else None
            project = key.project_id if key else None if hashed else self._open_project
            limits = tx.projects.get(project).limits if project else {}
        with self._lock:
            if project is None:
                self._known.pop(hashed, None)
            else:
                self._known[hashed] = (moment, key, limits)
                while len(self._known) > REMEMBERED_KEYS:
                    self._known.popitem(last=False)
        return key, limits
