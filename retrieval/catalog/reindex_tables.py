"""The tables of re-indexing: one row for each time a store gets a second edition, and what of it is being worked on."""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Table, Text, text

from retrieval.catalog.tables import Serial, documents, metadata

reindexes = Table(
    "reindexes",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("store_id", Text, ForeignKey("vector_stores.id"), nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("active", Boolean, nullable=False),  # the store has a second edition: being built, or kept
    Column("dropping", Boolean, nullable=False),  # documents of the edition that was given up are still to go
    Column("model", Text, nullable=False),  # as wished
    Column("replaces_model", Text, nullable=False),
    Column("rechunk", Boolean, nullable=False),  # false: chunks are taken over as they are
    Column("chunk_max_tokens", BigInteger),
    Column("chunk_overlap_tokens", BigInteger),
    Column("chunks_per_second", Double),  # null: as fast as it goes
    Column("paced_until", Double, nullable=False),
    Column("keep_seconds", BigInteger, nullable=False),
    Column("allow_failed", Boolean, nullable=False),
    # The edition that searches do not find: the new one until the swap, the old one afterwards.
    Column("edition", BigInteger, nullable=False),
    Column("edition_model", Text, nullable=False),
    Column("edition_width", BigInteger, nullable=False),
    Column("codebook", BigInteger),
    Column("cursor", BigInteger, nullable=False),  # where claims go on; a hint only
    Column("resumed_at", BigInteger, nullable=False),
    Column("resumed_done", BigInteger, nullable=False),  # documents that were done then: rates count from here
    Column("documents", BigInteger, nullable=False),  # at the swap
    Column("chunks", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("swapped_at", BigInteger),
    Column("kept_until", BigInteger),
    Column("finished_at", BigInteger),
    Column("tokens", BigInteger, nullable=False),  # that the model counted
    Column("dollars_per_million_tokens", Double, nullable=False),
    Column("reason", Text),
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
    Column("file_id", Text, nullable=False),
    Column("lease_token", Text),
    Column("leased_until", BigInteger, nullable=False),
    Column("number", BigInteger),  # of the new document
    Column("attempt", BigInteger, nullable=False),
    Column("deaths", BigInteger, nullable=False),
    Column("error_code", Text),  # with one, it is not tried again until somebody asks
    Column("error_message", Text),
    Index("ix_reindex_files_lease_token", "lease_token"),
)
