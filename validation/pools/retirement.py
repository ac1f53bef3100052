"""The end of a pool: retired for good, with a report of all answers, charges and figures that were withheld."""

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from foldstore.datastore.seal_area import find_store_key
from foldstore.datastore.sealing import open_companion
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.account import Account, Charge
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.commitment import is_kept
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.metrics import MOST_CLASSES, Metric, count_metrics, list_classes, measure
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import BASELINE, LABEL, secret_rows
from foldstore.validation.pools.pool_status import PoolState, pool_state
from foldstore.validation.pools.predictions import PREDICTION
from foldstore.validation.pools.submission import baseline_of

_DEFAULT_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """What the pool was asked of one model, what it answered, and what the model's figures are.

    Attributes
    ----------
    number : int or None
        Which question it was, from 1; None for the baseline that was sealed.
    passed : bool or None
        None when the charge never got its answer.
    level : float or None
        The probability of error that the answer was charged.
    metrics : tuple of Metric
        Empty when a crash kept the predictions from being kept.
    """

    number: int | None
    model: str
    actor: str
    asked_at: str
    passed: bool | None
    level: float | None
    rows: int
    baseline: int
    draw: int | None
    metrics: tuple[Metric, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("number", "model", "actor", "asked_at", "passed", "level", "rows", "baseline", "draw")
        return {**{name: getattr(self, name) for name in names}, "metrics": [each.to_dict() for each in self.metrics]}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementReport:
    """Everything that a retired pool withheld.

    Attributes
    ----------
    confidence : float
        The probability that every interval of the report holds, whatever was asked and answered before.
    level : float
        The probability of error of each interval.
    models : tuple of ModelReport
        The sealed baseline first, if there is one, then the questions in the order of their charges.
    promotions : tuple of str
        The models that became the baseline, in order.
    classes : dict
        How many rows have each label; at most 20 of them.
    labels_kept : bool or None
        Whether the labels are those that were committed to at sealing; None without a commitment, or its key.
    """

    pool: str
    dataset: str
    version: int
    label: str
    state: PoolState
    rows: int
    condition: str
    reliability: float
    reuse: str
    retired_at: str
    retired_by: str
    reason: str
    confidence: float
    level: float
    steps_used: int
    passes: int
    models: tuple[ModelReport, ...]
    promotions: tuple[str, ...]
    classes: dict[str, int]
    labels_kept: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("models", "state", "promotions")}
        lists = {"promotions": list(self.promotions), "models": [each.to_dict() for each in self.models]}
        return {**plain, "state": str(self.state), **lists}

    def explain(self) -> str:
        """Say it in lines of text."""
        lines = [
            f"{self.pool}: {self.rows:,} rows of {self.dataset}@{self.version}, label {self.label}",
            f"  asked {self.condition} with reliability {self.reliability:g}, reuse {self.reuse}",
            f"  {self.steps_used:,} answers, {self.passes:,} of them passes; retired {self.retired_at[:19]}Z "
            f"by {self.retired_by}{': ' + self.reason if self.reason else ''}",
            f"  all intervals hold together with {self.confidence:.0%}, whatever was asked; each at {self.level:.3g}",
        ]
        if self.labels_kept is False:
            lines.append("  THE LABELS ARE NOT THOSE THAT WERE SEALED")
        for each in self.models:
            said = {None: "no answer", True: "passed", False: "failed"}[each.passed]
            what = "sealed baseline" if each.number is None else f"question {each.number}, {said}"
            what += "" if each.draw is None else f" on the {each.rows:,} rows of draw {each.draw}"
            lines += [f"  {each.model or 'no name'} ({what})", *(f"    {metric}" for metric in each.metrics)]
        return "\n".join(lines)


def retire_pool(
    storage: Storage,
    pool: PoolRecord,
    *,
    actor: str,
    reason: str = "",
    successor: str | None = None,
    confidence: float = _DEFAULT_CONFIDENCE,
) -> RetirementReport:
    """End a pool's answers for good and open what was withheld; a pool that is retired stays as it was retired.

    Parameters
    ----------
    reason : str
        Why, for the ledger.
    successor : str, optional
        The id of the pool that follows.
    confidence : float
        The probability that all intervals of the report hold.

    Raises
    ------
    UsageError
        When the confidence does not lie between 0 and 1.
    """
    if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 < confidence < 1:
        raise UsageError(
            f"A confidence lies between 0 and 1, both excluded, not {ascii(confidence)[:40]}.",
            hint="0.95 lets one report in twenty have an interval that misses.",
            code="invalid-confidence",
        )
    body = {"kind": "retire", "reason": reason, "successor": successor, "confidence": float(confidence)}
    Ledger(storage, pool.id).note(lambda account: None if account.retirement else body, actor)
    return report_pool(storage, pool)


