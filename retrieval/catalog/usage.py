"""Usage: what projects and keys have consumed, per day and kind.

Callers gather and write now and then; a row per request would make every search a write.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from retrieval.catalog.account_rows import UsageRow
from retrieval.catalog.conflicts import insert_or_replace
from retrieval.catalog.tables import usage
from retrieval.ids import KeyId, ProjectId


class Usage:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Add quantities to what stands there. All writers go in one order, so that none blocks another for ever."""
        values = [
            {
                "project_id": row.project_id,
                "day": row.day,
                "kind": row.kind,
                "key_id": row.key_id or "",
                "quantity": row.quantity,
            }
            for row in rows
        ]
        values.sort(key=lambda row: (row["project_id"], row["day"], row["kind"], row["key_id"]))
        insert_or_replace(self._connection, usage, values, adding="quantity")

    def of(self, project: ProjectId, first_day: int, last_day: int) -> tuple[UsageRow, ...]:
        wanted = (
            select(usage)
            .where(usage.c.project_id == project, usage.c.day.between(first_day, last_day))
            .order_by(usage.c.day, usage.c.kind, usage.c.key_id)
        )
        return tuple(
            UsageRow(project, KeyId(row.key_id) if row.key_id else None, row.day, row.kind, row.quantity)
            for row in self._connection.execute(wanted)
        )

    def total(self, project: ProjectId, kind: str, first_day: int, last_day: int) -> int:
        wanted = select(func.coalesce(func.sum(usage.c.quantity), 0)).where(
            usage.c.project_id == project, usage.c.kind == kind, usage.c.day.between(first_day, last_day)
        )
        return int(self._connection.execute(wanted).scalar_one())

    def totals(self, first_day: int, last_day: int) -> dict[str, int]:
        """Of all projects and keys together, by kind."""
        wanted = (
            select(usage.c.kind, func.sum(usage.c.quantity))
            .where(usage.c.day.between(first_day, last_day))
            .group_by(usage.c.kind)
        )
        return {kind: int(total) for kind, total in self._connection.execute(wanted)}
