"""Why a file was put off, and since when."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("vector_store_files", sa.Column("put_off_for", sa.Text(), nullable=True))
    op.add_column("vector_store_files", sa.Column("put_off_message", sa.Text(), nullable=True))
    op.add_column("vector_store_files", sa.Column("put_off_since", sa.BigInteger(), nullable=True))
