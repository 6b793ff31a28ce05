"""Paging: which elements of an ordered list make one page, whatever the list is of.

Elements stand in the order of their position (second of creation, then serial), so that pages neither skip nor
repeat though many share a second. A cursor is an element's id; one deleted meanwhile still marks where it stood.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Row, Select, Table, and_, insert, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from retrieval.catalog.rows import Page
from retrieval.catalog.tables import departed
from retrieval.errors import InvalidInput
from retrieval.ids import well_formed

Position = tuple[int, int]  # created_at, serial
Order = Literal["asc", "desc"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageQuery:
    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Positions strictly between two bounds, read from the low end or from the high end."""

    above: Position | None
    below: Position | None
    from_low_end: bool
    reversed_for_caller: bool  # read from the far end: the page is turned round before it is shown


def window(order: Order, after: Position | None, before: Position | None) -> Window:
    """With `before` alone, a page is the elements next to it; otherwise travel goes from `after` in list order."""
    ascending = order == "asc"
    above, below = (after, before) if ascending else (before, after)
    turned = before is not None and after is None
    return Window(above, below, from_low_end=ascending != turned, reversed_for_caller=turned)


def shown(found: Sequence[T], limit: int, view: Window) -> Page[T]:
    """`found` are the elements of the window in reading order, one more than the limit if there are as many."""
    items = tuple(found[:limit])
    return Page(items[::-1] if view.reversed_for_caller else items, has_more=len(found) > limit)


def page(
    connection: Connection,
    elements: Select[Any],
    table: Table,
    identity: ColumnElement[str],
    scope: str,
    query: PageQuery,
    convert: Callable[[Row[Any]], T],
) -> Page[T]:
    """One page of `elements`; `identity` is the id that cursors name, `scope` the id of what owns the list.

    A cursor may name an element that a filter of `elements` leaves out.
    """
    owner = table.c.store_id if "store_id" in table.c else table.c.project_id

    def position(cursor: str | None, param: str) -> Position | None:
        if not cursor:
            return None
        row = None
        if well_formed(cursor):
            here = select(table.c.created_at, table.c.serial).where(owner == scope, identity == cursor)
            gone = select(departed.c.created_at, departed.c.serial).where(
                departed.c.scope == scope, departed.c.id == cursor
            )
            row = connection.execute(here).first() or connection.execute(gone).first()
        if row is None:
            raise InvalidInput(f"No element with id '{cursor}' in this list.", param=param, code="invalid_value")
        return row[0], row[1]

    view = window(query.order, position(query.after, "after"), position(query.before, "before"))
    place = tuple_(table.c.created_at, table.c.serial)
    bounds = [place > tuple_(*view.above)] if view.above else []
    bounds += [place < tuple_(*view.below)] if view.below else []
    keys = (table.c.created_at, table.c.serial)
    ordering = keys if view.from_low_end else tuple(key.desc() for key in keys)
    wanted = elements.where(and_(True, *bounds)).order_by(*ordering).limit(query.limit + 1)
    return shown([convert(row) for row in connection.execute(wanted)], query.limit, view)


def remember_place(connection: Connection, scope: str, identity: str, project: str, place: Position, now: int) -> None:
    """Keep the place of an element that is being deleted. The same file may leave a store again and again."""
    remember_places(connection, scope, {identity: place}, project, now)


def remember_places(connection: Connection, scope: str, places: Mapping[str, Position], project: str, now: int) -> None:
    """Those of several elements, by their ids."""
    connection.execute(departed.delete().where(departed.c.scope == scope, departed.c.id.in_(list(places))))
    whose = {"scope": scope, "project_id": project, "departed_at": now}
    rows = [{**whose, "id": one, "created_at": at, "serial": serial} for one, (at, serial) in places.items()]
    connection.execute(insert(departed), rows)