def report_pool(storage: Storage, pool: PoolRecord) -> RetirementReport:
    """Return the report of a retired pool: the same one, whenever it is asked for.

    Notes
    -----
    The intervals are about models that were chosen in the light of earlier answers, so that each history of answers
    has a share of the error (`Budget.report_weight`), and the intervals of a report share that out alike. By the
    union bound the probability that any interval of any report that could have come misses is at most
    1 - confidence.

    Raises
    ------
    RefusedError
        With code ``pool-in-use``, while the pool is not retired.
    """
    account = Ledger(storage, pool.id).read()
    if account.retirement is None:
        raise RefusedError(
            f"The pool {pool.name!r} is not retired: its figures are withheld.",
            hint="A steward retires it with retire(); that ends its answers.",
            code="pool-in-use",
            pool=pool.name,
        )
    return _write_report(storage, pool, account)


def _write_report(storage: Storage, pool: PoolRecord, account: Account) -> RetirementReport:
    retired = account.retirement
    assert retired is not None  # noqa: S101  # for the type checker
    secret = secret_rows(storage, pool, account)
    labels = secret.column(LABEL).combine_chunks()
    classes = list_classes(labels)
    budget = Budget.replay(pool.plan, account.answers)
    measured = len(account.charges) + pool.has_baseline
    intervals = max(1, measured * count_metrics(classes, compared=pool.has_baseline))
    level = (1 - retired.confidence) * float(budget.report_weight) / intervals
    models = [_report_baseline(storage, pool, account, classes, level)] if pool.has_baseline else []
    models += [
        _report_charge(storage, pool, account, number, classes, level) for number in range(1, len(account.charges) + 1)
    ]
    counts = {str(each["values"]): each["counts"] for each in labels.value_counts().to_pylist()}
    return RetirementReport(
        pool=pool.name,
        dataset=pool.dataset.name,
        version=pool.version.number,
        label=pool.label,
        state=pool_state(storage, pool, account),
        rows=pool.num_rows,
        condition=str(pool.plan.condition),
        reliability=float(pool.plan.reliability),
        reuse=str(pool.plan.reuse),
        retired_at=retired.retired_at,
        retired_by=retired.actor,
        reason=retired.reason,
        confidence=retired.confidence,
        level=level,
        steps_used=budget.answered,
        passes=budget.passes,
        models=tuple(models),
        promotions=tuple(each.model for each in account.promotions),
        classes=dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MOST_CLASSES]),
        labels_kept=_are_kept(storage, pool, account, secret),
    )


def _are_kept(storage: Storage, pool: PoolRecord, account: Account, secret: pa.Table) -> bool | None:
    key = find_store_key(storage)
    if account.commitment is None or key is None:
        return None
    return is_kept(account.commitment, key, pool.id, secret.column("identity"), secret.column(LABEL))


def _report_baseline(
    storage: Storage, pool: PoolRecord, account: Account, classes: list[Any], level: float
) -> ModelReport:
    secret = secret_rows(storage, pool, account)
    labels, said = (secret.column(name).combine_chunks() for name in (LABEL, BASELINE))
    return ModelReport(
        number=None,
        model="baseline",
        actor="",
        asked_at=pool.created_at,
        passed=None,
        level=None,
        rows=len(labels),
        baseline=0,
        draw=None,
        metrics=tuple(measure(labels, said, None, classes=classes, level=level)),
    )


def _report_charge(
    storage: Storage, pool: PoolRecord, account: Account, number: int, classes: list[Any], level: float
) -> ModelReport:
    charge = account.charges[number - 1]
    secret = secret_rows(storage, pool, account, charge.draw)
    metrics = _measure_charge(storage, pool, account, charge, secret, classes, level)
    return ModelReport(
        number=number,
        model=charge.model,
        actor=charge.actor,
        asked_at=charge.charged_at,
        passed=charge.passed,
        level=None if charge.log_level is None else math.exp(charge.log_level),
        rows=secret.num_rows,
        baseline=charge.baseline,
        draw=charge.draw,
        metrics=tuple(metrics),
    )


def _measure_charge(
    storage: Storage,
    pool: PoolRecord,
    account: Account,
    charge: Charge,
    secret: pa.Table,
    classes: list[Any],
    level: float,
) -> list[Metric]:
    if charge.kept is None:
        return []
    said = open_companion(storage, pool.id, charge.kept).column(PREDICTION).combine_chunks()
    old = baseline_of(storage, pool, account, secret, charge.baseline)
    return measure(secret.column(LABEL).combine_chunks(), said, old, classes=classes, level=level)
