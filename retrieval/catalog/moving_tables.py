"""The tables of what is on its way: holds of exports and backups, and imports."""

from sqlalchemy import Boolean, Column, Index, Table, Text, text

from retrieval.catalog.columns import belongs, identity, number, serial, text_column
from retrieval.catalog.tables import metadata

# What may not be swept for a while, because an export or a backup reads it: all of a store, or, without one, anything.
holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("project_id", nullable=True),
    text_column("store_id", nullable=True),
    number("created_at"),
    number("held_until"),
    number("ends_at"),  # however often it is renewed
    number("generation"),
    number("bytes"),
    number("files"),
    number("chunks"),
    text_column("etag"),
)

imports = Table(
    "imports",
    metadata,
    serial(),
    identity(),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("file_id"),  # the archive; it may be deleted
    Column("keep_ids", Boolean, nullable=False),
    text_column("model", nullable=True),  # null: the archive's vectors as they are
    text_column("name", nullable=True),
    text_column("store_id", nullable=True),
    text_column("status"),
    number("bytes"),
    number("bytes_done"),
    number("files"),
    Column("unchanged", Boolean, nullable=False),
    text_column("error_message", nullable=True),
    number("attempt"),
    number("deaths"),
    text_column("lease_token", nullable=True),
    number("leased_until"),
    number("settled_at", nullable=True),
    Index(
        "ix_imports_waiting",
        "serial",
        sqlite_where=text("status = 'in_progress'"),
        postgresql_where=text("status = 'in_progress'"),
    ),
)
