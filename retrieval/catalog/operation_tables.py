"""The tables of running it: who works, and what was answered to requests that may come again."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from retrieval.catalog.columns import number, text_column
from retrieval.catalog.tables import metadata

# When each worker was last heard of. They belong to no project.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    number("seen_at"),
)

# Kept for a day.
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    text_column("fingerprint"),
    text_column("answer"),  # JSON
    number("created_at"),
    Index("ix_kept_answers_created_at", "created_at"),
)
