"""Alembic's entry. Runs on the connection and in the transaction that `migrate` has opened.

It reads no alembic.ini and leaves logging alone: the program that migrates owns both.
"""

from __future__ import annotations

from alembic import context

from appliance.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
