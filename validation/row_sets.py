"""The checks of rows as a set: repeated rows, periods without rows, keys that other datasets hold or lack.

Rows are compared by 64-bit hashes, eight bytes a row; only what a schema declares is read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.datastore.statistics.hashing import Hashes, hash_rows
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of_text, plain_array, present, read_numbers
from foldstore.errors import FoldstoreError
from foldstore.validation.anomaly import percent
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.dataset_rules import ForeignKey
from foldstore.validation.document import read_duration
from foldstore.validation.failing_rows import EXAMPLES, Predicate, Question, sealed_rows
from foldstore.validation.finding import Finding
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject
from foldstore.validation.ticks import tick_size

# Finds the newest rows of another dataset by its name.
Others: TypeAlias = Callable[[str], Subject]

_NOBODY: Final = "other datasets are not at hand where these rows are judged"


def check_row_sets(
    subject: Subject, schema: DataSchema, fitting: Collection[str], others: Others | None
) -> Iterator[Finding]:
    """Yield what is wrong with the rows as a set; columns that are missing or of another type are not asked."""
    profile = subject.profile()
    yield from _check_duplicates(subject, profile, schema)
    if schema.time_column in fitting:
        yield from _check_gaps(subject, profile, schema)
    for place, ref in enumerate(schema.refs):
        if all(name in fitting for name in ref.columns):
            yield _check_ref(subject, ref, f"refs[{place}]", others)
    keys = schema.keys or (() if schema.group is None else (schema.group,))
    if all(name in fitting for name in keys):
        yield from _check_overlap(subject, schema, keys, others)


def _check_duplicates(subject: Subject, profile: Profile, schema: DataSchema) -> Iterator[Finding]:
    """Compare the share of rows that repeat an earlier one in all columns with what is allowed; nulls are equal."""
    allowed, field = schema.max_duplicate_fraction, "max_duplicate_fraction"
    if allowed is None or not profile.rows:
        return
    nested = [name for name, kind in profile.types.items() if kind_of_text(kind) is Kind.OPAQUE]
    if nested or not profile.columns:
        yield not_judged(field, f"values of {nested[0]} are not compared" if nested else "there are no columns")
        return
    hashes = _hash_all(subject, list(profile.columns))
    first = np.unique(hashes, return_index=True)[1]
    count = len(hashes) - len(first)
    if count <= allowed * len(hashes) * (1 + 1e-12):
        return
    is_repeat = np.ones(len(hashes), bool)
    is_repeat[first] = False
    shown = is_repeat & ~_sealed(subject) if subject.seals else is_repeat
    yield Finding(
        code="duplicate_rows",
        facts={"share": percent(count / len(hashes)), "allowed": percent(allowed)},
        observed=count / len(hashes),
        expected=allowed,
        count=count,
        of=len(hashes),
        examples=tuple({"row": row, "key": {}} for row in np.flatnonzero(shown)[:EXAMPLES].tolist()),
        fix=({"op": "set_dataset", "field": field, "value": count / len(hashes)},),
    )


def _sealed(subject: Subject) -> NDArray[np.bool_]:
    names = list(dict.fromkeys(name for seal in subject.seals for name in seal))
    return np.concatenate([sealed_rows(batch, subject.seals) for batch in subject.batches(names)])


def _check_gaps(subject: Subject, profile: Profile, schema: DataSchema) -> Iterator[Finding]:
    """Find periods between the first and the last time that no row falls into; they are counted from 1970 on."""
    column = None if schema.time_column is None else profile.columns.get(schema.time_column)
    if schema.time_step is None or schema.time_column is None or column is None:
        return
    ticks = _ticks(column.type, read_duration(schema.time_step, "time_step"))
    if ticks is None:
        yield not_judged("time_step", f"{schema.time_step} is no whole number of the ticks of {column.type}")
        return
    seen = _periods(subject, schema.time_column, column, ticks)
    if len(seen) < 2:
        return
    periods = int(seen[-1]) - int(seen[0]) + 1
    missing = periods - len(seen)
    if missing:
        before = int(seen[:-1][np.diff(seen) > 1][0])
        first = str(json_value(present((before + 1) * ticks, column.type)))
        yield Finding(
            code="time_gap",
            column=schema.time_column,
            facts={"missing": missing, "periods": periods, "step": schema.time_step, "first": first},
            observed=missing,
            expected=0,
            count=missing,
            of=periods,
            evidence={"first": first, "periods": periods},
        )


def _periods(subject: Subject, name: str, column: ColumnProfile, ticks: int) -> NDArray[np.int64]:
    if column.values is not None and column.values.exact:
        return np.unique(np.floor_divide(column.finite_values()[0].astype(np.int64), ticks))
    seen = np.empty(0, np.int64)
    for batch in subject.batches([name]):
        numbers = read_numbers(plain_array(batch.column(0)), Kind.TEMPORAL).astype(np.int64)
        seen = np.union1d(seen, np.floor_divide(numbers, ticks))
    return seen


def _ticks(type_text: str, step: timedelta) -> int | None:
    """Return a length of time in the ticks of a type; None where it is no whole number of them."""
    size = tick_size(type_text)
    if size is None:
        return None
    ticks = (step // timedelta(microseconds=1)) / size
    return int(ticks) if ticks and ticks.denominator == 1 else None


def _check_ref(subject: Subject, ref: ForeignKey, field: str, others: Others | None) -> Finding:
    """Find rows whose values another dataset lacks; as in SQL, a row with a null asks for nothing."""
    reason = _why_not(subject, ref.columns, others)
    if others is None or reason is not None:
        return not_judged(field, reason or _NOBODY)
    names = ", ".join(ref.columns)
    try:
        held = _find_keys(others(ref.dataset), ref.to or ref.columns)
    except FoldstoreError as error:
        return Finding(code="schema_invalid", facts={"what": field, "reason": error.message})
    return Finding(
        code="foreign_key_missing",
        column=ref.columns[0] if len(ref.columns) == 1 else None,
        facts={"columns": names, "dataset": ref.dataset, "allowed": percent(ref.max_missing_fraction)},
        question=Question(None, _lacks(held), ref.columns),
        tolerated=ref.max_missing_fraction,
        expected=ref.max_missing_fraction,
        of=subject.num_rows,
        evidence={"columns": list(ref.columns), "dataset": ref.dataset, "held": len(held)},
    )


def _lacks(held: Hashes) -> Predicate:
    def fails(batch: Any) -> pa.Array:
        hashes, complete = _hash(batch)
        return pa.array(complete & ~_is_in(hashes, held))

    return fails


def _check_overlap(
    subject: Subject, schema: DataSchema, keys: Sequence[str], others: Others | None
) -> Iterator[Finding]:
    """Compare the share of different keys (of groups, where there are no keys) that other datasets hold as well."""
    if not schema.overlap:
        return
    reason = _why_not(subject, keys, others) if keys else "the schema names no keys and no group"
    if others is None or reason is not None:
        yield not_judged("overlap", reason or _NOBODY)
        return
    own = _find_keys(subject, keys)
    for name, allowed in schema.overlap.items():
        try:
            shared = int(_is_in(own, _find_keys(others(name), keys)).sum())
        except FoldstoreError as error:
            yield Finding(code="schema_invalid", facts={"what": f"overlap.{name}", "reason": error.message})
            continue
        if shared > allowed * len(own) * (1 + 1e-12):
            fix = {"op": "set_dataset", "field": "overlap", "value": {**schema.overlap, name: shared / len(own)}}
            yield Finding(
                code="split_overlap",
                facts={"share": percent(shared / len(own)), "other": name, "allowed": percent(allowed)},
                observed=shared / len(own),
                expected=allowed,
                count=shared,
                of=len(own),
                evidence={"keys": list(keys), "dataset": name},
                fix=(fix,),
            )


def _why_not(subject: Subject, names: Sequence[str], others: Others | None) -> str | None:
    """Say why rows cannot be looked for in another dataset; None when they can."""
    types = subject.profile().types
    nested = next((types[name] for name in names if kind_of_text(types[name]) is Kind.OPAQUE), None)
    if nested is not None:
        return f"values of {nested} are not compared"
    return _NOBODY if others is None else None


def _find_keys(subject: Subject, names: Sequence[str]) -> Hashes:
    """Return the different keys of some rows, ascending; those with a null are none."""
    found = [hashes[complete] for hashes, complete in map(_hash, _read(subject, names))]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def _hash_all(subject: Subject, names: Sequence[str]) -> Hashes:
    return np.concatenate([_hash(batch)[0] for batch in _read(subject, names)] or [np.empty(0, np.uint64)])


def _read(subject: Subject, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    return (batch.select(list(names)) for batch in subject.batches(list(names)))


def _hash(batch: Any) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return a hash of each row, and which rows have no null."""
    columns: Mapping[int, pa.Array] = {at: plain_array(batch.column(at)) for at in range(batch.num_columns)}
    complete = np.ones(batch.num_rows, bool)
    for column in columns.values():
        if column.null_count:
            complete &= np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    return hash_rows(list(columns.values())), complete


def _is_in(hashes: Hashes, ascending: Hashes) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)
    return np.asarray(ascending[places] == hashes)
