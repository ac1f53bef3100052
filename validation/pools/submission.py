"""A submission to a pool: aligned, charged, decided, answered.

Each told step of `evaluate` is durable: ``pool-charged`` (the ledger has the charge), ``pool-decided`` (labels were
read), ``pool-answered`` (the ledger has the answer).
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from foldstore.datastore.sealing import open_companion
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.decide import decide
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.ledger import Account, Ledger
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import BASELINE, LABEL, POOL, expected_rows, rows_in_order
from foldstore.validation.pools.predictions import align_predictions, digest_predictions
from foldstore.validation.pools.sealed_subject import open_version


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
    storage: Storage, pool: PoolRecord, predictions: object, *, model: str = "", actor: str = "unknown"
) -> Verdict:
    """Ask a pool whether a model fulfils its condition.

    Parameters
    ----------
    predictions : table, mapping or array
        ``prediction`` with ``pool_row`` or the key columns, or an array in the order of `pool_features`.
    model : str
        What the model is, for the ledger; two models that predict the same are one submission.

    Returns
    -------
    Verdict
        Pass or fail, and whether it was charged. The same predictions again get the same answer, free of charge.

    Raises
    ------
    UsageError
        With code ``invalid-predictions``: nothing was read or charged.
    RefusedError
        With code ``pool-spent``, when no answer is left; with ``too-few-rows``, uncharged, where too few rows count
        for a clause on a class or a slice.
    """
    secret = open_companion(storage, pool.id, POOL)
    aligned = align_predictions(predictions, expected_rows(storage, pool, secret))
    evidence = _gather(storage, pool, secret, aligned)
    identity = secret.column("identity").to_numpy()
    digest = digest_predictions(aligned, np.argsort(identity, kind="stable"), identity)
    ledger = Ledger(storage, pool.id)
    charge = ledger.charge(digest, model=model, actor=actor, price=lambda account: _price(pool, account))
    storage.on_step("pool-charged")
    passed = charge.passed
    if passed is None:
        computed = _decide(pool, secret, evidence, charge.log_level)
        storage.on_step("pool-decided")
        passed = ledger.answer(digest, passed=computed, actor=actor)
        storage.on_step("pool-answered")
    return Verdict(None if pool.plan.reuse.withholds_answers else passed, charge.fresh)


def _price(pool: PoolRecord, account: Account) -> float:
    """Return ln of the level of the next answer; refuse one that cannot be afforded, before a label is read."""
    budget = Budget.replay(pool.plan, account.answers)
    if not budget.affordable():
        raise RefusedError(
            f"The pool {pool.name!r} is spent: {budget.what_is_spent}.",
            hint="Its rows may serve as validation data now; seal a fresh pool to go on testing.",
            code="pool-spent",
            pool=pool.name,
            **budget.to_dict(),
        )
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


def _gather(storage: Storage, pool: PoolRecord, secret: pa.Table, new: pa.Array) -> Evidence:
    """Return what the rows show without their labels; refuse, free of charge, where too few of them count."""
    old = secret.column(BASELINE).combine_chunks() if pool.has_baseline else None
    names = pool.plan.condition.columns
    reader = open_version(storage, pool.dataset, pool.version)
    table = rows_in_order(reader, secret, names) if names else pa.table({})
    columns = {name: table.column(name).combine_chunks() for name in names}
    evidence = Evidence(labels=None, new=new, old=old, columns=columns)
    evidence.require_counted(pool.plan)
    return evidence


def _decide(pool: PoolRecord, secret: pa.Table, evidence: Evidence, log_level: float | None) -> bool:
    try:
        labelled = replace(evidence, labels=secret.column(LABEL).combine_chunks())
        return decide(pool.plan, labelled, log_level=log_level)
    except Exception:  # noqa: BLE001  # an error that depends on labels would be an answer of its own
        return False
