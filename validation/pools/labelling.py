"""Which rows need a label at all, and labels asked for one batch after the other until nothing more is needed.

Labels cost money. Of two models that are compared, only rows where they differ can tell them apart; how often they
differ needs no label; precision asks about the rows that are called so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, SchemaMismatchError, UsageError
from foldstore.validation.pools.clause_test import ClauseTest
from foldstore.validation.pools.condition import Condition, parse_condition
from foldstore.validation.pools.estimators.sequential import Sequential
from foldstore.validation.pools.evidence import Evidence, check_subject
from foldstore.validation.pools.in_order import Look, look_in_order, place_after
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import expected_rows, secret_rows
from foldstore.validation.pools.predictions import POOL_ROW, ExpectedRows, align_predictions, read_column
from foldstore.validation.pools.registered import functions_for, read_values
from foldstore.validation.pools.submission import gather_evidence

_SMALLEST_BATCH: Final = 32
# Later batches are a share of what was labelled before: few calls, and few labels too many.
_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToLabel:
    """The rows whose labels can change an answer.

    Attributes
    ----------
    rows : array of int64
        Their places among the predictions, ascending.
    total : int
        How many predictions there are.
    clauses : tuple of (str, int)
        How many of the rows each clause needs.
    """

    rows: NDArray[np.int64]
    total: int
    clauses: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        lines = [f"{len(self.rows):,} of {self.total:,} rows need a label"]
        return "\n".join([*lines, *(f"  {clause}: {rows:,}" for clause, rows in self.clauses)])

    @property
    def labels(self) -> int:
        """How many there are."""
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        clauses = [{"clause": clause, "labels": rows} for clause, rows in self.clauses]
        return {"labels": self.labels, "total": self.total, "clauses": clauses, "rows": self.rows.tolist()}


def rows_to_label(
    condition: str | Condition | PoolPlan,
    predictions: object,
    *,
    baseline: object = None,
    columns: Mapping[str, Any] | pa.Table | None = None,
) -> RowsToLabel:
    """Say which rows need a label for a condition to be decided; no label is read.

    Parameters
    ----------
    condition : str, Condition or PoolPlan
    predictions : table, mapping or array
        The new model's: an array, or a table with ``prediction``.
    baseline : table, mapping or array, optional
        The old model's, in the same order.
    columns : table or mapping, optional
        The columns that slices name, in the same order.

    Examples
    --------
    >>> import foldstore
    >>> found = foldstore.rows_to_label("n - o > 0 +/- 0.01", [True, True, False], baseline=[True, False, False])
    >>> found.labels, found.rows.tolist()
    (1, [1])
    """
    asked = _condition_of(condition)
    return find_rows(asked, _gather(asked, predictions, baseline, columns))


def find_rows(condition: Condition, evidence: Evidence) -> RowsToLabel:
    """Return the rows of which a label can change what any clause adds up to."""
    flags = [evidence.label_matters(each.score) for each in condition.clauses]
    rows = np.flatnonzero(np.logical_or.reduce(flags))
    counts = tuple((str(c), int(np.count_nonzero(f))) for c, f in zip(condition.clauses, flags, strict=True))
    return RowsToLabel(rows=rows, total=evidence.rows, clauses=counts)


def pool_rows_to_label(storage: Storage, pool: PoolRecord, predictions: object, draw: int | None = None) -> pa.Table:
    """Return the ids of a pool's rows whose labels an answer for these predictions rests on.

    Nothing is charged and no label is read: ``pool_row``, and the key where there is one. For `n - o` that shows where
    the predictions differ from those of the baseline.
    """
    account = Ledger(storage, pool.id).read()
    secret = secret_rows(storage, pool, account, draw)
    found = find_rows(pool.plan.condition, gather_evidence(storage, pool, account, secret, predictions))
    rows = expected_rows(storage, pool, secret)
    keys = {name: rows.keys.column(name) for name in rows.keys.column_names}
    return pa.table({POOL_ROW: rows.pool_rows, **keys}).take(pa.array(found.rows))


def label_in_order(
    plan: PoolPlan,
    predictions: object,
    ask: Callable[[NDArray[np.int64]], Any],
    *,
    baseline: object = None,
    columns: Mapping[str, Any] | pa.Table | None = None,
    seed: int = 0,
) -> Look:
    """Decide a condition once, asking for labels in a random order, until it is clear.

    For rows that are in no pool: whoever asks sees the labels. Only rows whose labels matter are asked for.

    Parameters
    ----------
    plan : PoolPlan
        By ``method="betting"``, which may stop at any time; one by another method asks for all labels that matter.
    predictions, baseline, columns
        As in `rows_to_label`.
    ask : callable
        Takes the places of rows among the predictions and returns their labels.
    seed : int
        Of the order.

    Returns
    -------
    Look
        Whether it passed, how many rows were looked at, and how many labels were asked for.

    Raises
    ------
    RefusedError
        ``pool-too-small`` or ``too-few-rows``, before a label is asked for.
    UsageError
        ``invalid-label`` for labels that do not fit the predictions.

    Examples
    --------
    >>> import foldstore
    >>> plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=1, method="betting")
    >>> truth = np.ones(plan.rows, bool)
    >>> foldstore.label_in_order(plan, truth, lambda rows: truth[rows])
    Look(passed=True, rows=16, labels=32)
    """
    sent = _gather(plan.condition, predictions, baseline, columns)
    if sent.rows < plan.rows:
        raise RefusedError(
            f"The plan needs {plan.rows:,} rows; there are {sent.rows:,}.",
            hint="Bring more rows, or plan a wider tolerance.",
            code="pool-too-small",
            rows=sent.rows,
            needed=plan.rows,
        )
    sent.require_counted(plan)
    order = np.random.default_rng(seed).permutation(sent.rows)
    blind = replace(_reorder(sent, order), functions=functions_for(plan.condition.registered))
    return _Asking(plan, blind, order, ask).run()


class _Asking:
    """Labels that are known so far, and how far they reach."""

    def __init__(
        self, plan: PoolPlan, blind: Evidence, order: NDArray[np.int64], ask: Callable[[NDArray[np.int64]], Any]
    ) -> None:
        self._plan = plan
        self._blind = blind
        self._order = order
        self._ask = ask
        # Where no label matters any will do: the prediction itself.
        self._labels = blind.new
        self._places = find_rows(plan.condition, blind).rows
        self._asked = 0

    def run(self) -> Look:
        free = self._fails_without_labels()
        if free is not None:
            return free
        sequential = all(isinstance(test.rule, Sequential) for test in self._plan.tests)
        while self._asked < len(self._places):
            batch = max(_SMALLEST_BATCH, int(self._asked * _SHARE)) if sequential else len(self._places)
            self._learn(self._places[self._asked : self._asked + batch])
            known = self._places[self._asked] if self._asked < len(self._places) else self._blind.rows
            found = self._early(int(known))
            if found is not None:
                return found
        looked = look_in_order(self._plan, replace(self._blind, labels=self._labels))
        return Look(looked.passed, looked.rows, self._asked)

    def _fails_without_labels(self) -> Look | None:
        """Decide the clauses that need no label first: if one of them fails, nothing has to be asked."""
        for test in self._plan.tests:
            score = test.clause.score
            if not score.needs_labels:
                passed, seen = test.look(self._blind.values(score, self._blind.counted(score)), self._blind.rows)
                if not passed:
                    return Look(passed=False, rows=seen, labels=0)
        return None

    def _learn(self, places: NDArray[np.int64]) -> None:
        given = self._ask(self._order[places])
        labels = _read_labels(given, self._labels.type, len(places))
        flags = np.zeros(len(self._labels), np.bool_)
        flags[places] = True
        self._labels = pc.replace_with_mask(self._labels, pa.array(flags), labels)
        self._asked += len(places)

    def _early(self, known: int) -> Look | None:
        """Return what is clear from the first rows, whose labels are all known; None when they leave it open."""
        seen = replace(_reorder(self._blind, np.arange(known)), labels=self._labels.slice(0, known))
        tests = [test for test in self._plan.tests if test.clause.score.needs_labels]
        stops = [self._stop(test, seen) for test in tests]
        failed = [stop[1] for stop in stops if stop is not None and not stop[0]]
        if failed:
            return Look(passed=False, rows=min(failed), labels=self._asked)
        passed = [stop[1] for stop in stops if stop is not None]
        if len(passed) < len(tests):
            return None
        return Look(passed=True, rows=max(passed), labels=self._asked)

    def _stop(self, test: ClauseTest, seen: Evidence) -> tuple[bool, int] | None:
        score = test.clause.score
        counted = seen.counted(score)
        found = test.stop(seen.values(score, counted), self._blind.rows)
        return None if found is None else (found[0], place_after(counted, found[1]))


def _condition_of(condition: str | Condition | PoolPlan) -> Condition:
    if isinstance(condition, PoolPlan):
        return condition.condition
    return condition if isinstance(condition, Condition) else parse_condition(condition)


def _gather(condition: Condition, predictions: object, baseline: object, columns: Mapping[str, Any] | None) -> Evidence:
    """Return predictions of one length and type, with the columns that slices name."""
    new = read_column(predictions)
    if new.null_count:
        raise UsageError(
            f"{new.null_count:,} predictions are null.",
            hint="Predict a class for each row.",
            code="invalid-predictions",
        )
    if baseline is None and condition.needs_old:
        raise UsageError(
            f"The condition {condition} compares with an old model, and there are no predictions of one.",
            hint="Give baseline=, the old model's predictions for these rows.",
            code="baseline-missing",
        )
    rows = ExpectedRows(label_type=new.type, keys=pa.table({}), num_rows=len(new))
    old = None if baseline is None else align_predictions(read_column(baseline), rows, what="baseline predictions")
    found = {} if columns is None else _read_columns(condition, columns, len(new))
    check_subject(condition, new.type, {name: column.type for name, column in found.items()})
    scores = [each for each in condition.registered if each.given]
    given = {each.name: read_values(read_column(predictions, each.name), each, len(new)) for each in scores}
    return Evidence(labels=None, new=new, old=old, columns=found, given=given)


def _read_columns(condition: Condition, columns: Any, length: int) -> dict[str, pa.Array]:
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    if table.num_rows != length:
        raise UsageError(
            f"There are {table.num_rows:,} rows of columns for {length:,} predictions.",
            hint="Give them in the order of the predictions.",
            code="invalid-predictions",
        )
    return {name: table.column(name).combine_chunks() for name in condition.columns if name in table.column_names}


def _reorder(evidence: Evidence, order: NDArray[np.int64]) -> Evidence:
    places = pa.array(order)
    return replace(
        evidence,
        new=evidence.new.take(places),
        old=None if evidence.old is None else evidence.old.take(places),
        columns={name: column.take(places) for name, column in evidence.columns.items()},
        given={name: values[order] for name, values in evidence.given.items()},
    )


def _read_labels(given: Any, label_type: pa.DataType, length: int) -> pa.Array:
    try:
        labels = given if isinstance(given, pa.Array) else pa.array(given)
        labels = cast_exactly(labels, label_type, name="label")
    except (pa.ArrowException, SchemaMismatchError, TypeError, ValueError) as error:
        raise _invalid(f"The labels are not {label_type}, as the predictions are.") from error
    if len(labels) != length or labels.null_count:
        raise _invalid(f"{length:,} labels were asked for; {len(labels) - labels.null_count:,} came.")
    return labels


def _invalid(message: str) -> UsageError:
    return UsageError(message, hint="Return a label for each row, in the order asked.", code="invalid-label")
