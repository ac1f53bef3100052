"""Alembic's entry: run the migrations on the connection that the catalog handed over."""

from alembic import context

from foldstore.datastore.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    transactional_ddl=False,  # the caller's transaction covers it all
)
context.run_migrations()
