"""Which columns of two versions are the same column.

A field id is given on one line of versions and means the same along it. Two branches may give one id to two columns,
and a merge gives columns of its second parent other ids: behind the fork, columns are the same where they lie at
the same place of the same file, else where name and type agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from foldstore.datastore.ancestry import find_common
from foldstore.datastore.arrow_schema import field_ids
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMatch:
    """The columns that two versions share.

    Attributes
    ----------
    fields : mapping of int to int
        The field ids of the second version by those of the first.
    certain : frozenset of int
        The field ids of the first whose cells are the same in every row that both have.
    first_new : int
        Field ids from here on were given behind the fork.
    """

    fields: dict[int, int]
    certain: frozenset[int]
    first_new: int


def match_columns(
    storage: Storage,
    first: tuple[VersionRecord | None, FragmentReader],
    second: tuple[VersionRecord, FragmentReader],
) -> ColumnMatch:
    """Find the columns that two versions share."""
    (old_version, old), (new_version, new) = first, second
    fork = find_common(storage, old_version, new_version, merges=False) if old_version is not None else None
    first_new = fork.next_field if fork else 1
    left, right = _by_id(old.stored_schema), _by_id(new.stored_schema)
    fields = {i: i for i in left if i in right and i < first_new}
    certain = frozenset(fields)
    behind = [i for i in left if i >= first_new]
    places = _shared_places(old.fragments, new.fragments)
    for i in behind:
        there = places.get(i)
        if there in right and there not in fields.values() and there >= first_new:
            fields[i] = there
    for i, field in left.items():
        there = next((j for j, other in right.items() if other.name == field.name and j not in fields.values()), None)
        if i not in fields and there is not None and _may_be_one(i, field, there, right[there], first_new):
            fields[i] = there
    return ColumnMatch(fields=fields, certain=certain, first_new=first_new)


def _by_id(schema: pa.Schema) -> dict[int, pa.Field]:
    return dict(zip(field_ids(schema), schema, strict=True))


def _may_be_one(i: int, field: pa.Field, j: int, other: pa.Field, first_new: int) -> bool:
    # A column of nothing but nulls gets another id when its first values settle its type.
    if pa.types.is_null(field.type) or pa.types.is_null(other.type):
        return True
    return i >= first_new and j >= first_new and field.type == other.type


def _shared_places(old: Sequence[Fragment], new: Sequence[Fragment]) -> dict[int, int]:
    """Return which fields of two versions lie at the same place of a file that both list."""
    there = {fragment.id: {group.object_id: group.fields for group in fragment.groups} for fragment in new}
    found: dict[int, int] = {}
    for fragment in old:
        known = there.get(fragment.id, {})
        for group in fragment.groups:
            if known.get(group.object_id, group.fields) != group.fields:
                for i, j in zip(group.fields, known[group.object_id], strict=True):
                    found.setdefault(i, j)
    return found
