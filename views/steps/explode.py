"""The step that makes a row of each element of a list."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.cost import Flow, Part, type_width
from foldstore.views.steps.elements import check_list_column
from foldstore.views.steps.step import Batches, Effect, check_new_column, passed_on, replaced

_MOST_ROWS: Final = 131_072


@dataclass(frozen=True, slots=True)
class Explode:
    """Repeat a row once for each element of a list, which takes the list's place.

    Attributes
    ----------
    column : str
        The list.
    position : str or None
        A column that says which element it is, from 0.
    keep_empty : bool
        Whether a row without elements stays, with null.
    ordinals : str or None
        A hidden column in which the step notes the element that each row has, -1 for none.
    """

    column: str
    position: str | None
    keep_empty: bool
    arrow_schema: pa.Schema
    ordinals: str | None = None

    @property
    def effect(self) -> Effect:
        """It multiplies rows."""
        return Effect.MULTIPLIES

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"explode": {"column": self.column, "position": self.position, "keep_empty": self.keep_empty}}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted; the list is read in any case, for its length."""
        fields = []
        for field in passed_on(wanted, before, [self.column]):
            own = field.name == self.column
            fields.append(self.arrow_schema.field(self.column) if own else field)
        for name, kind in ((self.position, pa.int64()), (self.ordinals, pa.int32())):
            if name is not None and name in wanted:
                fields.append(pa.field(name, kind))
        return replace(self, arrow_schema=pa.schema(fields))

    def needed(self) -> set[str]:
        """Return what is handed on, and the list."""
        made = {self.position, self.ordinals}
        return {self.column, *(name for name in self.arrow_schema.names if name not in made)}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:  # noqa: ARG002
        """Yield a row for each element."""
        for batch in batches:
            rows, ordinals = _unfold(batch.column(self.column), keep_empty=self.keep_empty)
            # A few long lists can make a batch of any size; it is handed on in pieces.
            for start in range(0, len(rows), _MOST_ROWS):
                yield self._repeat(batch, rows.slice(start, _MOST_ROWS), ordinals.slice(start, _MOST_ROWS))

    def _repeat(self, batch: pa.RecordBatch, rows: pa.Array, ordinals: pa.Array) -> pa.RecordBatch:
        columns = []
        for name in self.arrow_schema.names:
            if name == self.column:
                columns.append(pick_elements(batch.column(name), ordinals, rows))
            elif name == self.position:
                columns.append(ordinals.cast(pa.int64()))
            elif name == self.ordinals:
                columns.append(pc.fill_null(ordinals, -1).cast(pa.int32()))
            else:
                columns.append(batch.column(name).take(rows))
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow_schema)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:  # noqa: ARG002  # how many rows come in does not bound it
        """It copies every row that it makes; how many there are is known when the lists are read."""
        widths = {field.name: type_width(field.type) for field in self.arrow_schema}
        return Part("explode", self.column, None), Flow(None, widths)


@dataclass(frozen=True, slots=True)
class PickElement:
    """Put one element of a list in its place: what `Explode` does to a row whose element is known.

    Attributes
    ----------
    ordinals : str
        The hidden column that says which; -1 for none.
    """

    exploded: Explode
    ordinals: str
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It keeps the rows."""
        return Effect.KEEPS

    def spec(self) -> dict[str, Any]:
        """Return the step that it stands for."""
        return self.exploded.spec()

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted."""
        after = replace(self.exploded, ordinals=None).pruned(wanted, before)
        fields = [field for field in after.arrow_schema if field.name != self.ordinals]
        return replace(self, arrow_schema=pa.schema(fields or [self.exploded.arrow_schema.field(self.exploded.column)]))

    def needed(self) -> set[str]:
        """Return what is handed on, the list and which element."""
        return {self.exploded.column, self.ordinals, *self.arrow_schema.names} - {self.exploded.position}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:  # noqa: ARG002
        """Yield the rows with their elements."""
        column, position = self.exploded.column, self.exploded.position
        for batch in batches:
            known = batch.column(self.ordinals)
            ordinals = pc.if_else(pc.equal(known, -1), None, known)
            elements = pick_elements(batch.column(column), ordinals)
            if position is not None and position in self.arrow_schema.names:
                batch = batch.append_column(position, ordinals.cast(pa.int64()))  # noqa: PLW2901  # with one more
            yield replaced(batch, column, elements, self.arrow_schema)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It costs what the explosion costs."""
        return self.exploded.flow(flow)


def make_explode(column: str, position: str | None, schema: pa.Schema, address: str, *, keep_empty: bool) -> Explode:
    """Check a list column, and the name of the column of positions."""
    kind = check_list_column(column, schema, where=f"explode() of the view of {address}")
    if not isinstance(keep_empty, bool):
        raise UsageError("keep_empty is True or False.", hint="explode('rois', keep_empty=True)")
    place = schema.get_field_index(column)
    after = schema.set(place, pa.field(column, kind.value_type))
    if position is not None:
        after = after.append(pa.field(check_new_column(position, schema, where="explode"), pa.int64()))
    return Explode(column, position, keep_empty, after)


def pick_elements(lists: pa.Array, ordinals: pa.Array, rows: pa.Array | None = None) -> pa.Array:
    """Return one element of each list (or of the lists of some rows); null where the ordinal is."""
    starts, _ = _bounds(lists)
    if rows is not None:
        starts = starts.take(rows)
    return lists.values.take(pc.add(starts, ordinals.cast(pa.int64())))


def _unfold(lists: pa.Array, *, keep_empty: bool) -> tuple[pa.Array, pa.Array]:
    """Return, for each row to make, the row that it comes from and which element it has."""
    starts, ends = _bounds(lists)
    lengths = pc.fill_null(pc.subtract(ends, starts), 0).to_numpy(zero_copy_only=False)
    counts = lengths.clip(min=1) if keep_empty else lengths
    rows = np.repeat(np.arange(len(lists)), counts)
    firsts = np.cumsum(counts) - counts
    ordinals = np.arange(len(rows)) - np.repeat(firsts, counts)
    empty = np.repeat(lengths == 0, counts)
    return pa.array(rows), pa.array(ordinals, pa.int64(), mask=empty if empty.any() else None)


def _bounds(lists: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return where the elements of each list begin and end among the values; null for a list that is null."""
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size
        starts = pa.array((np.arange(len(lists)) + lists.offset) * size, pa.int64())
        if lists.null_count:
            starts = pc.if_else(lists.is_valid(), starts, pa.scalar(None, pa.int64()))
        return starts, pc.add(starts, size)
    offsets = lists.offsets.cast(pa.int64())
    starts, ends = offsets.slice(0, len(lists)), offsets.slice(1)
    if lists.null_count:
        none = pa.scalar(None, pa.int64())
        return pc.if_else(lists.is_valid(), starts, none), pc.if_else(lists.is_valid(), ends, none)
    return starts, ends
