"""The tables: what is stored where, and the rules the database itself keeps.

Every row carries its project. `serial` is the order of insertion and breaks ties of whole seconds. Lengths are
not limited here: whoever takes a value from a caller does that. Migrations build the same tables; a test compares.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself only in a column of this very type


def _serial() -> Column[int]:
    return Column("serial", Serial, primary_key=True, autoincrement=True)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _numbered(name: str) -> Column[int]:
    """A number that came with a later step: rows of before have 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _id() -> Column[str]:
    return Column("id", Text, nullable=False, unique=True)


def _belongs(name: str, target: str) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=False)


def _counts() -> tuple[Column[int] | CheckConstraint, ...]:
    """How many files stand in each status; a count below zero is a bug that must not be committed."""
    names = ("files_in_progress", "files_completed", "files_failed", "files_cancelled")
    below_zero = " AND ".join(f"{name} >= 0" for name in names)
    return (*(_number(name) for name in names), CheckConstraint(below_zero, name="counts"))


projects = Table(
    "projects",
    metadata,
    _serial(),
    _id(),
    Column("name", Text, nullable=False, unique=True),
    _number("created_at"),
    _text("limits"),  # JSON
    _number("bytes_stored"),
    CheckConstraint("bytes_stored >= 0", name="bytes_stored"),
)

keys = Table(
    "keys",
    metadata,
    _serial(),
    _id(),
    _belongs("project_id", "projects.id"),
    _text("name"),
    _text("hint"),
    Column("hash", Text, nullable=False, unique=True),
    _text("scopes"),  # JSON
    _text("routes", nullable=True),  # JSON
    _text("limits"),  # JSON
    _number("created_at"),
    _number("expires_at", nullable=True),
    _number("revoked_at", nullable=True),
    _number("last_used_at", nullable=True),
    Index("ix_keys_page", "project_id", "created_at", "serial"),
)

usage = Table(
    "usage",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),  # empty: work that no key asked for
    _number("quantity"),
    Index("ix_usage_day", "day"),
)

blobs = Table(
    "blobs",
    metadata,
    _serial(),
    Column("name", Text, nullable=False, unique=True),
    _belongs("project_id", "projects.id"),
    _text("sha256"),
    _number("bytes"),
    _number("orphaned_at", nullable=True),
    UniqueConstraint("project_id", "sha256"),
    Index(
        "ix_blobs_orphaned",
        "orphaned_at",
        sqlite_where=text("orphaned_at IS NOT NULL"),
        postgresql_where=text("orphaned_at IS NOT NULL"),
    ),
)

