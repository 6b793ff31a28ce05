"""Keys: who may ask. A key is kept as a keyed hash only; looking one up is a single indexed read."""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from retrieval.catalog.account_rows import KeyRow, Limits, Scope
from retrieval.catalog.conflicts import Values, insert_unless_there
from retrieval.catalog.projects import Projects
from retrieval.catalog.tables import keys
from retrieval.catalog.values import number_map, storable, text_list, to_json
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import KeyId, ProjectId, well_formed

_SHOWN = 4  # characters of a key that its hint keeps at either end
_USE_NOTED_EVERY_SECONDS = 3600


def hash_of(secret: str, pepper: bytes) -> str:
    """HMAC-SHA256. Keys are long and random, so a slow password hash would only slow every request down. Not by
    `hmac.digest`, which gives the interpreter's lock away for a few bytes and waits to have it back."""
    return hmac.new(pepper, secret.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def hint_of(secret: str) -> str:
    return f"{secret[:_SHOWN]}…{secret[-_SHOWN:]}" if len(secret) > 4 * _SHOWN else "…"


@dataclass(frozen=True, slots=True)
class NewKey:
    id: KeyId
    project_id: ProjectId
    name: str
    hash: str
    hint: str
    scopes: Collection[Scope]
    routes: Collection[str] | None = None  # None: all
    limits: Limits = field(default_factory=dict)
    expires_at: int | None = None


def _key(row: Row[Any]) -> KeyRow:
    return KeyRow(
        id=KeyId(row.id),
        project_id=ProjectId(row.project_id),
        name=row.name,
        hint=row.hint,
        scopes=frozenset(Scope(scope) for scope in text_list(row.scopes)),
        routes=None if row.routes is None else tuple(text_list(row.routes)),
        limits=number_map(row.limits),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


class Keys:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: NewKey, now: int) -> KeyRow:
        Projects(self._connection).get(key.project_id)
        values: Values = {
            "id": key.id,
            "project_id": key.project_id,
            "name": storable(key.name, "name"),
            "hash": key.hash,
            "hint": storable(key.hint, "key"),
            "scopes": to_json(sorted(key.scopes)),
            "routes": None if key.routes is None else to_json(sorted(key.routes)),
            "limits": to_json(dict(key.limits)),
            "created_at": now,
            "expires_at": key.expires_at,
        }
        row = insert_unless_there(self._connection, keys, values)
        if row is None:
            raise InvalidInput("This key exists already.", param="key")
        return _key(row)

    def find(self, key_hash: str) -> KeyRow | None:
        """The key with this hash, whether or not it is still valid: `KeyRow.valid_at` tells."""
        row = self._connection.execute(select(keys).where(keys.c.hash == key_hash)).first()
        return None if row is None else _key(row)

    def get(self, project: ProjectId, key: KeyId) -> KeyRow:
        row = None
        if well_formed(key):
            row = self._connection.execute(select(keys).where(keys.c.project_id == project, keys.c.id == key)).first()
        if row is None:
            raise NotFound(f"No such key: {key}", param="id")
        return _key(row)

    def all(self, project: ProjectId) -> tuple[KeyRow, ...]:
        wanted = select(keys).where(keys.c.project_id == project).order_by(keys.c.created_at, keys.c.serial)
        return tuple(_key(row) for row in self._connection.execute(wanted))

    def revoke(self, project: ProjectId, key: KeyId, now: int) -> KeyRow:
        self.get(project, key)
        self._connection.execute(
            update(keys).where(keys.c.id == key, keys.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        return self.get(project, key)

    def note_use(self, key: KeyId, now: int) -> None:
        """At most once an hour: requests are not to be writes."""
        stale = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= now - _USE_NOTED_EVERY_SECONDS)
        self._connection.execute(update(keys).where(keys.c.id == key, stale).values(last_used_at=now))
