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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from retrieval.catalog.columns import Serial, belongs, identity, number, numbered, serial, text_column

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _counts() -> tuple[Column[int] | CheckConstraint, ...]:
    """How many files stand in each status; a count below zero is a bug that must not be committed."""
    names = ("files_in_progress", "files_completed", "files_failed", "files_cancelled")
    below_zero = " AND ".join(f"{name} >= 0" for name in names)
    return (*(number(name) for name in names), CheckConstraint(below_zero, name="counts"))


projects = Table(
    "projects",
    metadata,
    serial(),
    identity(),
    Column("name", Text, nullable=False, unique=True),
    number("created_at"),
    text_column("limits"),  # JSON
    number("bytes_stored"),
    CheckConstraint("bytes_stored >= 0", name="bytes_stored"),
)

keys = Table(
    "keys",
    metadata,
    serial(),
    identity(),
    belongs("project_id", "projects.id"),
    text_column("name"),
    text_column("hint"),
    Column("hash", Text, nullable=False, unique=True),
    text_column("scopes"),  # JSON
    text_column("routes", nullable=True),  # JSON
    text_column("limits"),  # JSON
    number("created_at"),
    number("expires_at", nullable=True),
    number("revoked_at", nullable=True),
    number("last_used_at", nullable=True),
    Index("ix_keys_page", "project_id", "created_at", "serial"),
)

usage = Table(
    "usage",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),  # empty: work that no key asked for
    number("quantity"),
    Index("ix_usage_day", "day"),
)

blobs = Table(
    "blobs",
    metadata,
    serial(),
    Column("name", Text, nullable=False, unique=True),
    belongs("project_id", "projects.id"),
    text_column("sha256"),
    number("bytes"),
    number("orphaned_at", nullable=True),
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
    serial(),
    identity(),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("filename"),
    text_column("purpose"),
    number("bytes"),
    belongs("blob", "blobs.name"),
    text_column("media_type"),
    number("expires_at", nullable=True),
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
    serial(),
    identity(),
    belongs("project_id", "projects.id"),
    number("created_at"),
    number("expires_at"),
    text_column("filename"),
    text_column("purpose"),
    number("bytes"),
    text_column("media_type"),
    number("file_expires_after_seconds", nullable=True),
    text_column("status"),
    text_column("file_id", nullable=True),  # kept although the file may be deleted
    Index("ix_uploads_status", "status", "expires_at"),
)

parts = Table(
    "parts",
    metadata,
    serial(),
    identity(),
    belongs("upload_id", "uploads.id"),
    belongs("project_id", "projects.id"),
    number("created_at"),
    number("bytes"),
    Column("blob", Text, nullable=False, unique=True),
    Index("ix_parts_upload_id", "upload_id"),
)

stores = Table(
    "vector_stores",
    metadata,
    serial(),
    identity(),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("name"),
    text_column("description", nullable=True),
    text_column("metadata"),  # JSON
    text_column("model"),
    number("width"),
    number("expires_days", nullable=True),
    number("expires_at", nullable=True),
    number("expired_at", nullable=True),
    number("deleted_at", nullable=True),
    number("last_active_at"),
    number("generation"),
    number("purged_generation"),  # changes up to this one may be missing from `documents`
    number("next_document"),
    number("codebook", nullable=True),
    number("usage_bytes"),
    *_counts(),
    numbered("edition"),  # the one that searches find; `model`, `width` and `codebook` are its own
    numbered("held_until"),  # no file is claimed before: an edition that is all but complete is to catch up
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
    serial(),
    belongs("store_id", "vector_stores.id"),
    belongs("file_id", "files.id"),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("status"),
    text_column("attributes", nullable=True),  # JSON, as wished; what searches see stands in `documents`
    number("chunk_max_tokens", nullable=True),  # null: auto
    number("chunk_overlap_tokens", nullable=True),
    number("usage_bytes"),
    number("chunks"),
    Column("texts_embedded", BigInteger, nullable=False, server_default="0"),  # those that the last publish paid for
    Column("tokens_embedded", BigInteger, nullable=False, server_default="0"),
    Column("embedding_calls", BigInteger, nullable=False, server_default="0"),
    text_column("error_code", nullable=True),
    text_column("error_message", nullable=True),
    text_column("batch_id", nullable=True),
    Column("bulk", Boolean, nullable=False),  # attached with many others: may wait for those attached alone
    text_column("supersedes", nullable=True),
    number("attempt"),
    number("deaths"),
    text_column("lease_token", nullable=True),
    number("leased_until"),  # without a token: not before
    text_column("put_off_for", nullable=True),  # what it waited for when it was given back last
    text_column("put_off_message", nullable=True),
    number("put_off_since", nullable=True),
    number("document", nullable=True),  # the number of the current claim
    number("live_document", nullable=True),
    number("settled_at", nullable=True),
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
    serial(),
    identity(),
    belongs("store_id", "vector_stores.id"),
    belongs("project_id", "projects.id"),
    number("created_at"),
    number("cancelled_at", nullable=True),
    *_counts(),
    Index("ix_file_batches_store_id", "store_id"),
)

