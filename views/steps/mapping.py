"""Steps that give values other values: names to names (`Map`), and labels to numbers (`Enumerate`).

They act on the column as it reaches them, so that conditions written before see the old values. In a list each element
is mapped; a rule that names several labels speaks of the list as a whole.
"""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.arguments import check_list
from foldstore.views.cost import Flow, Part, type_width
from foldstore.views.nested import (
    FieldPath,
    find_path,
    is_list,
    list_type,
    read_field,
    replace_field,
    replace_type,
    with_values,
)
from foldstore.views.steps.step import Batches, Effect, check_new_column, hidden_of

_MOST_RULES: Final = 100_000
_SHOWN_RULES: Final = 6
_HINT: Final = "Give {value: new value}; a rule for a list may name several labels: {('Car', 'hidden'): 'ignore'}."


class Keep:
    """Says that a value which no rule names stays as it is."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What values become.

    Attributes
    ----------
    pairs : tuple of (tuple, object)
        Labels, all of which a list must have where there are several, and what they become.
    default : object
        What every other value becomes; `KEEP` for itself.
    null : object
        What null becomes.
    type : pyarrow.DataType
        Of the new values.
    of_lists : bool
        Whether a rule speaks of a list as a whole.
    """

    pairs: tuple[tuple[tuple[Any, ...], Any], ...]
    default: Any
    null: Any
    type: pa.DataType
    of_lists: bool

    def apply(self, values: pa.Array) -> pa.Array:
        """Return the new values."""
        if self.of_lists:
            return self._apply_to_lists(values)
        if is_list(values.type):
            return with_values(values, self.apply(values.values))
        return self._apply_to_values(values)

    def type_of(self, kind: pa.DataType) -> pa.DataType:
        """Return the type that values of a type become."""
        if self.of_lists:
            return list_type(kind, self.type) if not pa.types.is_fixed_size_list(kind) else pa.list_(self.type)
        return list_type(kind, self.type_of(kind.value_type)) if is_list(kind) else self.type

    def _apply_to_values(self, values: pa.Array) -> pa.Array:
        if pa.types.is_dictionary(values.type):
            # Each distinct value once; then the rows by their codes, nulls as nulls are.
            distinct = pa.concat_arrays([values.dictionary, pa.nulls(1, values.type.value_type)])
            codes = pc.fill_null(values.indices.cast(pa.int64()), len(values.dictionary))
            return self._apply_to_values(distinct).take(codes)
        named = [(labels[0], target) for labels, target in self.pairs if labels != (None,)]
        known = pa.array([label for label, _ in named], values.type)
        new = pa.array([target for _, target in named], self.type)
        found = pc.index_in(values, value_set=known, skip_nulls=True)
        mapped = new.take(found)
        rest = values if self.default is KEEP else pa.scalar(self.default, self.type)
        result = pc.if_else(found.is_valid(), mapped, rest)
        return pc.if_else(values.is_null(), pa.scalar(self.null, self.type), result) if values.null_count else result

    def _apply_to_lists(self, values: pa.Array) -> pa.Array:
        chosen = np.full(len(values), -1)
        flat, bounds = values.flatten(), _bounds(values)
        for number in range(len(self.pairs) - 1, -1, -1):
            held = np.ones(len(values), np.bool_)
            for label in self.pairs[number][0]:
                is_label = pc.fill_null(pc.equal(flat, pa.scalar(label, flat.type)), False)  # noqa: FBT003
                held &= np.diff(np.concatenate([[0], np.cumsum(is_label)])[bounds]) > 0
            chosen[held] = number
        rest = chosen < 0
        targets = [target for _, target in self.pairs]
        old = flat.cast(self.type) if self.default is KEEP else None
        new = pa.array([*targets, None if self.default is KEEP else self.default], self.type)
        lengths = np.diff(bounds)
        # A mapped list has one label; another its own ones, or the default where it has any.
        counts = np.where(rest, lengths if self.default is KEEP else np.minimum(lengths, 1), 1)
        source = new if old is None else pa.concat_arrays([old, new])
        first = 0 if old is None else len(old)
        starts = np.where(rest, bounds[:-1] if old is not None else first + len(targets), first + chosen)
        ends = np.cumsum(counts)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
        offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
        kind = self.type_of(values.type)
        mask = values.is_null() if values.null_count else None
        maker = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
        lists = maker.from_arrays(
            offsets.cast(pa.int64() if maker is pa.LargeListArray else pa.int32()),
            source.take(pa.array(places)),
            mask=mask,
        )
        return lists.cast(kind)


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Give the values of a column, or of a field inside one, other values."""

    path: FieldPath
    rules: Rules
    into: str | None
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It keeps the rows."""
        return Effect.KEEPS

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        said: dict[str, Any] = {"column": self.path.text, "values": _plain_pairs(self.rules.pairs), "into": self.into}
        return {"map": said if self.rules.default is KEEP else {**said, "default": self.rules.default}}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted."""
        fields = [field for field in self.arrow_schema if field.name in wanted]
        hidden = [before.field(name) for name in hidden_of(wanted, before)]
        return replace(self, arrow_schema=pa.schema([*(fields or [self.arrow_schema.field(0)]), *hidden]))

    def needed(self) -> set[str]:
        """Return what is handed on, and the column that is mapped where that is wanted."""
        names = set(self.arrow_schema.names)
        return names if self.into is None or self.into not in names else (names - {self.into}) | {self.path.column}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:  # noqa: ARG002
        """Yield the rows with the new values."""
        for batch in batches:
            columns = [self._column(batch, name) for name in self.arrow_schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=self.arrow_schema)

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        if name == (self.into or self.path.column):
            column = batch.column(self.path.column)
            if self.into is not None:
                return self.rules.apply(read_field(column, self.path.fields))
            return replace_field(column, self.path.fields, self.rules.apply)
        return batch.column(name)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies the new values."""
        name = self.into or self.path.column
        widths = {**flow.widths, name: type_width(self.arrow_schema.field(name).type)}
        after = Flow(flow.rows, widths)
        ((verb, _),) = self.spec().items()
        shown = ", ".join(f"{_shown(labels)} → {target!r}" for labels, target in self.rules.pairs[:_SHOWN_RULES])
        more = f" and {len(self.rules.pairs) - _SHOWN_RULES} more" if len(self.rules.pairs) > _SHOWN_RULES else ""
        return Part(verb, f"{self.path.text}: {shown}{more}", after.num_bytes([name])), after


