"""Presence: which workers are alive. Each says so every few seconds; who has not for a while is taken for gone."""

from typing import Final

from sqlalchemy import Connection, delete, func, select

from retrieval.catalog.conflicts import insert_or_replace
from retrieval.catalog.operation_tables import workers

BEAT_SECONDS: Final = 10
LIVE_SECONDS: Final = 35  # three beats, and a moment
FORGOTTEN_SECONDS: Final = 3600


class Presence:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, worker: str, now: int) -> None:
        """`worker` is alive; who has long been gone is forgotten on the way."""
        insert_or_replace(self._connection, workers, [{"id": worker, "seen_at": now}])
        self._connection.execute(delete(workers).where(workers.c.seen_at < now - FORGOTTEN_SECONDS))

    def leave(self, worker: str) -> None:
        self._connection.execute(delete(workers).where(workers.c.id == worker))

    def live(self, now: int) -> int:
        seen = select(func.count()).where(workers.c.seen_at > now - LIVE_SECONDS)
        return int(self._connection.execute(seen).scalar_one())
