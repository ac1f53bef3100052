"""A submission to a pool: aligned, charged, decided, answered.

Each told step of `evaluate` is durable: ``pool-charged`` (the ledger has the charge), ``pool-kept`` (the sealed area
has the predictions, for the report), ``pool-decided`` (labels were read), ``pool-answered`` (the answer is in the
ledger).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.sealing import add_companion, open_companion
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import RefusedError
from foldstore.validation.pools.account import Account
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.clause_test import Method
from foldstore.validation.pools.decide import decide
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.in_order import look_in_order
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.meter import Meter
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import BASELINE, LABEL, PLACE, rows_with_columns, secret_rows
from foldstore.validation.pools.pool_status import is_expired
from foldstore.validation.pools.predictions import PREDICTION, align_predictions, align_scores, digest_predictions
from foldstore.validation.pools.registered import Values, functions_for

_FRESH_POOL: Final = "Retire it: its rows may serve as validation data then. Seal a fresh pool to go on testing."


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a pool, and nothing else.

    Attributes
    ----------
    passed : bool or None
        None where the reuse policy withholds answers until the pool retires.
    charged : bool
        Whether a step was spent; False for a submission that had its answer already.
    """

    passed: bool | None
    charged: bool


def evaluate(
    storage: Storage,
    pool: PoolRecord,
    predictions: object,
    *,
    model: str = "",
    actor: str = "unknown",
    draw: int | None = None,
) -> Verdict:
    """Ask a pool whether a model fulfils its condition.

    Parameters
    ----------
    predictions : table, mapping or array
        ``prediction`` with ``pool_row`` or the key columns, or an array in the order of `pool_features`.
    model : str
        What the model is, for the ledger; two models that predict the same are one submission.
    draw : int, optional
        The number of a draw: its rows are asked, and the predictions are for them; all rows unless given.

    Returns
    -------
    Verdict
        Pass or fail, and whether it was charged. The same predictions again get the same answer, free of charge.

    Raises
    ------
    UsageError
        With code ``invalid-predictions``, ``invalid-score`` or ``score-not-registered``: nothing was read or charged.
    RefusedError
        With code ``pool-spent``, when no answer is left; ``pool-expired`` and ``pool-retired``, likewise; with
        ``too-few-rows``, uncharged, where too few rows count for a clause on a class or a slice.
    """
    ledger = Ledger(storage, pool.id)
    account = ledger.read()
    secret = secret_rows(storage, pool, account, draw)
    evidence = gather_evidence(storage, pool, account, secret, predictions)
    evidence = replace(evidence, functions=functions_for(pool.plan.condition.registered))
    evidence.require_counted(pool.plan)
    digest = digest_submission(account, secret, evidence.new, evidence.given)
    asked = {"baseline": len(account.promotions)} if account.promotions else {}
    asked |= {} if draw is None else {"draw": draw}
    charge = ledger.charge(
        digest, model=model, actor=actor, price=lambda account: _price(storage, pool, account), asked=asked
    )
    storage.on_step("pool-charged")
    passed = charge.passed
    if passed is None:
        kept = _keep(storage, pool, evidence.new)
        storage.on_step("pool-kept")
        computed = _decide(pool, secret, evidence, charge.log_level)
        storage.on_step("pool-decided")
        passed = ledger.answer(digest, passed=computed, actor=actor, kept=kept)
        storage.on_step("pool-answered")
    withheld = pool.plan.reuse.withholds_answers and account.retirement is None
    return Verdict(None if withheld else passed, charge.fresh)


def gather_evidence(
    storage: Storage, pool: PoolRecord, account: Account, secret: pa.Table, predictions: object
) -> Evidence:
    """Return what sealed rows show beside predictions for them, in the pool's order, without their labels.

    Raises
    ------
    UsageError
        With code ``invalid-predictions`` or ``invalid-score``.
    """
    condition = pool.plan.condition
    rows, table = rows_with_columns(storage, pool, secret, condition.columns)
    return Evidence(
        labels=None,
        new=align_predictions(predictions, rows),
        old=baseline_of(storage, pool, account, secret, len(account.promotions)),
        columns={name: table.column(name).combine_chunks() for name in condition.columns},
        given=align_scores(predictions, rows, [each for each in condition.registered if each.given]),
    )