@dataclass(frozen=True, slots=True, eq=False)
class Enumerate(Map):
    """Give each label a number, and every other value, null too, the default."""

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        said = {"column": self.path.text, "labels": _plain_pairs(self.rules.pairs), "default": self.rules.default}
        return {"enumerate": {**said, "into": self.into}}


def make_map(column: object, values: object, default: object, into: str | None, schema: pa.Schema, address: str) -> Map:
    """Check a column and what its values become.

    Raises
    ------
    UsageError
        When a rule cannot be one, or new values have no common type.
    """
    path = _find(column, schema, address, "map")
    pairs = _read_pairs(values, "map")
    if default is not KEEP and not _is_plain(default):
        raise UsageError(f"default={ascii(default)[:40]} is no value to map to.", hint="Texts, finite numbers, None.")
    old = _innermost(path.type)
    targets = [target for _, target in pairs] + ([] if default is KEEP else [default])
    kind = old.value_type if pa.types.is_dictionary(old) else old
    if default is not KEEP or not _all_fit(targets, kind):
        kind = _common_type(targets, old, default)
    null = next((target for labels, target in pairs if labels == (None,)), None)
    rules = Rules(pairs, default, null, kind, of_lists=any(len(labels) != 1 for labels, _ in pairs))
    _check_labels(rules, path, "map")
    return Map(path, rules, into, _after(path, rules, into, schema, "map"))


def make_enumerate(
    column: object, labels: object, default: object, into: str | None, schema: pa.Schema, address: str
) -> Enumerate:
    """Check a column and the numbers of its labels."""
    path = _find(column, schema, address, "enumerate")
    pairs = _read_pairs(labels, "enumerate")
    for number in [default, *(target for _, target in pairs)]:
        if not isinstance(number, int) or isinstance(number, bool) or not -(2**63) <= number < 2**63:
            raise UsageError(f"{ascii(number)[:40]} is no number for a label.", hint="enumerate('label', {'cat': 0})")
    rules = Rules(pairs, default, default, pa.int64(), of_lists=any(len(names) != 1 for names, _ in pairs))
    if rules.of_lists:
        raise UsageError("A label has a number by itself.", hint="Map label sets to one label first: view.map(...).")
    _check_labels(rules, path, "enumerate")
    return Enumerate(path, rules, into, _after(path, rules, into, schema, "enumerate"))


def _find(column: object, schema: pa.Schema, address: str, verb: str) -> FieldPath:
    if not isinstance(column, str):
        raise UsageError(f"{verb}() takes the name of a column, not {type(column).__name__}.", hint=_HINT)
    return find_path(column, schema, where=f"{verb}() of the view of {address}")


