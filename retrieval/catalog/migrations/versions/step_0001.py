"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "departed",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("departed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "id", name=op.f("pk_departed")),
    )
    op.create_index("ix_departed_departed_at", "departed", ["departed_at"], unique=False)
    op.create_table(
        "projects",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("bytes_stored", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("bytes_stored >= 0", name=op.f("ck_projects_bytes_stored")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_projects")),
        sa.UniqueConstraint("id", name=op.f("uq_projects_id")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "blobs",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("orphaned_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_blobs_project_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_blobs")),
        sa.UniqueConstraint("name", name=op.f("uq_blobs_name")),
        sa.UniqueConstraint("project_id", "sha256", name=op.f("uq_blobs_project_id_sha256")),
    )
    op.create_index(
        "ix_blobs_orphaned",
        "blobs",
        ["orphaned_at"],
        unique=False,
        sqlite_where=sa.text("orphaned_at IS NOT NULL"),
        postgresql_where=sa.text("orphaned_at IS NOT NULL"),
    )
    op.create_table(
        "keys",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("routes", sa.Text(), nullable=True),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_keys_project_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_keys_hash")),
        sa.UniqueConstraint("id", name=op.f("uq_keys_id")),
    )
    op.create_index("ix_keys_page", "keys", ["project_id", "created_at", "serial"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("file_expires_after_seconds", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_uploads_project_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_uploads")),
        sa.UniqueConstraint("id", name=op.f("uq_uploads_id")),
    )
    op.create_index("ix_uploads_status", "uploads", ["status", "expires_at"], unique=False)
    op.create_table(
        "usage",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_usage_project_id")),
        sa.PrimaryKeyConstraint("project_id", "day", "kind", "key_id", name=op.f("pk_usage")),
    )
    op.create_table(
        "vector_stores",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("expires_days", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("expired_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("last_active_at", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("purged_generation", sa.BigInteger(), nullable=False),
        sa.Column("next_document", sa.BigInteger(), nullable=False),
        sa.Column("codebook", sa.BigInteger(), nullable=True),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("files_in_progress", sa.BigInteger(), nullable=False),
        sa.Column("files_completed", sa.BigInteger(), nullable=False),
        sa.Column("files_failed", sa.BigInteger(), nullable=False),
        sa.Column("files_cancelled", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "files_in_progress >= 0 AND files_completed >= 0 AND files_failed >= 0 AND files_cancelled >= 0",
            name=op.f("ck_vector_stores_counts"),
        ),
        sa.CheckConstraint("usage_bytes >= 0", name=op.f("ck_vector_stores_usage_bytes")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_vector_stores_project_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_vector_stores")),
        sa.UniqueConstraint("id", name=op.f("uq_vector_stores_id")),
    )
    op.create_index(
        "ix_vector_stores_expiring",
        "vector_stores",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_vector_stores_gone",
        "vector_stores",
        ["serial"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL OR expired_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL OR expired_at IS NOT NULL"),
    )
    op.create_index("ix_vector_stores_page", "vector_stores", ["project_id", "created_at", "serial"], unique=False)
    op.create_table(
        "codebooks",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("trained_rows", sa.BigInteger(), nullable=False),
        sa.Column("measured_rows", sa.BigInteger(), nullable=False),
        sa.Column("candidates", sa.BigInteger(), nullable=False),
        sa.Column("probes", sa.BigInteger(), nullable=False),
        sa.Column("recall", sa.Double(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_codebooks_store_id")),
        sa.PrimaryKeyConstraint("store_id", "version", name=op.f("pk_codebooks")),
    )
    op.create_table(
        "documents",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("living", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("segment_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_documents_store_id")),
        sa.PrimaryKeyConstraint("store_id", "number", name=op.f("pk_documents")),
    )
    op.create_index("ix_documents_changed", "documents", ["store_id", "changed"], unique=False)
    op.create_index("ix_documents_segment_id", "documents", ["segment_id"], unique=False)
    op.create_index(
        "uq_documents_living",
        "documents",
        ["store_id", "file_id"],
        unique=True,
        sqlite_where=sa.text("living = 1"),
        postgresql_where=sa.text("living"),
    )
    op.create_table(
        "file_batches",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("files_in_progress", sa.BigInteger(), nullable=False),
        sa.Column("files_completed", sa.BigInteger(), nullable=False),
        sa.Column("files_failed", sa.BigInteger(), nullable=False),
        sa.Column("files_cancelled", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "files_in_progress >= 0 AND files_completed >= 0 AND files_failed >= 0 AND files_cancelled >= 0",
            name=op.f("ck_file_batches_counts"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_file_batches_project_id")),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_file_batches_store_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_file_batches")),
        sa.UniqueConstraint("id", name=op.f("uq_file_batches_id")),
    )
    op.create_index("ix_file_batches_store_id", "file_batches", ["store_id"], unique=False)
    op.create_table(
        "files",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["blob"], ["blobs.name"], name=op.f("fk_files_blob")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_files_project_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_files")),
        sa.UniqueConstraint("id", name=op.f("uq_files_id")),
    )
    op.create_index("ix_files_blob", "files", ["blob"], unique=False)
    op.create_index(
        "ix_files_expiring",
        "files",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index("ix_files_page", "files", ["project_id", "created_at", "serial"], unique=False)
    op.create_table(
        "parts",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_parts_project_id")),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_parts_upload_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_parts")),
        sa.UniqueConstraint("blob", name=op.f("uq_parts_blob")),
        sa.UniqueConstraint("id", name=op.f("uq_parts_id")),
    )
    op.create_index("ix_parts_upload_id", "parts", ["upload_id"], unique=False)
    op.create_table(
        "segments",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_segments_project_id")),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_segments_store_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_segments")),
        sa.UniqueConstraint("id", name=op.f("uq_segments_id")),
    )
    op.create_index(
        "ix_segments_removed_at",
        "segments",
        ["removed_at"],
        unique=False,
        sqlite_where=sa.text("removed_at IS NOT NULL"),
        postgresql_where=sa.text("removed_at IS NOT NULL"),
    )
    op.create_index("ix_segments_store_id", "segments", ["store_id", "serial"], unique=False)
    op.create_table(
        "indexes",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("codebook", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.id"], name=op.f("fk_indexes_segment_id")),
        sa.PrimaryKeyConstraint("segment_id", "codebook", name=op.f("pk_indexes")),
    )
    op.create_index("ix_indexes_store_id", "indexes", ["store_id"], unique=False)
    op.create_table(
        "vector_store_files",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("chunk_max_tokens", sa.BigInteger(), nullable=True),
        sa.Column("chunk_overlap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("bulk", sa.Boolean(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("deaths", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.BigInteger(), nullable=True),
        sa.Column("live_document", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status IN ('in_progress', 'completed', 'failed', 'cancelled')", name=op.f("ck_vector_store_files_status")
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_vector_store_files_file_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_vector_store_files_project_id")),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_vector_store_files_store_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_vector_store_files")),
        sa.UniqueConstraint("store_id", "file_id", name=op.f("uq_vector_store_files_store_id_file_id")),
    )
    op.create_index("ix_vector_store_files_file_id", "vector_store_files", ["file_id"], unique=False)
    op.create_index(
        "ix_vector_store_files_lease_token",
        "vector_store_files",
        ["lease_token"],
        unique=False,
        sqlite_where=sa.text("lease_token IS NOT NULL"),
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_index(
        "ix_vector_store_files_page", "vector_store_files", ["store_id", "created_at", "serial"], unique=False
    )
    op.create_index(
        "ix_vector_store_files_waiting",
        "vector_store_files",
        ["store_id", "bulk", "serial"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_table(
        "file_batch_files",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["file_batches.id"], name=op.f("fk_file_batch_files_batch_id")),
        sa.ForeignKeyConstraint(["entry"], ["vector_store_files.serial"], name=op.f("fk_file_batch_files_entry")),
        sa.PrimaryKeyConstraint("batch_id", "entry", name=op.f("pk_file_batch_files")),
    )
    op.create_index("ix_file_batch_files_entry", "file_batch_files", ["entry"], unique=False)
