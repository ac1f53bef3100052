"""What was computed from an object's bytes and is kept beside it: profiles, counts on grids.

Each value has its BLAKE3 in front. One that is damaged is one that is not there: it is computed again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from blake3 import blake3

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog

_DIGEST: Final = 32
# Bound values in one statement; SQLite allows 32,766.
_IN_LIMIT: Final = 5_000


def read_derived(catalog: Catalog, object_ids: Sequence[str], kind: str) -> dict[str, bytes]:
    """Return what was computed of this kind from some objects, by object id."""
    found: dict[str, bytes] = {}
    with catalog.read() as connection:
        for start in range(0, len(object_ids), _IN_LIMIT):
            run = object_ids[start : start + _IN_LIMIT]
            query = sa.select(t.derived).where(t.derived.c.object_id.in_(run), t.derived.c.kind == kind)
            found.update((row.object_id, bytes(row.encoded)) for row in connection.execute(query))
    return {i: kept[_DIGEST:] for i, kept in found.items() if blake3(kept[_DIGEST:]).digest() == kept[:_DIGEST]}


def write_derived(catalog: Catalog, kind: str, encoded: Mapping[str, bytes]) -> None:
    """Keep what was computed of this kind from objects, in place of what was kept before."""
    rows = [
        {"object_id": object_id, "kind": kind, "encoded": blake3(value).digest() + value}
        for object_id, value in encoded.items()
    ]
    if not rows or catalog.read_only:  # it is computed again when it is asked for again
        return
    with catalog.write() as connection:
        of_these = sa.delete(t.derived).where(t.derived.c.kind == kind)
        connection.execute(of_these.where(t.derived.c.object_id.in_(list(encoded))))
        connection.execute(sa.insert(t.derived), rows)