def _after(path: FieldPath, rules: Rules, into: str | None, schema: pa.Schema, verb: str) -> pa.Schema:
    if into is not None:
        return schema.append(pa.field(check_new_column(into, schema, where=verb), rules.type_of(path.type)))
    place = schema.get_field_index(path.column)
    field = schema.field(place)
    return schema.set(place, field.with_type(replace_type(field.type, path.fields, rules.type_of)))


def _read_pairs(values: object, verb: str) -> tuple[tuple[tuple[Any, ...], Any], ...]:
    what = f"{verb}() takes a dict of values"
    given = list(values.items()) if isinstance(values, Mapping) else check_list(values, what, _HINT)
    pairs: dict[tuple[Any, ...], Any] = {}
    known: set[frozenset[Any]] = set()
    for pair in given:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2 or len(pairs) >= _MOST_RULES:
            raise UsageError(f"{verb}() takes at most {_MOST_RULES:,} pairs of a value and a new one.", hint=_HINT)
        labels = tuple(pair[0]) if isinstance(pair[0], tuple | list) else (pair[0],)
        if not labels or not all(_is_plain(each) for each in (*labels, pair[1])):
            raise _no_rule(pair, verb)
        if frozenset(labels) in known:
            raise UsageError(f"{verb}() has two rules for {_shown(labels)}.", hint="Each value becomes one thing.")
        pairs[labels] = pair[1]
        known.add(frozenset(labels))
    if not pairs:
        raise UsageError(f"{verb}() needs at least one rule.", hint=_HINT)
    return tuple(pairs.items())


def _no_rule(pair: Sequence[Any], verb: str) -> UsageError:
    unreal = any(isinstance(each, float) and not math.isfinite(each) for each in pair)
    hint = "SQL has NaN and infinity: select(..., x='CASE WHEN isnan(x) THEN 0 ELSE x END')." if unreal else _HINT
    return UsageError(f"{ascii(pair)[:80]} is no rule of {verb}().", hint=hint)


def _check_labels(rules: Rules, path: FieldPath, verb: str) -> None:
    kind = _innermost(path.type)
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if rules.of_lists and not is_list(path.type):
        raise UsageError(
            f"{verb}(): {path.text!r} is {path.type}; only a list has several labels.", hint=_HINT, column=path.text
        )
    for labels, _ in rules.pairs:
        if not all(_fits(label, kind) for label in labels) and (labels != (None,) or rules.of_lists):
            raise UsageError(
                f"{verb}(): {_shown(labels)} is no value of {path.text!r} ({kind}).",
                hint="Spell values as the column has them.",
                column=path.text,
            )


def _common_type(targets: Sequence[Any], old: pa.DataType, default: object) -> pa.DataType:
    try:
        kind = pa.array(targets).type
    except (pa.ArrowException, OverflowError) as error:
        raise UsageError(f"The new values have no common type: {error}.", hint="Give all of one kind.") from error
    if default is KEEP and kind != old:
        raise UsageError(
            f"Values that no rule names stay {old}, and the new ones are {kind}.",
            hint="Give default= for the others, or new values of the old type.",
        )
    return kind


def _all_fit(values: Sequence[Any], kind: pa.DataType) -> bool:
    return all(value is None or _fits(value, kind) for value in values)


def _fits(value: object, kind: pa.DataType) -> bool:
    types = pa.types
    if isinstance(value, bool):
        return bool(types.is_boolean(kind))
    if isinstance(value, str):
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
    if isinstance(value, int) and not (types.is_integer(kind) or types.is_floating(kind)):
        return False
    if isinstance(value, float) and not types.is_floating(kind):
        return False
    try:
        return bool(pa.scalar(value, kind).as_py() == value)
    except (pa.ArrowException, OverflowError):
        return False


def _is_plain(value: object) -> bool:
    """Say whether a value can be written down: JSON has no NaN, no infinity and no half characters."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _innermost(kind: pa.DataType) -> pa.DataType:
    return _innermost(kind.value_type) if is_list(kind) else kind


def _bounds(lists: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return where the elements of each list begin and end in the flattened values; a null list has none."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _plain_pairs(pairs: Sequence[tuple[tuple[Any, ...], Any]]) -> list[list[Any]]:
    return [[list(labels) if len(labels) > 1 else labels[0], target] for labels, target in pairs]


def _shown(labels: tuple[Any, ...]) -> str:
    return repr(labels[0]) if len(labels) == 1 else " and ".join(map(repr, labels))