files = Table(
    "files",
    metadata,
    _serial(),
    _id(),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _text("filename"),
    _text("purpose"),
    _number("bytes"),
    _belongs("blob", "blobs.name"),
    _text("media_type"),
    _number("expires_at", nullable=True),
    Index("ix_files_page", "project_id", "created_at", "serial"),
    Index("ix_files_blob", "blob"),
    Index(
        "ix_files_expiring",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
)

uploads = Table(
    "uploads",
    metadata,
    _serial(),
    _id(),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _number("expires_at"),
    _text("filename"),
    _text("purpose"),
    _number("bytes"),
    _text("media_type"),
    _number("file_expires_after_seconds", nullable=True),
    _text("status"),
    _text("file_id", nullable=True),  # kept although the file may be deleted
    Index("ix_uploads_status", "status", "expires_at"),
)

parts = Table(
    "parts",
    metadata,
    _serial(),
    _id(),
    _belongs("upload_id", "uploads.id"),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _number("bytes"),
    Column("blob", Text, nullable=False, unique=True),
    Index("ix_parts_upload_id", "upload_id"),
)

stores = Table(
    "vector_stores",
    metadata,
    _serial(),
    _id(),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _text("name"),
    _text("description", nullable=True),
    _text("metadata"),  # JSON
    _text("model"),
    _number("width"),
    _number("expires_days", nullable=True),
    _number("expires_at", nullable=True),
    _number("expired_at", nullable=True),
    _number("deleted_at", nullable=True),
    _number("last_active_at"),
    _number("generation"),
    _number("purged_generation"),  # changes up to this one may be missing from `documents`
    _number("next_document"),
    _number("codebook", nullable=True),
    _number("usage_bytes"),
    *_counts(),
    _numbered("edition"),  # the one that searches find; `model`, `width` and `codebook` are its own
    _numbered("held_until"),  # no file is claimed before: an edition that is all but complete is to catch up
    CheckConstraint("usage_bytes >= 0", name="usage_bytes"),
    Index("ix_vector_stores_page", "project_id", "created_at", "serial"),
    Index(
        "ix_vector_stores_expiring",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
    Index(
        "ix_vector_stores_gone",
        "serial",
        sqlite_where=text("deleted_at IS NOT NULL OR expired_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL OR expired_at IS NOT NULL"),
    ),
)

entries = Table(
    "vector_store_files",
    metadata,
    _serial(),
    _belongs("store_id", "vector_stores.id"),
    _belongs("file_id", "files.id"),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _text("status"),
    _text("attributes", nullable=True),  # JSON, as wished; what searches see stands in `documents`
    _number("chunk_max_tokens", nullable=True),  # null: auto
    _number("chunk_overlap_tokens", nullable=True),
    _number("usage_bytes"),
    _number("chunks"),
    Column("texts_embedded", BigInteger, nullable=False, server_default="0"),  # those that the last publish paid for
    Column("tokens_embedded", BigInteger, nullable=False, server_default="0"),
    Column("embedding_calls", BigInteger, nullable=False, server_default="0"),
    _text("error_code", nullable=True),
    _text("error_message", nullable=True),
    _text("batch_id", nullable=True),
    Column("bulk", Boolean, nullable=False),  # attached with many others: may wait for those attached alone
    _text("supersedes", nullable=True),
    _number("attempt"),
    _number("deaths"),
    _text("lease_token", nullable=True),
    _number("leased_until"),  # without a token: not before
    _text("put_off_for", nullable=True),  # what it waited for when it was given back last
    _text("put_off_message", nullable=True),
    _number("put_off_since", nullable=True),
    _number("document", nullable=True),  # the number of the current claim
    _number("live_document", nullable=True),
    _number("settled_at", nullable=True),
    UniqueConstraint("store_id", "file_id"),
    CheckConstraint("status IN ('in_progress', 'completed', 'failed', 'cancelled')", name="status"),
    Index("ix_vector_store_files_page", "store_id", "created_at", "serial"),
    Index("ix_vector_store_files_file_id", "file_id"),
    Index(
        "ix_vector_store_files_waiting",
        "store_id",
        "bulk",
        "serial",
        sqlite_where=text("status = 'in_progress'"),
        postgresql_where=text("status = 'in_progress'"),
    ),
    Index(
        "ix_vector_store_files_lease_token",
        "lease_token",
        sqlite_where=text("lease_token IS NOT NULL"),
        postgresql_where=text("lease_token IS NOT NULL"),
    ),
)

batches = Table(
    "file_batches",
    metadata,
    _serial(),
    _id(),
    _belongs("store_id", "vector_stores.id"),
    _belongs("project_id", "projects.id"),
    _number("created_at"),
    _number("cancelled_at", nullable=True),
    *_counts(),
    Index("ix_file_batches_store_id", "store_id"),
)

# A file of a store counts in every batch that attached it, until it leaves the store.
batch_files = Table(
    "file_batch_files",
    metadata,
    Column("batch_id", Text, ForeignKey("file_batches.id"), primary_key=True),
    Column("entry", Serial, ForeignKey("vector_store_files.serial"), primary_key=True, autoincrement=False),
    _text("project_id"),
    Index("ix_file_batch_files_entry", "entry"),
)

segments = Table(
    "segments",
    metadata,
    _serial(),
    _id(),
    _belongs("store_id", "vector_stores.id"),
    _belongs("project_id", "projects.id"),
    _number("rows"),
    _number("width"),
    _number("bytes"),
    _number("checksum"),
    _number("created_at"),
    _number("removed_at", nullable=True),
    _numbered("edition"),
    Index("ix_segments_store_id", "store_id", "serial"),
    Index(
        "ix_segments_removed_at",
        "removed_at",
        sqlite_where=text("removed_at IS NOT NULL"),
        postgresql_where=text("removed_at IS NOT NULL"),
    ),
)

documents = Table(
    "documents",
    metadata,
    Column("store_id", Text, ForeignKey("vector_stores.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _text("project_id"),
    _text("file_id"),  # kept after the file has gone, until merging has dropped the document's rows
    _text("filename"),
    _text("attributes", nullable=True),  # JSON
    Column("living", Boolean, nullable=False),
    _number("changed"),
    _number("chunks"),
    _number("usage_bytes"),
    _text("segment_id", nullable=True),  # null: no live segment holds rows of it
    _numbered("edition"),
    _numbered("origin"),  # number of the ingestion that this one says the same as in another edition; or its own
    _number("chunk_max_tokens", nullable=True),  # as it was cut; null: auto
    _number("chunk_overlap_tokens", nullable=True),
    Index("ix_documents_changed", "store_id", "changed"),
    Index(
        "uq_documents_living",
        "store_id",
        "file_id",
        "edition",
        unique=True,
        sqlite_where=text("living = 1"),
        postgresql_where=text("living"),
    ),
    Index("ix_documents_segment_id", "segment_id"),
)

codebooks = Table(
    "codebooks",
    metadata,
    Column("store_id", Text, ForeignKey("vector_stores.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    _text("project_id"),
    _number("trained_rows"),
    _number("measured_rows"),
    _number("candidates"),
    _number("probes"),
    Column("recall", Double, nullable=False),
    _number("bytes"),
    _number("checksum"),
    _number("removed_at", nullable=True),
)

indexes = Table(
    "indexes",
    metadata,
    Column("segment_id", Text, ForeignKey("segments.id"), primary_key=True),
    Column("codebook", BigInteger, primary_key=True, autoincrement=False),
    _text("store_id"),
    _text("project_id"),
    _number("bytes"),
    _number("checksum"),
    _number("removed_at", nullable=True),
    Index("ix_indexes_store_id", "store_id"),
)

# What embedding services asked of all processes: to be left alone for a while. They belong to no project.
pauses = Table(
    "upstream_pauses",
    metadata,
    Column("upstream", Text, primary_key=True),
    _number("epoch"),
    _number("refusals"),
    _number("until"),
)

# Where deleted things stood in their lists, so that a caller who deletes while paging can go on from there.
departed = Table(
    "departed",
    metadata,
    Column("scope", Text, primary_key=True),  # the id of the project or store whose list it was
    Column("id", Text, primary_key=True),
    _text("project_id"),
    _number("created_at"),
    _number("serial"),
    _number("departed_at"),
    Index("ix_departed_departed_at", "departed_at"),
)
