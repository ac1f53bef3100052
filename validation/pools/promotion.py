"""A candidate that passed becomes the baseline that later ones are compared with."""

from dataclasses import replace

import pyarrow as pa

from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.validation.pools.account import Account, Charge
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import expected_rows, secret_rows
from foldstore.validation.pools.predictions import align_predictions, align_scores
from foldstore.validation.pools.submission import digest_submission


def promote(storage: Storage, pool: PoolRecord, candidate: object, *, actor: str) -> str:
    """Let a model that passed be the baseline ``o`` of every later question; which one it is, is public.

    Answers that were given stay what they are. The same predictions asked again are a new question, for they are
    compared with another model. Nothing is charged: whether a model passed was answered already, so that the choice
    adds nothing to what the answers told.

    Parameters
    ----------
    candidate : str or predictions
        What the model was called when it was asked (the last one of that name that passed), or its predictions.

    Returns
    -------
    str
        The model's name.

    Raises
    ------
    UsageError
        With code ``baseline-needless``: the condition compares with no old model.
    RefusedError
        With code ``not-passed``, and ``pool-in-use`` where answers are withheld.
    NotFoundError
        When nothing of the kind was asked.
    """
    if not pool.has_baseline:
        raise UsageError(
            f"The condition {pool.plan.condition} compares with no old model: there is no baseline to replace.",
            hint="A condition with o or d has one.",
            code="baseline-needless",
        )
    if pool.plan.reuse.withholds_answers:
        raise RefusedError(
            f"The pool {pool.name!r} withholds its answers: which candidates passed is not known.",
            hint="They are in the report, once it is retired.",
            code="pool-in-use",
            pool=pool.name,
        )
    ledger = Ledger(storage, pool.id)
    account = ledger.read()
    charge = _find_by_name(pool, account, candidate) if isinstance(candidate, str) else _find(storage, pool, candidate)
    _require_passed(pool, charge)
    entry = {"kind": "promote", "digest": charge.digest, "model": charge.model, "kept": charge.kept}
    ledger.note(lambda account: None if _is_baseline(account, charge) else entry, actor)
    return charge.model


def _find_by_name(pool: PoolRecord, account: Account, name: str) -> Charge:
    named = [charge for charge in account.charges if charge.model == name]
    if not named:
        known = list(dict.fromkeys(charge.model for charge in account.charges if charge.model))
        raise NotFoundError(
            f"The pool {pool.name!r} was asked of no model {name!a}.",
            hint=did_you_mean(name, known) or "Say model= when you ask, or give the predictions.",
            name=name,
        )
    usable = [charge for charge in named if charge.passed and charge.draw is None]
    return usable[-1] if usable else named[-1]


def _find(storage: Storage, pool: PoolRecord, predictions: object) -> Charge:
    account = Ledger(storage, pool.id).read()
    secret = secret_rows(storage, pool, account)
    rows = expected_rows(storage, pool, secret)
    aligned: pa.Array = align_predictions(predictions, rows)
    given = align_scores(predictions, rows, [each for each in pool.plan.condition.registered if each.given])
    for number in reversed(range(len(account.promotions) + 1)):  # against the baseline of today first
        then = replace(account, promotions=account.promotions[:number])
        charge = account.find(digest_submission(then, secret, aligned, given))
        if charge is not None:
            return charge
    raise NotFoundError(
        f"The pool {pool.name!r} was not asked of these predictions.",
        hint="Ask first: pool.evaluate(predictions).",
        pool=pool.name,
    )


def _require_passed(pool: PoolRecord, charge: Charge) -> None:
    if charge.draw is not None:
        raise RefusedError(
            f"{charge.model!a} was asked on the rows of draw {charge.draw} alone; a baseline speaks for all rows.",
            hint="Ask of all rows: pool.evaluate(predictions).",
            code="not-passed",
            pool=pool.name,
        )
    if not charge.passed or charge.kept is None:
        said = "failed" if charge.passed is False else "has no answer"
        raise RefusedError(
            f"{charge.model!a} {said}; a baseline is a model that passed the pool {pool.name!r}.",
            hint="Promote one that passed.",
            code="not-passed",
            pool=pool.name,
        )


def _is_baseline(account: Account, charge: Charge) -> bool:
    return bool(account.promotions) and account.promotions[-1].digest == charge.digest
