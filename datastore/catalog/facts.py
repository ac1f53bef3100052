"""What a catalog says of the store that it is of, before the store is opened."""

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog


def find_store_id(catalog: Catalog) -> str | None:
    """Return the id of the store that a catalog is of; None for a catalog that is of none yet."""
    with catalog.read() as connection:
        return connection.execute(sa.select(t.store.c.value).where(t.store.c.key == "id")).scalar()


def has_objects(catalog: Catalog) -> bool:
    """Say whether a catalog has a live object."""
    query = sa.select(t.stored_object.c.id).where(t.stored_object.c.state == "live").limit(1)
    with catalog.read() as connection:
        return connection.execute(query).first() is not None
