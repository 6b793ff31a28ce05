"""The tables of what is on its way: holds of exports and backups, and imports."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Table, Text, text

from retrieval.catalog.tables import Serial, metadata

# What may not be swept for a while, because an export or a backup reads it: all of a store, or, without one, anything.
holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, nullable=True),
    Column("store_id", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("held_until", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),  # however often it is renewed
    Column("generation", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
)

imports = Table(
    "imports",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("file_id", Text, nullable=False),  # the archive; it may be deleted
    Column("keep_ids", Boolean, nullable=False),
    Column("model", Text, nullable=True),  # null: the archive's vectors as they are
    Column("name", Text, nullable=True),
    Column("store_id", Text, nullable=True),
    Column("status", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("bytes_done", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("unchanged", Boolean, nullable=False),
    Column("error_message", Text, nullable=True),
    Column("attempt", BigInteger, nullable=False),
    Column("deaths", BigInteger, nullable=False),
    Column("lease_token", Text, nullable=True),
    Column("leased_until", BigInteger, nullable=False),
    Column("settled_at", BigInteger, nullable=True),
    Index(
        "ix_imports_waiting",
        "serial",
        sqlite_where=text("status = 'in_progress'"),
        postgresql_where=text("status = 'in_progress'"),
    ),
)