def digest_submission(
    account: Account, secret: pa.Table, aligned: pa.Array, given: Mapping[str, Values] | None = None
) -> str:
    """Return the name of a question: what is predicted for which rows, with which scores, against which baseline."""
    identity = secret.column("identity").to_numpy()
    digest = digest_predictions(aligned, np.argsort(identity, kind="stable"), identity, given)
    if not account.promotions:
        return digest
    return content_hash(canonical_json([digest, account.promotions[-1].digest]).encode())


def baseline_of(storage: Storage, pool: PoolRecord, account: Account, secret: pa.Table, number: int) -> pa.Array | None:
    """Return the predictions of a baseline for sealed rows: of the sealed one (0), or of the n-th promoted."""
    if not pool.has_baseline:
        return None
    if number == 0:
        return secret.column(BASELINE).combine_chunks()
    kept = open_companion(storage, pool.id, account.promotions[number - 1].kept)
    return kept.column(PREDICTION).combine_chunks().take(secret.column(PLACE).combine_chunks())


def _keep(storage: Storage, pool: PoolRecord, aligned: pa.Array) -> str:
    name = f"asked_{new_id()}"
    add_companion(storage, pool.id, name, pa.table({PREDICTION: aligned}))
    return name


def require_answers(storage: Storage, pool: PoolRecord, account: Account) -> Budget:
    """Return what is left of a pool; refuse a question that cannot be answered, before a label is read.

    Raises
    ------
    RefusedError
        With code ``pool-retired``, ``pool-expired`` or ``pool-spent``.
    """
    if account.retirement is not None:
        raise RefusedError(
            f"The pool {pool.name!r} was retired on {account.retirement.retired_at[:10]}: its labels may be read.",
            hint="Ask the pool that followed it, or seal a fresh one.",
            code="pool-retired",
            pool=pool.name,
        )
    if is_expired(storage, pool, account):
        raise RefusedError(
            f"The pool {pool.name!r} expired on {str(pool.expires_at)[:10]}.",
            hint=_FRESH_POOL,
            code="pool-expired",
            pool=pool.name,
        )
    budget = Budget.replay(pool.plan, account.answers)
    if not budget.affordable():
        raise RefusedError(
            f"The pool {pool.name!r} is spent: {budget.what_is_spent}.",
            hint=_FRESH_POOL,
            code="pool-spent",
            pool=pool.name,
            **budget.to_dict(),
        )
    return budget


def _price(storage: Storage, pool: PoolRecord, account: Account) -> float:
    """Return ln of the level of the next answer; refuse one that cannot be afforded."""
    budget = require_answers(storage, pool, account)
    # An answer that is still to come may be the last pass that the plan paid for.
    if budget.passes_left is not None and account.pending >= budget.passes_left:
        raise RefusedError(
            f"{account.pending} charged submission(s) to the pool {pool.name!r} have no answer yet.",
            hint="Submit the same predictions again: their answer is free.",
            code="pool-pending",
            pool=pool.name,
            pending=account.pending,
        )
    return budget.log_level


def _decide(pool: PoolRecord, secret: pa.Table, evidence: Evidence, log_level: float | None) -> bool:
    try:
        labelled = replace(evidence, labels=secret.column(LABEL).combine_chunks())
        if isinstance(pool.plan, Meter):
            return pool.plan.holds(labelled)
        if pool.plan.method is Method.BETTING:
            return look_in_order(pool.plan, labelled, log_level=log_level).passed
        return decide(pool.plan, labelled, log_level=log_level)
    except Exception:  # noqa: BLE001  # an error that depends on labels would be an answer of its own
        return False
