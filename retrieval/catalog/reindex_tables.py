"""The tables of re-indexing: one row for each time a store gets a second edition, and what of it is being worked on."""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Table, Text, text

from retrieval.catalog.columns import belongs, identity, number, serial, text_column
from retrieval.catalog.tables import documents, metadata

reindexes = Table(
    "reindexes",
    metadata,
    serial(),
    identity(),
    belongs("store_id", "vector_stores.id"),
    belongs("project_id", "projects.id"),
    number("created_at"),
    text_column("state"),
    Column("active", Boolean, nullable=False),  # the store has a second edition: being built, or kept
    Column("dropping", Boolean, nullable=False),  # documents of the edition that was given up are still to go
    text_column("model"),  # as wished
    text_column("replaces_model"),
    Column("rechunk", Boolean, nullable=False),  # false: chunks are taken over as they are
    number("chunk_max_tokens", nullable=True),
    number("chunk_overlap_tokens", nullable=True),
    Column("chunks_per_second", Double),  # null: as fast as it goes
    Column("paced_until", Double, nullable=False),
    number("keep_seconds"),
    Column("allow_failed", Boolean, nullable=False),
    # The edition that searches do not find: the new one until the swap, the old one afterwards.
    number("edition"),
    text_column("edition_model"),
    number("edition_width"),
    number("codebook", nullable=True),
    number("cursor"),  # where claims go on; a hint only
    number("resumed_at"),
    number("resumed_done"),  # documents that were done then: rates count from here
    number("documents"),  # at the swap
    number("chunks"),
    number("failed"),
    number("swapped_at", nullable=True),
    number("kept_until", nullable=True),
    number("finished_at", nullable=True),
    number("tokens"),  # that the model counted
    Column("dollars_per_million_tokens", Double, nullable=False),
    text_column("reason", nullable=True),
    Index("ix_reindexes_page", "project_id", "created_at", "serial"),
    Index("ix_reindexes_store_id", "store_id", "serial"),
    Index(
        "uq_reindexes_active",
        "store_id",
        unique=True,
        sqlite_where=text("active = 1"),
        postgresql_where=text("active"),
    ),
    Index(
        "ix_reindexes_dropping",
        "serial",
        sqlite_where=text("dropping = 1"),
        postgresql_where=text("dropping"),
    ),
)

# An edition says the same as another as far as their living documents have the same origins.
Index(
    "uq_documents_origin",
    documents.c.store_id,
    documents.c.edition,
    documents.c.origin,
    unique=True,
    sqlite_where=text("living = 1"),
    postgresql_where=text("living"),
)

# Work on one document of the edition that searches find, for the other one. A document without a row is free.
reindex_files = Table(
    "reindex_files",
    metadata,
    Column("store_id", Text, ForeignKey("vector_stores.id"), primary_key=True),
    Column("document", BigInteger, primary_key=True, autoincrement=False),  # the one that is made anew
    text_column("file_id"),
    text_column("lease_token", nullable=True),
    number("leased_until"),
    number("number", nullable=True),  # of the new document
    number("attempt"),
    number("deaths"),
    text_column("error_code", nullable=True),  # with one, it is not tried again until somebody asks
    text_column("error_message", nullable=True),
    Index("ix_reindex_files_lease_token", "lease_token"),
)
