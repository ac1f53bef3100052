"""The cells that a merge lacks: columns that one side has added, in the rows that the other has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from foldstore.datastore.add_columns import place_of, with_group, write_groups
from foldstore.datastore.arrow_schema import expressions_of, plain_schema
from foldstore.datastore.column_merge import THEIRS, MergedColumns
from foldstore.datastore.commit import Transaction
from foldstore.datastore.derivation import Derivation, plan_derivation
from foldstore.datastore.draft import Draft
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_pairs import pair_by_key
from foldstore.datastore.row_set import Part, Places, RowSet


@dataclass(frozen=True, slots=True, eq=False)
class NewCells:
    """Writes what fragments of a merge lack.

    Columns that are computed are computed. Others are taken from the same row of the side that has them: by row id,
    or by key where a row was replaced; rows that this side never had read as null.

    Parameters
    ----------
    transaction : Transaction
        Where files are staged.
    columns : MergedColumns
        The columns.
    sides : mapping of str to FragmentReader
        The rows of each side, under the merge's columns.
    """

    transaction: Transaction
    columns: MergedColumns
    sides: Mapping[str, FragmentReader]

    def fill(self, draft: Draft) -> Draft:
        """Return the draft with the files that its fragments lacked."""
        texts = expressions_of(self.columns.schema)
        for side in self.sides:
            given = tuple(n for n, by in self.columns.added.items() if by == side and n not in texts)
            known = {fragment.id for fragment in self.sides[side].fragments}  # what is null there stays so
            for lacking, fragments in self._lacking(draft, given).items():
                strange = [fragment for fragment in fragments if fragment.id not in known]
                draft = self._carry(draft, lacking, strange, self.sides[side])
        derived = tuple(name for name in self.columns.added if name in texts)
        for lacking, fragments in self._lacking(draft, derived).items():
            draft = self._compute(draft, {name: texts[name] for name in lacking}, fragments)
        return draft

    def plan(self, texts: Mapping[str, str]) -> Derivation:
        """Plan the computation of derived columns.

        Raises
        ------
        FoldstoreError
            When an input is not there, or has become another.
        """
        plain = plain_schema(self.columns.schema)
        given = pa.schema([field for field in plain if field.name not in texts])
        kept = {name: plain.field(name).type for name in texts}
        engine = self.transaction.storage.engine
        return plan_derivation(engine, texts, given, kept=kept, where=lambda name: f"column {name!r}")

    def _lacking(self, draft: Draft, names: Sequence[str]) -> dict[tuple[str, ...], list[Fragment]]:
        found: dict[tuple[str, ...], list[Fragment]] = {}
        ids = {name: self.sides[THEIRS].field_id(name) for name in names}
        for fragment in draft.fragments:
            lacking = tuple(name for name, field_id in ids.items() if field_id not in fragment.fields)
            if lacking:
                found.setdefault(lacking, []).append(fragment)
        return found

    def _compute(self, draft: Draft, texts: Mapping[str, str], fragments: Sequence[Fragment]) -> Draft:
        derivation, engine = self.plan(texts), self.transaction.storage.engine
        whole = draft.reader(self.transaction.storage, self.transaction.dataset).with_deleted()
        inputs = pa.schema([f for f in whole.arrow_schema if f.name not in texts])
        inputs = pa.schema([inputs.field(name) for name in derivation.inputs(inputs)])
        fresh = pa.schema([self.columns.schema.field(name) for name in texts])

        def compute(rows: FragmentReader) -> Iterator[pa.RecordBatch]:
            for batch in derivation.extend(engine, inputs, rows.batches(inputs.names)):
                yield pa.RecordBatch.from_arrays([batch.column(name) for name in fresh.names], schema=fresh)

        chosen = {fragment.id for fragment in fragments}
        parts = ((each, compute(whole.restricted([each]))) for each in whole.fragments if each.id in chosen)
        groups = write_groups(self.transaction, parts, fresh)
        return draft.with_changed({each.id: with_group(each, groups[place_of(each)]) for each in fragments})

    def _carry(self, draft: Draft, names: Sequence[str], fragments: Sequence[Fragment], side: FragmentReader) -> Draft:
        ids = {side.field_id(name) for name in names}
        source = RowSet(side, [Part(each) for each in side.fragments if ids & each.fields])
        reader = draft.reader(self.transaction.storage, self.transaction.dataset)
        fresh = pa.schema([self.columns.schema.field(name) for name in names])
        partners = {each.id: _find_partners(reader, each, source, self.transaction.dataset.key) for each in fragments}
        met = [each for each in fragments if (partners[each.id] >= 0).any()]
        parts = ((each, _cells(reader, each, source, partners[each.id], fresh)) for each in met)
        groups = write_groups(self.transaction, parts, fresh)
        return draft.with_changed({each.id: with_group(each, groups[place_of(each)]) for each in met})


def _find_partners(reader: FragmentReader, fragment: Fragment, source: RowSet, key: Sequence[str]) -> Places:
    """Return for each row of a fragment's files its place among other rows, -1 for none."""
    partners = np.full(fragment.num_rows, -1, np.int64)
    rows = RowSet(reader, [Part(fragment)])
    if fragment.moved or source.has_moved:
        live = np.flatnonzero(reader.live(fragment))
        _, here, there = np.intersect1d(rows.row_ids(), source.row_ids(), assume_unique=True, return_indices=True)
        partners[live[here]] = there
    if key:
        alone = reader.live(fragment) & (partners < 0)
        pairs = pair_by_key(key, RowSet(reader, [Part(fragment, alone)]), source)
        partners[np.flatnonzero(alone)[pairs.before_places]] = pairs.after_places
    return partners


def _cells(
    reader: FragmentReader, fragment: Fragment, source: RowSet, partners: Places, fresh: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the cells of a fragment's rows, cut as its other files are."""
    start = 0
    lead = reader.restricted([fragment]).open_group(fragment.groups[0].object_id)
    for batch in lead.batches:
        here = partners[start : start + batch.num_rows]
        start += batch.num_rows
        found = source.take(here[here >= 0], fresh.names)
        places = np.cumsum(here >= 0) - 1
        taken = found.take(pa.array(places, mask=here < 0)).combine_chunks()
        columns = [c.chunk(0) if c.num_chunks else pa.nulls(0, c.type) for c in taken.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=fresh)
