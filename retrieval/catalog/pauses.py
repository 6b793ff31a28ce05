"""Pauses: until when an embedding service wants to be left alone by all processes, and how often it has said so."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from retrieval.catalog.conflicts import insert_unless_there
from retrieval.catalog.tables import pauses


@dataclass(frozen=True, slots=True)
class PauseRow:
    epoch: int  # grows with each pause
    refusals: int  # in a row
    until_ms: int


class UpstreamPauses:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, upstream: str) -> PauseRow:
        wanted = select(pauses.c.epoch, pauses.c.refusals, pauses.c.until).where(pauses.c.upstream == upstream)
        row = self._connection.execute(wanted).first()
        return PauseRow(0, 0, 0) if row is None else PauseRow(*row)

    def begin(self, upstream: str, epoch: int, until_ms: int, *, asked: bool) -> PauseRow:
        """Begin the pause after `epoch`, unless it has begun; prolong one that has if the service `asked` for more."""
        insert_unless_there(self._connection, pauses, {"upstream": upstream, "epoch": 0, "refusals": 0, "until": 0})
        here = pauses.c.upstream == upstream
        begun = self._connection.execute(
            update(pauses)
            .where(here, pauses.c.epoch == epoch)
            .values(epoch=epoch + 1, refusals=pauses.c.refusals + 1, until=until_ms)
        )
        if not begun.rowcount and asked:
            self._connection.execute(update(pauses).where(here, pauses.c.until < until_ms).values(until=until_ms))
        return self.get(upstream)

    def end(self, upstream: str) -> None:
        self._connection.execute(
            update(pauses).where(pauses.c.upstream == upstream, pauses.c.refusals > 0).values(refusals=0)
        )
