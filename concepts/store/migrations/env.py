"""How Alembic reaches the store: on the connection, and in the transaction, that `concepts.store` hands over."""

from alembic import context

from concepts.store.schema import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
