"""Schemas of pandera run over rows that are judged, the checks in user code among them; failures become findings.

pandera is given whole tables, never a lazy frame, and always asked to look at the data, whatever its environment
variables say: either would let bad rows pass in silence. What it would collect of failing rows is capped.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals.stable.v1 as nw
import numpy as np
import pandera.polars as on_polars
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandera.config import ValidationDepth, config_context
from pandera.constants import CHECK_OUTPUT_KEY
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from foldstore.types import Severity
from foldstore.validation.failing_rows import EXAMPLES, sealed_rows, show_rows
from foldstore.validation.finding import Finding
from foldstore.validation.interchange.pandera_schema import read_made
from foldstore.validation.subject import Subject
from foldstore.views.frames import to_polars

_Mask = NDArray[np.bool_]
_MOST_SHOWN: Final = 20
_LONGEST_REASON: Final = 300
# A panic of polars is no Exception of Python's.
_RAISED: Final = (Exception, pl.exceptions.PanicException)
_REPEATS: Final = (SchemaErrorReason.DUPLICATES, SchemaErrorReason.SERIES_CONTAINS_DUPLICATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What is judged, as every contract looks at it."""

    table: pa.Table
    keys: Sequence[str]
    seals: Sequence[Sequence[str]]

    def hidden(self) -> _Mask:
        """Say which rows a test pool holds: their cells read as null, and they are not shown."""
        masks = [sealed_rows(batch, self.seals) for batch in self.table.to_batches()]
        return np.concatenate([np.zeros(0, np.bool_), *masks])

    def is_sealed(self, column: str | None) -> bool:
        """Say whether a test pool hides cells of a column."""
        return any(column in names for names in self.seals)


def check_contracts(contracts: Sequence[Any], subject: Subject, keys: Sequence[str]) -> Iterator[Finding]:
    """Yield what pandera's schemas find wrong with the rows, and which of their checks could not be run.

    Parameters
    ----------
    contracts : sequence of DataFrameSchema or DataFrameModel
        Of pandera's polars or pyarrow backend.
    subject : Subject
        The rows; they are held in memory at once, for a check may look at any of them. That cells which a test pool
        hides read as null is not held against them.
    keys : sequence of str
        The columns that name a row in examples.

    Examples
    --------
    >>> import polars as pl
    >>> from foldstore.validation.subject import TableSubject
    >>> even = on_polars.Check(lambda data: data.lazyframe.select(pl.col(data.key) % 2 == 0), name="even")
    >>> contract = on_polars.DataFrameSchema({"x": on_polars.Column(int, even)}, name="pairs")
    >>> found = next(check_contracts([contract], TableSubject(pa.table({"x": [2, 3]}), "t"), ()))
    >>> found.column, found.count, found.examples
    ('x', 1, ({'row': 1, 'key': {}, 'value': 3},))
    """
    read = [read_made(each) for each in contracts]
    if not read:
        return
    schema = subject.arrow_schema
    table = pa.Table.from_batches(subject.batches(schema.names), schema)
    rows = _Rows(table=table, keys=keys, seals=subject.seals)
    for number, contract in enumerate(read, 1):
        yield from _run(contract, contract.name or f"contract {number}", rows)


def _run(contract: Any, name: str, rows: _Rows) -> Iterator[Finding]:
    try:
        frame = to_polars(rows.table) if isinstance(contract, on_polars.DataFrameSchema) else rows.table
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            _bounded(contract).validate(frame, lazy=True)
    except SchemaErrors as found:
        for error in found.schema_errors:
            yield from _read_error(error, contract, name, rows)
    except SchemaError as error:
        yield from _read_error(error, contract, name, rows)
    except MemoryError:
        raise
    except _RAISED as error:  # whatever code of users raises is a finding: nothing passes in silence
        yield _broken(name, name, None, f"{type(error).__name__}: {error}")
    yield from _find_repeats(contract, name, rows)


def _bounded(contract: Any) -> Any:
    """Return the contract so that failing rows are counted and not collected, and none is dropped or only warned of."""

    def bound(check: Any) -> Any:
        made = copy.copy(check)
        made.n_failure_cases, made.raise_warning = EXAMPLES, False
        return made

    made = copy.copy(contract)
    made.checks = [bound(check) for check in contract.checks or []]
    made.columns = {}
    made.unique, made.drop_invalid_rows = None, False
    for name, column in contract.columns.items():
        made.columns[name] = copy.copy(column)
        made.columns[name].checks = [bound(check) for check in column.checks or []]
        made.columns[name].drop_invalid_rows = False
    return made


def _find_repeats(contract: Any, name: str, rows: _Rows) -> Iterator[Finding]:
    """Yield what `unique` of a whole contract finds; pandera would make a Python object of each row that repeats."""
    unique = [contract.unique] if isinstance(contract.unique, str) else list(contract.unique or [])
    for columns in [unique] if all(isinstance(each, str) for each in unique) else unique:
        if columns and all(column in rows.table.column_names for column in columns):
            failing = _repeats(rows.table, columns)
            yield from _failing(failing, f"unique {', '.join(columns)}", None, name, rows, columns, Severity.ERROR)


