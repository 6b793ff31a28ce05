"""Projects: who owns things. Projects are invisible to each other: every statement on their things names one."""

from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, update

from retrieval.catalog.account_rows import Limits, ProjectRow
from retrieval.catalog.conflicts import Values, insert_unless_there
from retrieval.catalog.tables import projects
from retrieval.catalog.values import number_map, storable, to_json
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import ProjectId, well_formed

# Built once: building costs more than executing.
_ADD_BYTES: Final = (
    update(projects)
    .where(projects.c.id == bindparam("whose"))
    .values(bytes_stored=projects.c.bytes_stored + bindparam("change"))
    .returning(projects.c.bytes_stored)
)


def _project(row: Row[Any]) -> ProjectRow:
    return ProjectRow(ProjectId(row.id), row.name, row.created_at, number_map(row.limits), row.bytes_stored)


class Projects:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, project: ProjectId, name: str, now: int, limits: Limits | None = None) -> ProjectRow:
        values: Values = {
            "id": project,
            "name": storable(name, "name"),
            "created_at": now,
            "limits": to_json(dict(limits or {})),
            "bytes_stored": 0,
        }
        row = insert_unless_there(self._connection, projects, values)
        if row is None:
            raise InvalidInput(f"A project named '{name}' exists already.", param="name")
        return _project(row)

    def get(self, project: ProjectId) -> ProjectRow:
        found = None
        if well_formed(project):
            found = self._connection.execute(select(projects).where(projects.c.id == project)).first()
        if found is None:
            raise NotFound(f"No such project: {project}", param="id")
        return _project(found)

    def named(self, name: str) -> ProjectRow | None:
        statement = select(projects).where(projects.c.name == storable(name, "name"))
        found = self._connection.execute(statement).first()
        return None if found is None else _project(found)

    def all(self) -> tuple[ProjectRow, ...]:
        return tuple(_project(row) for row in self._connection.execute(select(projects).order_by(projects.c.serial)))

    def set_limits(self, project: ProjectId, limits: Limits) -> ProjectRow:
        self.get(project)
        self._connection.execute(update(projects).where(projects.c.id == project).values(limits=to_json(dict(limits))))
        return self.get(project)

    def lock_and_add_bytes(self, project: ProjectId, change: int) -> int:
        """Move what the project stores, and hold its row until the commit: its files change one transaction at a
        time, so that the last of two equal files to be deleted is sure to be the last."""
        moved = self._connection.execute(_ADD_BYTES, {"whose": project, "change": change}).first()
        if moved is None:
            raise NotFound(f"No such project: {project}", param="id")
        stored: int = moved[0]
        return stored
