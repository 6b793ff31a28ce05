"""Editions of a store, and the work of building a second one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ZERO = sa.text("0")


def upgrade() -> None:
    _columns()
    _reindexes()
    _reindex_files()


def _columns() -> None:
    for table, *names in (
        ("vector_stores", "edition", "held_until"),
        ("segments", "edition"),
        ("documents", "edition", "origin"),
    ):
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default=_ZERO))
    for name in ("chunk_max_tokens", "chunk_overlap_tokens"):
        op.add_column("documents", sa.Column(name, sa.BigInteger(), nullable=True))
    op.execute("UPDATE documents SET origin = number")
    mine = "FROM vector_store_files AS f WHERE f.store_id = documents.store_id AND f.live_document = documents.number"
    op.execute(
        "UPDATE documents SET"
        f" chunk_max_tokens = (SELECT f.chunk_max_tokens {mine}),"
        f" chunk_overlap_tokens = (SELECT f.chunk_overlap_tokens {mine})"
        " WHERE living"
    )
    op.drop_index("uq_documents_living", table_name="documents")
    for name, columns in (
        ("uq_documents_living", ["store_id", "file_id", "edition"]),
        ("uq_documents_origin", ["store_id", "edition", "origin"]),
    ):
        op.create_index(
            name,
            "documents",
            columns,
            unique=True,
            sqlite_where=sa.text("living = 1"),
            postgresql_where=sa.text("living"),
        )


def _reindexes() -> None:
    op.create_table(
        "reindexes",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("dropping", sa.Boolean(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("replaces_model", sa.Text(), nullable=False),
        sa.Column("rechunk", sa.Boolean(), nullable=False),
        sa.Column("chunk_max_tokens", sa.BigInteger(), nullable=True),
        sa.Column("chunk_overlap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("chunks_per_second", sa.Double(), nullable=True),
        sa.Column("paced_until", sa.Double(), nullable=False),
        sa.Column("keep_seconds", sa.BigInteger(), nullable=False),
        sa.Column("allow_failed", sa.Boolean(), nullable=False),
        sa.Column("edition", sa.BigInteger(), nullable=False),
        sa.Column("edition_model", sa.Text(), nullable=False),
        sa.Column("edition_width", sa.BigInteger(), nullable=False),
        sa.Column("codebook", sa.BigInteger(), nullable=True),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("resumed_at", sa.BigInteger(), nullable=False),
        sa.Column("resumed_done", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("swapped_at", sa.BigInteger(), nullable=True),
        sa.Column("kept_until", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("dollars_per_million_tokens", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_reindexes_project_id")),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_reindexes_store_id")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_reindexes")),
        sa.UniqueConstraint("id", name=op.f("uq_reindexes_id")),
    )
    op.create_index("ix_reindexes_page", "reindexes", ["project_id", "created_at", "serial"], unique=False)
    op.create_index("ix_reindexes_store_id", "reindexes", ["store_id", "serial"], unique=False)
    op.create_index(
        "uq_reindexes_active",
        "reindexes",
        ["store_id"],
        unique=True,
        sqlite_where=sa.text("active = 1"),
        postgresql_where=sa.text("active"),
    )
    op.create_index(
        "ix_reindexes_dropping",
        "reindexes",
        ["serial"],
        unique=False,
        sqlite_where=sa.text("dropping = 1"),
        postgresql_where=sa.text("dropping"),
    )


def _reindex_files() -> None:
    op.create_table(
        "reindex_files",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("document", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("deaths", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=op.f("fk_reindex_files_store_id")),
        sa.PrimaryKeyConstraint("store_id", "document", name=op.f("pk_reindex_files")),
    )
    op.create_index("ix_reindex_files_lease_token", "reindex_files", ["lease_token"], unique=False)
