"""Sources of a store and the reports of their runs: the wire's objects, and what requests may say."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from retrieval.api.schemas.attributes import METADATA_SCHEMA, parse_metadata, plain_text
from retrieval.api.schemas.chunking import CHUNKING_SCHEMA, chunking_answer, parse_chunking
from retrieval.api.validation import Closed
from retrieval.catalog.source_rows import (
    Change,
    Location,
    Outcome,
    RunRow,
    SourceKind,
    SourceRow,
    SourceWish,
)
from retrieval.errors import InvalidInput
from retrieval.sources.permits import Permits
from retrieval.sources.schedule import checked
from retrieval.sources.selection import HIDDEN, checked_patterns
from retrieval.sources.templates import check_template

MOST_URLS: Final = 1000
MOST_PATTERNS: Final = 100
USUAL_ATTRIBUTES: Final = {"path": "{path}"}

Path = Annotated[str, Field(min_length=1, max_length=4096)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
Pattern = Annotated[str, Field(min_length=1, max_length=512)]
Patterns = Annotated[list[Pattern], Field(max_length=MOST_PATTERNS)]


class DirectorySource(Closed):
    type: Literal["directory"]
    path: Path

    def location(self) -> Location:
        return Location(path=plain_text(self.path, "source.path"))


class S3Source(Closed):
    type: Literal["s3"]
    bucket: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]
    prefix: Annotated[str, Field(max_length=1024)] = ""

    def location(self) -> Location:
        return Location(bucket=self.bucket, prefix=plain_text(self.prefix, "source.prefix").strip("/"))


class UrlsSource(Closed):
    type: Literal["urls"]
    urls: Annotated[list[Url], Field(min_length=1, max_length=MOST_URLS)]

    def location(self) -> Location:
        return Location(urls=tuple(plain_text(url, f"source.urls[{at}]") for at, url in enumerate(self.urls)))


_KINDS: Final = {"directory": "DirectorySource", "s3": "S3Source", "urls": "UrlsSource"}


def _kind(given: object) -> str | None:
    """Which of the models is meant, under a name that no field has, so that refusals name fields only."""
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    if kind is None:
        return None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInput(
            "Invalid value for 'source.type': expected 'directory', 's3' or 'urls'.",
            param="source.type",
            code="invalid_value",
        )
    return _KINDS[kind]


AnySource = Annotated[
    Annotated[DirectorySource, Tag("DirectorySource")]
    | Annotated[S3Source, Tag("S3Source")]
    | Annotated[UrlsSource, Tag("UrlsSource")],
    Discriminator(_kind),
]


class Schedule(Closed):
    cron: Annotated[str, Field(min_length=1, max_length=200)]
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"


class CreateSource(Closed):
    source: AnySource
    include: Patterns | None = None
    exclude: Patterns | None = None
    attributes: Annotated[object, METADATA_SCHEMA] = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None
    schedule: Schedule | None = None
    max_removed_share: Annotated[float, Field(ge=0, le=1)] | None = None

    def wish(self, permits: Permits, now: int) -> tuple[SourceWish, int | None]:
        """What the source is to be, permitted and checked, and when it runs first."""
        kind, location = SourceKind(self.source.type), self.source.location()
        permits.check(kind, location)
        share = self.max_removed_share
        wish = SourceWish(
            kind=kind,
            location=location,
            include=_patterns(self.include or (), "include"),
            exclude=_excluded(self.exclude),
            attributes=_templates(self.attributes),
            chunking=parse_chunking(self.chunking_strategy),
            cron=None if self.schedule is None else self.schedule.cron,
            time_zone="UTC" if self.schedule is None else self.schedule.time_zone,
            max_removed_share=permits.max_removed_share if share is None else share,
        )
        return wish, None if wish.cron is None else checked(wish.cron, wish.time_zone, now)


class UpdateSource(Closed):
    """What is not named stays as it is; `null` brings back what a new source would have."""

    source: AnySource | None = None
    include: Patterns | None = None
    exclude: Patterns | None = None
    attributes: Annotated[object, METADATA_SCHEMA] = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None
    schedule: Schedule | None = None
    max_removed_share: Annotated[float, Field(ge=0, le=1)] | None = None

    def wish(self, old: SourceRow, permits: Permits, now: int) -> tuple[SourceWish, int | None]:
        was, named = old.wish, self.model_fields_set
        kind, location = was.kind, was.location
        if self.source is not None:
            kind, location = SourceKind(self.source.type), self.source.location()
        permits.check(kind, location)
        cron, zone = was.cron, was.time_zone
        if "schedule" in named:
            cron = None if self.schedule is None else self.schedule.cron
            zone = "UTC" if self.schedule is None else self.schedule.time_zone
        share = was.max_removed_share
        if "max_removed_share" in named:
            share = permits.max_removed_share if self.max_removed_share is None else self.max_removed_share
        wish = SourceWish(
            kind=kind,
            location=location,
            include=_patterns(self.include or (), "include") if "include" in named else was.include,
            exclude=_excluded(self.exclude) if "exclude" in named else was.exclude,
            attributes=_templates(self.attributes) if "attributes" in named else was.attributes,
            chunking=parse_chunking(self.chunking_strategy) if "chunking_strategy" in named else was.chunking,
            cron=cron,
            time_zone=zone,
            max_removed_share=share,
        )
        if "schedule" not in named:
            return wish, old.next_run_at
        return wish, None if cron is None else checked(cron, zone, now)


class RefreshSource(Closed):
    dry_run: bool = False
    force: bool = False


def _patterns(given: Sequence[str], param: str) -> tuple[str, ...]:
    return checked_patterns([plain_text(one, f"{param}[{at}]") for at, one in enumerate(given)], param)


def _excluded(given: Sequence[str] | None) -> tuple[str, ...]:
    return (HIDDEN,) if given is None else _patterns(given, "exclude")


def _templates(given: object) -> dict[str, str]:
    """Attributes as they are to be made; without any, the path alone. An empty map is none at all."""
    if given is None:
        return dict(USUAL_ATTRIBUTES)
    found = parse_metadata(given, "attributes")
    for key, template in found.items():
        check_template(template, f"attributes.{key}")
    return found


class SourceObject(BaseModel):
    id: str
    object: Literal["vector_store.source"] = "vector_store.source"
    created_at: int
    vector_store_id: str
    source: dict[str, Any]
    include: list[str]
    exclude: list[str]
    attributes: dict[str, str]
    chunking_strategy: dict[str, Any]
    schedule: Schedule | None
    next_run_at: int | None
    max_removed_share: float
    run_id: str | None = Field(description="The run under way.")

    @classmethod
    def of(cls, row: SourceRow) -> "SourceObject":
        wish = row.wish
        return cls(
            id=row.id,
            created_at=row.created_at,
            vector_store_id=row.store_id,
            source=_place(wish),
            include=list(wish.include),
            exclude=list(wish.exclude),
            attributes=dict(wish.attributes),
            chunking_strategy=chunking_answer(wish.chunking),
            schedule=None if wish.cron is None else Schedule(cron=wish.cron, time_zone=wish.time_zone),
            next_run_at=row.next_run_at,
            max_removed_share=wish.max_removed_share,
            run_id=row.run_id,
        )


def _place(wish: SourceWish) -> dict[str, Any]:
    where = wish.location
    match wish.kind:
        case SourceKind.DIRECTORY:
            return {"type": "directory", "path": where.path}
        case SourceKind.S3:
            return {"type": "s3", "bucket": where.bucket, "prefix": where.prefix}
        case SourceKind.URLS:
            return {"type": "urls", "urls": list(where.urls)}


class SourceList(BaseModel):
    object: Literal["list"] = "list"
    data: list[SourceObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class SourceDeleted(BaseModel):
    id: str
    object: Literal["vector_store.source.deleted"] = "vector_store.source.deleted"
    deleted: Literal[True] = True


class RunCounts(BaseModel):
    listed: int
    added: int
    changed: int
    removed: int
    unchanged: int
    failed: int


class RunEmbedding(BaseModel):
    """What the run paid for: chunks whose vector was not known already."""

    texts: int
    tokens: int
    calls: int
    dollars: float


class RunFailure(BaseModel):
    path: str
    reason: str


class RunChanges(BaseModel):
    """The first thousand of each; `counts` has them all."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    failed: list[RunFailure]


