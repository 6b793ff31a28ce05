"""Inserts that meet a row already there: PostgreSQL and SQLite write them alike, SQLAlchemy keeps them apart."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.sql.dml import ReturningInsert

Values = Mapping[str, str | int | float | bool | None]


def insert_unless_there(connection: Connection, table: Table, values: Values) -> Row[Any] | None:
    """The new row, or None where a unique value of it is taken, also by a transaction of this very moment."""
    return connection.execute(_unless_there(table, connection.dialect.name), values).first()


@cache
def _unless_there(table: Table, dialect: str) -> ReturningInsert[Any]:
    """Built once: building costs more than executing."""
    if dialect == "sqlite":
        return insert_sqlite(table).on_conflict_do_nothing().returning(*table.c)
    return insert_postgresql(table).on_conflict_do_nothing().returning(*table.c)


def insert_or_replace(
    connection: Connection, table: Table, rows: Sequence[Values], *, adding: str | None = None
) -> None:
    """By primary key, the old row's values give way to the new; those of the column `adding` are summed instead."""
    if not rows:
        return
    identity = [column.name for column in table.primary_key]
    insert = insert_sqlite(table) if connection.dialect.name == "sqlite" else insert_postgresql(table)
    changed: dict[str, ColumnElement[Any]] = {name: insert.excluded[name] for name in rows[0] if name not in identity}
    if adding is not None:
        changed[adding] = table.c[adding] + insert.excluded[adding]
    connection.execute(insert.on_conflict_do_update(index_elements=identity, set_=changed), [dict(row) for row in rows])
