"""Tables of what refresh knows: sources of stores, their items as last seen, runs and what each run did.

`item_key` is whatever names an item within its source: a relative path, an object's name, a URL.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Table,
    Text,
    text,
)

from retrieval.catalog.columns import belongs, identity, number, serial, text_column
from retrieval.catalog.tables import metadata

sources = Table(
    "sources",
    metadata,
    serial(),
    identity(),
    belongs("store_id", "vector_stores.id"),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("kind"),
    text_column("location"),  # JSON
    text_column("include"),  # JSON
    text_column("exclude"),  # JSON
    text_column("attributes"),  # JSON: templates
    number("chunk_max_tokens", nullable=True),  # null: auto
    number("chunk_overlap_tokens", nullable=True),
    text_column("cron", nullable=True),
    text_column("time_zone"),
    Column("max_removed_share", Double, nullable=False),
    number("next_run_at", nullable=True),
    text_column("run_id", nullable=True),  # the run that has not ended
    text_column("lease_token", nullable=True),
    number("leased_until"),
    CheckConstraint("kind IN ('directory', 's3', 'urls')", name="kind"),
    Index("ix_sources_page", "store_id", "created_at", "serial"),
    Index(
        "ix_sources_due",
        "next_run_at",
        sqlite_where=text("next_run_at IS NOT NULL"),
        postgresql_where=text("next_run_at IS NOT NULL"),
    ),
    Index(
        "ix_sources_running",
        "serial",
        sqlite_where=text("run_id IS NOT NULL"),
        postgresql_where=text("run_id IS NOT NULL"),
    ),
)

source_items = Table(
    "source_items",
    metadata,
    Column("source_id", Text, ForeignKey("sources.id"), primary_key=True),
    Column("item_key", Text, primary_key=True),
    text_column("project_id"),
    number("bytes", nullable=True),
    number("modified_ns", nullable=True),
    text_column("etag", nullable=True),
    text_column("sha256"),
    text_column("recipe"),  # which templates and chunking made its entry what it is
    text_column("file_id"),  # not a foreign key: callers may delete the file
    text_column("replaces", nullable=True),  # the file that is found until `file_id` is
    text_column("run_id"),  # the run that changed it last
    text_column("outcome"),  # in that run
    Index("ix_source_items_file_id", "file_id"),
)

# Files that a source no longer needs: deleted as soon as no store holds them.
source_leftovers = Table(
    "source_leftovers",
    metadata,
    Column("source_id", Text, ForeignKey("sources.id"), primary_key=True),
    Column("file_id", Text, primary_key=True),
    text_column("project_id"),
)

source_runs = Table(
    "source_runs",
    metadata,
    serial(),
    identity(),
    belongs("source_id", "sources.id"),
    text_column("project_id"),
    number("created_at"),
    number("started_at", nullable=True),
    number("ended_at", nullable=True),
    text_column("status"),
    text_column("message", nullable=True),
    text_column("asked_by"),  # schedule | request
    Column("dry_run", Boolean, nullable=False),
    Column("force", Boolean, nullable=False),
    *(
        number(name)
        for name in (
            "listed",
            "added",
            "changed",
            "removed",
            "unchanged",
            "failed",
            "bytes_read",
            "chunks",
            "texts_embedded",
            "tokens_embedded",
            "embedding_calls",
        )
    ),
    Column("dollars", Double, nullable=False),
    CheckConstraint("status IN ('queued', 'running', 'indexing', 'completed', 'stopped', 'failed')", name="status"),
    Index("ix_source_runs_page", "source_id", "created_at", "serial"),
)

# What a run did to which item, as far as a report lists it.
source_changes = Table(
    "source_changes",
    metadata,
    Column("run_id", Text, ForeignKey("source_runs.id"), primary_key=True),
    Column("item_key", Text, primary_key=True),
    text_column("project_id"),
    text_column("outcome"),
    text_column("reason", nullable=True),
)