class RunObject(BaseModel):
    id: str
    object: Literal["vector_store.source_run"] = "vector_store.source_run"
    created_at: int
    started_at: int | None
    ended_at: int | None
    seconds: int | None
    vector_store_id: str
    source_id: str
    status: Literal["queued", "running", "indexing", "completed", "stopped", "failed"]
    message: str | None
    asked_by: Literal["schedule", "request"]
    dry_run: bool
    force: bool
    counts: RunCounts
    bytes_read: int
    chunks: int
    embedding: RunEmbedding
    changes: RunChanges | None = Field(description="Only where one run is asked for.")

    @classmethod
    def of(cls, row: RunRow, store: str, changes: Sequence[Change] | None = None) -> "RunObject":
        counts = row.counts
        began, ended = row.started_at, row.ended_at
        return cls(
            id=row.id,
            created_at=row.created_at,
            started_at=began,
            ended_at=ended,
            seconds=None if began is None or ended is None else ended - began,
            vector_store_id=store,
            source_id=row.source_id,
            status=row.status.value,
            message=row.message,
            asked_by=row.asked_by.value,
            dry_run=row.dry_run,
            force=row.force,
            counts=RunCounts(
                listed=counts.listed,
                added=counts.added,
                changed=counts.changed,
                removed=counts.removed,
                unchanged=counts.unchanged,
                failed=counts.failed,
            ),
            bytes_read=counts.bytes_read,
            chunks=counts.chunks,
            embedding=RunEmbedding(
                texts=counts.texts_embedded,
                tokens=counts.tokens_embedded,
                calls=counts.embedding_calls,
                dollars=row.dollars,
            ),
            changes=None if changes is None else _changes(changes),
        )


def _changes(changes: Sequence[Change]) -> RunChanges:
    def of(outcome: Outcome) -> list[str]:
        return [change.key for change in changes if change.outcome is outcome]

    failed = [RunFailure(path=one.key, reason=one.reason or "") for one in changes if one.outcome is Outcome.FAILED]
    return RunChanges(added=of(Outcome.ADDED), changed=of(Outcome.CHANGED), removed=of(Outcome.REMOVED), failed=failed)


class RunList(BaseModel):
    object: Literal["list"] = "list"
    data: list[RunObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
