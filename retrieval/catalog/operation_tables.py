"""The tables of running it: who works, and what was answered to requests that may come again."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from retrieval.catalog.tables import metadata

# When each worker was last heard of. They belong to no project.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
)

# Kept for a day.
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text, nullable=False),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Index("ix_kept_answers_created_at", "created_at"),
)