def _read_error(error: SchemaError, contract: Any, name: str, rows: _Rows) -> Iterator[Finding]:
    column = _column_of(error)
    what = _name_of(error)
    severity = _severity_of(error, contract, column)
    if error.reason_code in (SchemaErrorReason.CHECK_ERROR, None):
        yield _broken(what, name, column, str(error.failure_cases or error))
        return
    try:
        failing = _mask(error, column, rows.table)
    except _RAISED as problem:  # an answer of a check that cannot be read is none
        yield _broken(what, name, column, f"its answer cannot be read: {type(problem).__name__}: {problem}")
        return
    if failing is not None and len(failing) == rows.table.num_rows:
        yield from _failing(failing, what, column, name, rows, _shown(contract, column, rows), severity)
    elif not (rows.is_sealed(column) and failing is not None):
        yield _failed(what, column, name, _why(error), severity)


def _failing(
    failing: _Mask,
    what: str,
    column: str | None,
    name: str,
    rows: _Rows,
    shown: Sequence[str],
    severity: Severity,
) -> Iterator[Finding]:
    hidden = rows.hidden()
    # What a check makes of whole rows may come from the cells that are hidden, too.
    places = np.flatnonzero(failing & ~hidden if column is None or rows.is_sealed(column) else failing)
    if not len(places):
        return
    open_places = places[~hidden[places]][:EXAMPLES].tolist()
    examples = show_rows(rows.table, open_places, rows.keys, column if column is not None else shown)
    of = rows.table.num_rows
    how = f"for {len(places):,} of {of:,} rows"
    yield _failed(what, column, name, how, severity, count=len(places), of=of, examples=examples)


def _failed(what: str, column: str | None, name: str, how: str, severity: Severity, **rows: Any) -> Finding:
    return Finding(
        code="user_check_failed",
        column=column,
        facts={"check": what, "contract": name, "how": how},
        severity=severity,
        expected=what,
        evidence={"contract": name, "check": what},
        **rows,
    )


def _broken(what: str, name: str, column: str | None, reason: str) -> Finding:
    short = " ".join(reason.split())[:_LONGEST_REASON]
    facts = {"check": what, "contract": name, "reason": short}
    return Finding(code="user_check_broken", column=column, facts=facts, expected=what, evidence={"contract": name})


def _column_of(error: SchemaError) -> str | None:
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        return str(error.failure_cases)
    found = getattr(error, "column_name", None) or (
        None if hasattr(error.schema, "columns") else getattr(error.schema, "name", None)
    )
    return None if found is None else str(found)


def _name_of(error: SchemaError) -> str:
    check = error.check
    return str(check if isinstance(check, str) else (check.error or check.name or check))


def _why(error: SchemaError) -> str:
    """Say what is wrong beside rows; pandera's own messages quote values."""
    cases = error.failure_cases
    if error.reason_code is SchemaErrorReason.WRONG_DATATYPE:
        return f"of type {cases}"
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        return "which is absent"
    if isinstance(cases, str) and error.reason_code is not SchemaErrorReason.DATAFRAME_CHECK:
        return f"because of {cases}"
    return "for the rows as a whole"


def _severity_of(error: SchemaError, contract: Any, column: str | None) -> Severity:
    """Return WARN for a check that only warns; pandera copies checks, so that their places tell which it is."""
    place = error.check_index
    if place is None or isinstance(error.check, str):
        return Severity.ERROR
    if column is None:
        checks = contract.checks
    else:
        owners = [each for known, each in contract.columns.items() if known == column]
        owners += [each for each in contract.columns.values() if each.regex and re.match(each.selector, column)]
        checks = owners[0].checks if owners else []
    warns = place < len(checks) and checks[place].raise_warning
    return Severity.WARN if warns else Severity.ERROR


def _shown(contract: Any, column: str | None, rows: _Rows) -> list[str]:
    """Return the columns that examples show of a check on whole rows: those that the contract knows."""
    if column is not None:
        return [column]
    known = [name for name in contract.columns if name in rows.table.column_names]
    return (known or rows.table.column_names)[:_MOST_SHOWN]


def _mask(error: SchemaError, column: str | None, table: pa.Table) -> _Mask | None:
    """Return which rows fail, or None where a check judges the rows as a whole."""
    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS and column is not None:
        return _array(pc.is_null(table[column], nan_is_null=True))
    if error.reason_code in _REPEATS and column is not None:
        return _repeats(table, [column])
    passes = error.check_output
    if passes is None:
        return None
    if isinstance(passes, nw.Expr):
        passes = nw.from_native(table, eager_only=True).select(passes.alias(CHECK_OUTPUT_KEY))
    if not isinstance(passes, nw.DataFrame | nw.LazyFrame):
        passes = nw.from_native(passes)
    passes = passes.collect() if isinstance(passes, nw.LazyFrame) else passes
    name = CHECK_OUTPUT_KEY if CHECK_OUTPUT_KEY in passes.columns else passes.columns[0]
    answers = passes.to_arrow()[name]
    ignored = getattr(error.check, "ignore_na", False)
    return ~_array(pc.fill_null(answers, bool(ignored)))


def _repeats(table: pa.Table, columns: Sequence[str]) -> _Mask:
    found: _Mask = to_polars(table.select(list(columns))).is_duplicated().to_numpy()
    return found


def _array(values: pa.ChunkedArray) -> _Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_) if len(values) else np.zeros(0, np.bool_)
