"""A plan at work: its actions bound to columns, fitted one after the other, and done to batch after batch.

An action sees what the actions before it made. So does what it learns: for each action that learns there is one pass
over the columns that matter, with the actions before it that touch them. A preview and a commit run the same code.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import is_text
from foldstore.datastore.expression import Expression
from foldstore.datastore.statistics.hashing import hash_rows
from foldstore.datastore.statistics.nested import find_path
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.cleaning.action import CleaningAction, invalid_action
from foldstore.validation.cleaning.bound import (
    BoundCast,
    BoundCells,
    BoundClip,
    BoundDependency,
    BoundDrop,
    BoundImpute,
    BoundValues,
)
from foldstore.validation.cleaning.learnt import (
    check_size,
    find_repeated,
    learn_dependency,
    learn_limits,
    learn_value,
)
from foldstore.validation.cleaning.working import Bound, Choice, Read, RowIds, Working

_TYPES: Final[Mapping[str, pa.DataType]] = {
    "bool": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    "uint8": pa.uint8(), "uint16": pa.uint16(), "uint32": pa.uint32(), "uint64": pa.uint64(),
    "float": pa.float32(), "float32": pa.float32(), "double": pa.float64(), "float64": pa.float64(),
    "date32": pa.date32(), "date": pa.date32(), "timestamp": pa.timestamp("us"), "timestamp[us]": pa.timestamp("us"),
    "timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"), "time64[us]": pa.time64("us"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Need:
    """An action with the columns that it reads, before it is fitted."""

    action: CleaningAction
    columns: frozenset[str]
    predicate: Expression | None
    schema: pa.Schema


class Pipeline:
    """Actions, bound to rows.

    Parameters
    ----------
    actions : sequence of CleaningAction
        In order.
    schema : pyarrow.Schema
        The columns of the rows.
    engine : Engine
        What conditions are computed with.
    train : array of uint64, optional
        The ids of the rows to learn from, ascending; all unless given.

    Raises
    ------
    UsageError
        When an action does not fit the columns.
    """

    def __init__(
        self, actions: Sequence[CleaningAction], schema: pa.Schema, engine: Engine, train: RowIds | None = None
    ) -> None:
        self._engine = engine
        self._train = train
        self._needs: list[_Need] = []
        self.schema = schema
        for action in actions:
            self._needs.append(self._need(action))
        self._bound: list[Bound] = []

    @property
    def columns(self) -> list[str]:
        """The columns that the actions read or change, in the order of the rows."""
        used = {name for need in self._needs for name in need.columns}
        return [name for name in self.schema.names if name in used] or self.schema.names[:1]

    @property
    def changed_columns(self) -> list[str]:
        """The columns whose cells the actions change."""
        used = {need.action.column for need in self._needs}
        return [name for name in self.schema.names if name in used]

    @property
    def bound(self) -> Sequence[Bound]:
        """The actions, once they are fitted."""
        return tuple(self._bound)

    @property
    def fitted(self) -> list[dict[str, Any]]:
        """What each action has learnt, as plain data."""
        return [bound.fitted for bound in self._bound]

    def fit(self, read: Read) -> None:
        """Learn what is to be learnt, action by action."""
        for place, need in enumerate(self._needs):
            self._bound.append(self._bind(place, need, read))

    def run(self, read: Read, columns: Sequence[str] | None = None) -> Iterator[Working]:
        """Do the actions to each batch of the rows; `fit` comes before.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns to read; those that the actions need unless given.
        """
        for chunk in read(list(columns) if columns is not None else self.columns):
            working = Working.of(chunk)
            for bound in self._bound:
                bound.apply(working)
            yield working

    def _need(self, action: CleaningAction) -> _Need:
        schema, used = self.schema, set()
        if action.column is not None:
            used.add(action.column)
        used |= {name for names in action.params.get("determinants", ()) for name in names}
        used |= set(action.params.get("by", ()))
        for name in sorted(used):
            if name not in schema.names:
                _refuse_inside(name, schema)
                raise column_not_found(name, schema.names, where="the rows to clean")
        if action.column is not None:
            _check_nested(action, schema.field(action.column).type)
        if action.op == "deduplicate" and "by" not in action.params:
            used |= set(schema.names)
        predicate = None
        if action.where is not None:
            predicate = self._engine.parse_predicate(action.where, schema, where=f"where of {action.op}")
            used |= set(predicate.columns)
        need = _Need(action, frozenset(used), predicate, schema)
        if action.op == "cast":
            self._cast(action)
        return need

    def _cast(self, action: CleaningAction) -> None:
        target = cast_type(action)
        place = self.schema.get_field_index(action.column)
        if not is_text(self.schema.field(place).type):
            raise invalid_action(
                f"cast is for text, and {action.column!r} is {self.schema.field(place).type}.",
                "widen_columns() gives numbers wider types.",
            )
        self.schema = self.schema.set(place, pa.field(action.column, target))

    def _bind(self, place: int, need: _Need, read: Read) -> Bound:
        action = need.action
        rows = None if action.rows is None else np.sort(np.array(action.rows, np.uint64))
        choice = Choice(self._engine, need.predicate, rows)
        if action.op == "cast":
            return BoundCast(action, choice, cast_type(action))
        if action.op == "set_values":
            return BoundValues(action, choice)
        if action.op in ("drop_rows", "quarantine_rows"):
            return BoundDrop(action, choice)
        if action.op == "deduplicate":
            return self._bind_deduplicate(place, need, read)
        if action.operation.fitted:
            return self._bind_fitted(place, need, read, choice)
        return BoundCells(action, choice)

    def _bind_fitted(self, place: int, need: _Need, read: Read, choice: Choice) -> Bound:
        action = need.action
        kind = need.schema.field(action.column).type
        names = [action.column or "", *sorted(need.columns - {action.column})]
        if action.op == "impute":
            return BoundImpute(action, choice, learn_value(action, kind, self._learning(place, names[:1], read)))
        if action.op == "winsorize":
            return BoundClip(action, choice, *learn_limits(action, kind, self._learning(place, names[:1], read)))
        used = [name for name in names if name == names[0] or any(name in e for e in action.params["determinants"])]
        return BoundDependency(action, choice, learn_dependency(action, used, kind, self._learning(place, used, read)))

    def _bind_deduplicate(self, place: int, need: _Need, read: Read) -> Bound:
        action = need.action
        names = [name for name in need.schema.names if name in need.columns]
        hashes, ids, rows = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], 0
        for working in self._before(place, names, read):
            kept = working.alive & working.chunk.free
            found = hash_rows([working.columns[name] for name in names])
            hashes.append(found[kept])
            ids.append(working.chunk.ids[kept])
            rows += int(kept.sum())
            check_size(action, rows)
        keep = action.params.get("keep", "first")
        repeated = find_repeated(np.concatenate(hashes), np.concatenate(ids), keep=keep)
        return BoundDrop(action, Choice(self._engine, None, repeated))

    def _learning(self, place: int, names: Sequence[str], read: Read) -> Iterator[pa.RecordBatch]:
        """Yield the rows that an action may learn from: free ones, of the train part."""
        for working in self._before(place, names, read):
            kept = working.alive & working.chunk.free
            if self._train is not None:
                kept &= np.isin(working.chunk.ids, self._train)
            mask = pa.array(kept)
            columns = [working.columns[name] for name in names]
            yield pa.RecordBatch.from_arrays([pc.filter(each, mask) for each in columns], list(names))

    def _before(self, place: int, names: Sequence[str], read: Read) -> Iterator[Working]:
        """Do the earlier actions that matter for some columns."""
        wanted, chosen = set(names), []
        for earlier in range(place - 1, -1, -1):
            need = self._needs[earlier]
            if not need.action.operation.cells or need.action.column in wanted:
                chosen.append(self._bound[earlier])
                wanted |= need.columns
        schema = self._needs[0].schema
        for chunk in read([name for name in schema.names if name in wanted]):
            working = Working.of(chunk)
            for bound in reversed(chosen):
                bound.apply(working)
            yield working


def cast_type(action: CleaningAction) -> pa.DataType:
    """Return the type that a cast names.

    Raises
    ------
    UsageError
        When there is no such type.
    """
    target = _TYPES.get(action.params["type"])
    if target is None:
        raise invalid_action(
            f"cast knows no type {action.params['type']!r}.",
            f"There are {', '.join(_TYPES)}.",
            type=action.params["type"],
        )
    return target


def refuse_columns(actions: Sequence[CleaningAction], *, key: Sequence[str], derived: Mapping[str, str]) -> None:
    """Refuse to change what rows are known by, and what is computed.

    Raises
    ------
    UsageError
        With code ``column-needed``.
    """
    for action in actions:
        if action.column in key:
            raise UsageError(
                f"Column {action.column!r} belongs to the key: a row with another key is another row.",
                hint="Delete the row and upsert it under the right key.",
                code="column-needed",
                column=action.column,
            )
        if action.column in derived:
            raise UsageError(
                f"Column {action.column!r} is derived: {derived[action.column or '']}.",
                hint="Clean the columns that it is computed from; it follows.",
                code="column-needed",
                column=action.column,
            )


def _refuse_inside(name: str, schema: pa.Schema) -> None:
    found = find_path(name, schema)
    if found is not None:
        raise invalid_action(
            f"{name!r} is inside of column {found[0]!r}: cleaning changes whole cells, and nothing inside of them.",
            "Put the values into a column of their own, or write its cells anew by upsert().",
            column=found[0],
        )


def _check_nested(action: CleaningAction, kind: pa.DataType) -> None:
    """Refuse what is for single values where a cell holds several; a cell as a whole can become null."""
    is_whole = action.op == "set_null" and "values" not in action.params and not action.params.get("nan")
    if pa.types.is_nested(kind) and not is_whole:
        raise invalid_action(
            f"{action.op} is for single values, and {action.column!r} is {kind}.",
            "set_null with where or rows makes whole cells null.",
            column=action.column,
        )
