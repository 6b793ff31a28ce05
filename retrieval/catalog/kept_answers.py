"""Kept answers: what was answered to requests that carried a key of their own, in the commit that did what they asked.

A request that comes again with its key finds the answer instead of doing the thing twice. The row is written first and
in the same transaction: of twins that come at once, the second waits for the first's commit and then reads its answer,
or, should the first fail, does the work itself. They are kept for a day.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, select, update

from retrieval.catalog.conflicts import Values, insert_unless_there
from retrieval.catalog.operation_tables import kept_answers
from retrieval.ids import ProjectId

KEPT_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    fingerprint: str  # of the request, so that another one under the same key is noticed
    answer: str  # JSON


class KeptAnswers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, project: ProjectId, key: str, fingerprint: str, now: int) -> KeptAnswer | None:
        """None: the request is new, and `keep` is to follow in this transaction. Otherwise what was answered to it."""
        mine = (kept_answers.c.project_id == project) & (kept_answers.c.key == key)
        self._connection.execute(delete(kept_answers).where(mine, kept_answers.c.created_at <= now - KEPT_SECONDS))
        values: Values = {
            "project_id": project,
            "key": key,
            "fingerprint": fingerprint,
            "answer": "",
            "created_at": now,
        }
        if insert_unless_there(self._connection, kept_answers, values) is not None:
            return None
        row = self._connection.execute(select(kept_answers).where(mine)).one()
        return KeptAnswer(row.fingerprint, row.answer)

    def keep(self, project: ProjectId, key: str, answer: str) -> None:
        mine = (kept_answers.c.project_id == project) & (kept_answers.c.key == key)
        self._connection.execute(update(kept_answers).where(mine).values(answer=answer))

    def forget(self, before: int, most: int) -> int:
        """Answers of long ago; how many went."""
        some = (
            select(kept_answers.c.project_id, kept_answers.c.key).where(kept_answers.c.created_at <= before).limit(most)
        )
        found = self._connection.execute(some).all()
        for project, key in found:
            mine = (kept_answers.c.project_id == project) & (kept_answers.c.key == key)
            self._connection.execute(delete(kept_answers).where(mine))
        return len(found)
