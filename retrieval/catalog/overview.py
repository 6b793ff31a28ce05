"""Overview: the whole installation in a few numbers, for whoever watches it. Counted, not kept, and cheap to count:
what grows with the number of chunks or files is read from counts that other statements keep."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, literal_column, select

from retrieval.catalog.presence import Presence
from retrieval.catalog.rows import FileStatus
from retrieval.catalog.tables import entries, indexes, projects, segments, stores

# A literal, so that the index of waiting files serves.
_IN_PROGRESS = entries.c.status == literal_column(f"'{FileStatus.IN_PROGRESS.value}'")


@dataclass(frozen=True, slots=True)
class Overview:
    projects: int
    file_bytes: int
    stores: int
    generations: int  # of all stores, together: it grows with everything that is published
    files: Mapping[str, int]  # of stores, by status
    chunk_bytes: int  # text of chunks and their vectors
    segments: int  # live ones,
    segment_rows: int
    segment_bytes: int
    segments_coded: int  # of which have vector codes
    segments_removed: int  # and those that are still to be swept
    waiting: int  # files that nobody holds,
    held: int  # and those that a worker holds
    oldest_wait_seconds: int  # of those that nobody holds; 0: none waits
    workers: int


class Overviews:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, now: int) -> Overview:
        run = self._connection.execute
        owned = run(select(func.count(), func.coalesce(func.sum(projects.c.bytes_stored), 0))).one()
        kept = run(
            select(
                func.count().label("stores"),
                *(
                    func.coalesce(func.sum(column), 0).label(name)
                    for name, column in (
                        ("generations", stores.c.generation),
                        ("usage_bytes", stores.c.usage_bytes),
                        *((status.value, stores.c[f"files_{status.value}"]) for status in FileStatus),
                    )
                ),
            ).where(stores.c.deleted_at.is_(None))
        ).one()
        live = segments.c.removed_at.is_(None)
        stored = run(
            select(
                func.coalesce(func.sum(case((live, 1), else_=0)), 0).label("live"),
                func.coalesce(func.sum(case((live, segments.c.rows), else_=0)), 0).label("rows"),
                func.coalesce(func.sum(case((live, segments.c.bytes), else_=0)), 0).label("bytes"),
                func.count().label("all"),
            )
        ).one()
        coded = run(
            select(func.count(indexes.c.segment_id.distinct())).where(indexes.c.removed_at.is_(None))
        ).scalar_one()
        held = entries.c.lease_token.is_not(None) & (entries.c.leased_until > now)
        work = run(
            select(
                func.count().label("all"),
                func.coalesce(func.sum(case((held, 1), else_=0)), 0).label("held"),
                func.min(case((held, None), else_=entries.c.created_at)).label("since"),
            ).where(_IN_PROGRESS)
        ).one()
        return Overview(
            projects=owned[0],
            file_bytes=int(owned[1]),
            stores=kept.stores,
            generations=int(kept.generations),
            files={status.value: int(getattr(kept, status.value)) for status in FileStatus},
            chunk_bytes=int(kept.usage_bytes),
            segments=int(stored.live),
            segment_rows=int(stored.rows),
            segment_bytes=int(stored.bytes),
            segments_coded=coded,
            segments_removed=stored.all - int(stored.live),
            waiting=work.all - int(work.held),
            held=int(work.held),
            oldest_wait_seconds=0 if work.since is None else max(0, now - work.since),
            workers=Presence(self._connection).live(now),
        )
