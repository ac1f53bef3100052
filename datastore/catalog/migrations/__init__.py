"""Alembic migrations of the catalog: ordered, each applied once."""