# A file of a store counts in every batch that attached it, until it leaves the store.
batch_files = Table(
    "file_batch_files",
    metadata,
    Column("batch_id", Text, ForeignKey("file_batches.id"), primary_key=True),
    Column("entry", Serial, ForeignKey("vector_store_files.serial"), primary_key=True, autoincrement=False),
    text_column("project_id"),
    Index("ix_file_batch_files_entry", "entry"),
)

segments = Table(
    "segments",
    metadata,
    serial(),
    identity(),
    belongs("store_id", "vector_stores.id"),
    belongs("project_id", "projects.id"),
    number("rows"),
    number("width"),
    number("bytes"),
    number("checksum"),
    number("created_at"),
    number("removed_at", nullable=True),
    numbered("edition"),
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
    text_column("project_id"),
    text_column("file_id"),  # kept after the file has gone, until merging has dropped the document's rows
    text_column("filename"),
    text_column("attributes", nullable=True),  # JSON
    Column("living", Boolean, nullable=False),
    number("changed"),
    number("chunks"),
    number("usage_bytes"),
    text_column("segment_id", nullable=True),  # null: no live segment holds rows of it
    numbered("edition"),
    numbered("origin"),  # number of the ingestion that this one says the same as in another edition; or its own
    number("chunk_max_tokens", nullable=True),  # as it was cut; null: auto
    number("chunk_overlap_tokens", nullable=True),
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
    text_column("project_id"),
    number("trained_rows"),
    number("measured_rows"),
    number("candidates"),
    number("probes"),
    Column("recall", Double, nullable=False),
    number("bytes"),
    number("checksum"),
    number("removed_at", nullable=True),
)

indexes = Table(
    "indexes",
    metadata,
    Column("segment_id", Text, ForeignKey("segments.id"), primary_key=True),
    Column("codebook", BigInteger, primary_key=True, autoincrement=False),
    text_column("store_id"),
    text_column("project_id"),
    number("bytes"),
    number("checksum"),
    number("removed_at", nullable=True),
    Index("ix_indexes_store_id", "store_id"),
)

# What embedding services asked of all processes: to be left alone for a while. They belong to no project.
pauses = Table(
    "upstream_pauses",
    metadata,
    Column("upstream", Text, primary_key=True),
    number("epoch"),
    number("refusals"),
    number("until"),  # in milliseconds: most pauses are of a second or two
)

# Where deleted things stood in their lists, so that a caller who deletes while paging can go on from there.
departed = Table(
    "departed",
    metadata,
    Column("scope", Text, primary_key=True),  # the id of the project or store whose list it was
    Column("id", Text, primary_key=True),
    text_column("project_id"),
    number("created_at"),
    number("serial"),
    number("departed_at"),
    Index("ix_departed_departed_at", "departed_at"),
)
