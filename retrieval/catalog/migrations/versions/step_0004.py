"""Sources of stores and their refresh runs; what each file's vectors cost."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("include", sa.Text(), nullable=False),
        sa.Column("exclude", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("chunk_max_tokens", sa.BigInteger(), nullable=True),
        sa.Column("chunk_overlap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("max_removed_share", sa.Double(), nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('directory', 's3', 'urls')", name=op.f("ck_sources_kind")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_sources_project_id")),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_sources_store_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_sources")),
        sa.UniqueConstraint("id", name=op.f("uq_sources_id")),
    )
    op.create_index(
        "ix_sources_due",
        "sources",
        ["next_run_at"],
        unique=False,
        sqlite_where=sa.text("next_run_at IS NOT NULL"),
        postgresql_where=sa.text("next_run_at IS NOT NULL"),
    )
    op.create_index("ix_sources_page", "sources", ["store_id", "created_at", "serial"], unique=False)
    op.create_index(
        "ix_sources_running",
        "sources",
        ["serial"],
        unique=False,
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_table(
        "source_items",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("item_key", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("modified_ns", sa.BigInteger(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_items_source_id")),
        sa.PrimaryKeyConstraint("source_id", "item_key", name=op.f("pk_source_items")),
    )
    op.create_index("ix_source_items_file_id", "source_items", ["file_id"], unique=False)
    op.create_table(
        "source_leftovers",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_leftovers_source_id")),
        sa.PrimaryKeyConstraint("source_id", "file_id", name=op.f("pk_source_leftovers")),
    )
    op.create_table(
        "source_runs",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("listed", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("texts_embedded", sa.BigInteger(), nullable=False),
        sa.Column("tokens_embedded", sa.BigInteger(), nullable=False),
        sa.Column("embedding_calls", sa.BigInteger(), nullable=False),
        sa.Column("dollars", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'indexing', 'completed', 'stopped', 'failed')",
            name=op.f("ck_source_runs_status"),
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_runs_source_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_source_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_source_runs_id")),
    )
    op.create_index("ix_source_runs_page", "source_runs", ["source_id", "created_at", "serial"], unique=False)
    op.create_table(
        "source_changes",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("item_key", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["source_runs.id"], name=op.f("fk_source_changes_run_id")),
        sa.PrimaryKeyConstraint("run_id", "item_key", name=op.f("pk_source_changes")),
    )
    op.add_column(
        "vector_store_files", sa.Column("texts_embedded", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "vector_store_files", sa.Column("tokens_embedded", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "vector_store_files", sa.Column("embedding_calls", sa.BigInteger(), server_default="0", nullable=False)
    )
