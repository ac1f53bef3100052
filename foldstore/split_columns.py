"""The columns that a split was made by, as a version has them: a column that was renamed is the same column."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa

from foldstore.datastore.ancestry import find_common
from foldstore.datastore.arrow_schema import decode_schema, field_ids, plain_schema
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.reading import Kind, kind_of
from foldstore.datastore.storage import Storage
from foldstore.views.splits.sharing import Sharing

_Spec = TypeVar("_Spec", bound=Sharing)


@dataclass(frozen=True, slots=True)
class SplitColumns:
    """What the columns that a split knows by their first names are called in a version.

    Attributes
    ----------
    first : Schema
        The columns of the version that the split was made of.
    names : mapping of str to str
        What they are called now; those that are gone are left out.
    """

    first: pa.Schema
    names: Mapping[str, str]

    def find_missing(self, columns: Sequence[str]) -> list[str]:
        """Return those, by their first names, that the version does not have."""
        return [name for name in columns if name in self.first.names and name not in self.names]

    def to_table(self, rows: FragmentReader, columns: Sequence[str]) -> pa.Table:
        """Read columns by their first names.

        Raises
        ------
        ColumnNotFoundError
            When one is not there.
        """
        return rows.to_table(self._now(columns)).rename_columns(list(columns))

    def to_batches(self, rows: FragmentReader, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns that are there batch by batch, by their first names."""
        for batch in rows.batches(self._now(columns)):
            yield batch.rename_columns(list(columns))

    def select(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns of a version's schema that the split could know, by their first names."""
        there = [(name, now) for name, now in self.names.items() if now in schema.names]
        return pa.schema([pa.field(name, schema.field(now).type) for name, now in there])

    def rename(self, spec: _Spec) -> _Spec:
        """Return a specification with the names that columns have now."""
        now = {name: self.names.get(name, name) for name in spec.columns()}
        if all(name == each for name, each in now.items()):
            return spec
        groups = tuple(tuple(now[name] for name in group) for group in spec.groups)
        return replace(
            spec,
            key=tuple(now[name] for name in spec.key),
            group_by=groups[0] if len(groups) == 1 else groups,
            stratify=tuple(now[name] for name in spec.strata) or None,
            duplicates=tuple(now[name] for name in spec.duplicates),
            near_duplicates=tuple(now[name] for name in spec.near_duplicates),
            by_column=None if spec.by_column is None else now[spec.by_column],
            by_time=None if spec.by_time is None else now[spec.by_time],
        )

    def _now(self, columns: Sequence[str]) -> list[str]:
        # What never was there is asked for by its own name, so that the error says that it is not there.
        return [self.names.get(name, name) for name in columns]


def find_columns(storage: Storage, made_on: str, version_id: str) -> SplitColumns:
    """Find the columns of the version that a split was made of in another version of the dataset.

    A column is itself by its id. Where that is gone, one of the same name and kind stands in its place: the dataset was
    overwritten, say.

    Parameters
    ----------
    made_on, version_id : str
        The ids of the two versions.
    """
    now = storage.catalog.find_version_by_id(version_id)
    assert now is not None  # noqa: S101  # whoever asks has it open
    first = storage.catalog.find_version_by_id(made_on) or now
    before, after = (decode_schema(storage.catalog.read_arrow_schema(each.arrow_schema_id)) for each in (first, now))
    names = _match(storage, (first, before), (now, after))
    return SplitColumns(plain_schema(before), names)


def _match(
    storage: Storage, first: tuple[VersionRecord, pa.Schema], now: tuple[VersionRecord, pa.Schema]
) -> dict[str, str]:
    before, after = first[1], now[1]
    ids = dict(zip(after.names, field_ids(after), strict=True))
    names = {field_id: name for name, field_id in ids.items()}
    found, shared = {}, None
    for name, field_id in zip(before.names, field_ids(before), strict=True):
        if ids.get(name) != field_id and shared is None:
            # Ids that two branches gave since they parted do not mean the same.
            common = find_common(storage, first[0], now[0], merges=False)
            shared = common.next_field if common is not None else 0
        if ids.get(name) == field_id:
            found[name] = name
        elif shared is not None and field_id < shared and field_id in names:
            found[name] = names[field_id]
        elif name in ids and _is_like(before.field(name).type, after.field(name).type):
            found[name] = name
    return found


def _is_like(one: pa.DataType, other: pa.DataType) -> bool:
    whole = (Kind.INTEGER, Kind.UNSIGNED)
    kinds = kind_of(one), kind_of(other)
    return one == other or (kinds[0] is kinds[1] is not Kind.OPAQUE) or all(kind in whole for kind in kinds)
