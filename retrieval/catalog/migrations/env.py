"""What Alembic runs for every command: the steps, inside the transaction that `schema.py` has begun."""

from alembic import context

from retrieval.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller holds the one transaction around all steps and the check before them
    render_as_batch=True,  # SQLite alters a table by building it anew
)
context.run_migrations()
