"""How Alembic reaches the database: the caller's connection, or none when it only writes SQL."""

from typing import Any

from alembic import context

from db.models import Base

options: dict[str, Any] = {"target_metadata": Base.metadata, "render_as_batch": True}

if context.is_offline_mode():
    context.configure(dialect_name=context.config.attributes["dialect"], **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(connection=context.config.attributes["connection"], **options)
    with context.begin_transaction():
        context.run_migrations()
