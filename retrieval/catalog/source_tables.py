"""Tables of what refresh knows: sources of stores, their items as last seen, runs and what each run did.

`item_key` is whatever names an item within its source: a relative path, an object's name, a URL.
"""

from sqlalchemy import (
    BigInteger,
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

from retrieval.catalog.tables import Serial, metadata

sources = Table(
    "sources",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("store_id", Text, ForeignKey("vector_stores.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("location", Text, nullable=False),  # JSON
    Column("include", Text, nullable=False),  # JSON
    Column("exclude", Text, nullable=False),  # JSON
    Column("attributes", Text, nullable=False),  # JSON: templates
    Column("chunk_max_tokens", BigInteger, nullable=True),  # null: auto
    Column("chunk_overlap_tokens", BigInteger, nullable=True),
    Column("cron", Text, nullable=True),
    Column("time_zone", Text, nullable=False),
    Column("max_removed_share", Double, nullable=False),
    Column("next_run_at", BigInteger, nullable=True),
    Column("run_id", Text, nullable=True),  # the run that has not ended
    Column("lease_token", Text, nullable=True),
    Column("leased_until", BigInteger, nullable=False),
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
    Column("project_id", Text, nullable=False),
    Column("bytes", BigInteger, nullable=True),
    Column("modified_ns", BigInteger, nullable=True),
    Column("etag", Text, nullable=True),
    Column("sha256", Text, nullable=False),
    Column("recipe", Text, nullable=False),  # which templates and chunking made its entry what it is
    Column("file_id", Text, nullable=False),  # not a foreign key: callers may delete the file
    Column("replaces", Text, nullable=True),  # the file that is found until `file_id` is
    Column("run_id", Text, nullable=False),  # the run that changed it last
    Column("outcome", Text, nullable=False),  # in that run
    Index("ix_source_items_file_id", "file_id"),
)

# Files that a source no longer needs: deleted as soon as no store holds them.
source_leftovers = Table(
    "source_leftovers",
    metadata,
    Column("source_id", Text, ForeignKey("sources.id"), primary_key=True),
    Column("file_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
)

source_runs = Table(
    "source_runs",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("source_id", Text, ForeignKey("sources.id"), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=True),
    Column("ended_at", BigInteger, nullable=True),
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=True),
    Column("asked_by", Text, nullable=False),  # schedule | request
    Column("dry_run", Boolean, nullable=False),
    Column("force", Boolean, nullable=False),
    *(
        Column(name, BigInteger, nullable=False)
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
    Column("project_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=True),
)
