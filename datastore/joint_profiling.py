"""Scans over several columns of fragments, kept with the file that holds all of them.

What joins columns of different files is computed each time: were it kept with one file, it would
outlive the other, which may be rewritten because cells of it were sealed or erased.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.derived import read_derived, write_derived
from foldstore.datastore.manifest import ColumnGroup, Fragment
from foldstore.datastore.profiling import row_variant
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.row_source import Batches, Scan, run_scan
from foldstore.datastore.storage import Storage
from foldstore.errors import StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FragmentRows:
    """The rows of a reader as a `RowSource`: a part a fragment.

    Attributes
    ----------
    storage : Storage
    reader : FragmentReader
    """

    storage: Storage
    reader: FragmentReader

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the rows."""
        return self.reader.arrow_schema

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self.reader.fragments)

    def batches(self, columns: Sequence[str]) -> Batches:
        """Yield some columns of all rows, in order."""
        return self.reader.batches(columns)

    def scan(self, part: int, scan: Scan[T]) -> T:
        """Return what a scan finds in a fragment; read only where it was not kept."""
        fragment = self.reader.fragments[part]
        rows = self.reader.restricted([fragment])
        group = self._home(fragment, scan)
        if group is None:
            return run_scan(scan, self.arrow_schema, rows.batches(scan.columns))
        kind = self._kind(fragment, group, scan)
        kept = read_derived(self.storage.catalog, [group.object_id], kind).get(group.object_id)
        if kept is not None:
            return scan.decode(kept)
        found = run_scan(scan, self.arrow_schema, rows.batches(scan.columns))
        with suppress(StoreError):  # what cannot be kept is computed again next time
            write_derived(self.storage.catalog, kind, {group.object_id: scan.encode(found)})
        return found

    def _home(self, fragment: Fragment, scan: Scan[T]) -> ColumnGroup | None:
        """Return the file that holds every column of the scan that the fragment holds at all."""
        wanted = {self.reader.field_id(name) for name in scan.columns}
        holding = [group for group in fragment.groups if wanted & set(group.fields)]
        return holding[0] if len(holding) == 1 else None

    def _kind(self, fragment: Fragment, group: ColumnGroup, scan: Scan[T]) -> str:
        """Name the result by places in the file, since ids and names of columns are a dataset's own."""
        fields = list(group.fields)
        ids = [self.reader.field_id(name) for name in scan.columns]
        absent = [str(self.arrow_schema.field(name).type) for name in scan.columns]
        places = [fields.index(i) if i in fields else kind for i, kind in zip(ids, absent, strict=True)]
        variant = row_variant(self.reader, fragment, group)
        key = content_hash(canonical_json([scan.kind, places, variant, scan.parameters]).encode())
        return f"{scan.kind.partition('/')[0]}/{key}"
