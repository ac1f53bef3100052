"""Test pools: rows whose labels are sealed, asked through conditions, answered with pass or fail alone.

Plain records and functions. Each told step of `evaluate` is durable: ``pool-charged`` (the ledger has the
charge), ``pool-decided`` (labels were read), ``pool-answered`` (the ledger has the answer).
"""

import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.commit import load_head
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_survey import Mask, Rows, Survey, read_masks, row_ids
from foldstore.datastore.sealing import ROW_ID, SealOptions, open_companion, seal_cells
from foldstore.datastore.statistics.hashing import hash_column
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UsageError,
    column_not_found,
    did_you_mean,
)
from foldstore.names import check_name
from foldstore.types import format_time
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.decide import Counts, decide
from foldstore.validation.pools.ledger import Account, Ledger
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.predictions import (
    POOL_ROW,
    ExpectedRows,
    align_predictions,
    digest_predictions,
)
from foldstore.validation.pools.sealed_subject import (
    RowDigests,
    ancestors_of,
    descendants_of,
    digest_rows,
    list_row_ids,
    measure_row_order,
    open_version,
    read_derivations,
    read_rows,
    redact_report,
    redact_schema,
)
from foldstore.validation.pools.support import require_rows

KIND: Final = "pool"
_POOL: Final = "pool"
_LABEL: Final = "label"
_BASELINE: Final = "baseline"
# Row ids stay exact in JSON, where numbers are doubles.
_ID_BITS: Final = 52


class RowOrderWarning(UserWarning):
    """The order of a dataset's rows tells labels that are being sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRecord:
    """A sealed test pool.

    Attributes
    ----------
    id : str
        The id of the seal and of the ledger; a name may change, this never does.
    hidden : tuple of str
        All columns that are sealed: the label, those named with it, those it is computed from, and those
        that are computed from any of these.
    num_rows : int
        How many rows the pool has.
    has_baseline : bool
        Whether predictions to compare with were sealed, too.
    """

    id: str
    name: str
    dataset: DatasetRecord
    version: VersionRecord
    label: str
    hidden: tuple[str, ...]
    num_rows: int
    plan: PoolPlan
    has_baseline: bool
    outcomes_feed_features: bool
    created_at: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """What may be known of a pool: a function of the answers that were given.

    Attributes
    ----------
    steps_left : int
        How many answers may still be given if none is a pass.
    passes_left : int or None
        How many passes may still be given; None when they do not count, or answers are withheld.
    pending : int
        Charges without an answer; the same predictions again get it free of charge.
    """

    name: str
    num_rows: int
    plan: PoolPlan
    steps_used: int
    steps_left: int
    passes_left: int | None
    pending: int

    @property
    def spent(self) -> bool:
        """Whether the pool can answer no more."""
        return self.steps_left == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("name", "num_rows", "steps_used", "steps_left", "passes_left", "pending", "spent")
        return {**{name: getattr(self, name) for name in names}, "plan": self.plan.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """What a pool is to be.

    Attributes
    ----------
    label : str
        The column that is predicted.
    hide : sequence of str
        Columns that give the label away. What the label is computed from is added, but for the key and the event
        time, and so is what is computed from any sealed column.
    baseline : predictions, optional
        The model to compare with: a table with the key columns and ``prediction``, or an array in the version's order.
    outcomes_feed_features : bool
        Kept with the pool: whether feature joins may read sealed outcomes of the past.
    accept_shared : bool
        Whether other datasets may keep the same files, labels included.
    """

    name: str
    label: str
    plan: PoolPlan
    hide: Sequence[str] = ()
    baseline: object = None
    outcomes_feed_features: bool = False
    accept_shared: bool = False


def seal_pool(
    storage: Storage,
    dataset: DatasetRecord,
    rows: Rows,
    request: PoolRequest,
    *,
    version: VersionRecord | None = None,
    actor: str = "unknown",
    examine: Callable[[set[str], Mapping[int, Mask]], None] | None = None,
) -> PoolRecord:
    """Seal rows of a dataset as a test pool.

    Parameters
    ----------
    rows : mapping of int to array of bool, or array of int
        Masks by fragment id, or row ids, of the version.
    version : VersionRecord, optional
        The newest published version unless given.
    examine : callable
        Told what will be hidden, columns and rows by fragment, when nobody else can seal; its error ends it.

    Raises
    ------
    RefusedError
        ``pool-too-small`` for the plan, ``pool-overlap`` with rows of another pool, ``sealed-elsewhere``.
    UsageError
        For labels that are null or no classes, and a baseline that does not fit.

    Warns
    -----
    RowOrderWarning
        When the order of rows tells the label; the message has the measured figure.
    """
    name = check_name(request.name, "pool")
    _refuse_taken(storage, name)
    version = version or _newest(storage, dataset)
    reader = open_version(storage, dataset, version)
    masks = read_masks(rows, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    hidden = _hidden_columns(storage, dataset, reader, request.label, request.hide)
    subject = _Subject.read(dataset, reader, masks, request.label, hidden)
    require_rows(request.plan, len(subject.labels))
    baseline = _align_baseline(request.plan, request.baseline, subject)
    _refuse_overlap(storage, dataset, subject.digests)
    _warn_about_order(dataset, reader, masks, subject.labels)
    body: dict[str, Any] = {
        "id": new_id(),
        "dataset_id": dataset.id,
        "version_id": version.id,
        "label": request.label,
        "hidden": sorted(hidden),
        "rows": len(subject.labels),
        "plan": request.plan.to_dict(),
        "has_baseline": baseline is not None,
        "outcomes_feed_features": request.outcomes_feed_features,
    }

    def prepare(survey: Survey) -> None:
        """Look again, now that nobody else can seal, and register: of two pools over the same rows one comes first."""
        _refuse_taken(storage, name)
        # Without a key, the copies that the survey found tell that another pool has these rows.
        copies = None if dataset.key else hash_column(pa.array(row_ids(survey.masks)))
        digests = subject.digests if copies is None else replace(subject.digests, identity=copies)
        _refuse_overlap(storage, dataset, digests)
        if _hidden_columns(storage, dataset, reader, request.label, request.hide) != hidden:
            raise ConflictError(f"{dataset.name!r} got other derived columns.", retry=True, hint="Try again.")
        if examine is not None:
            examine(hidden, survey.masks)
        _register(storage, name, body, actor)

    options = SealOptions(
        actor=actor,
        companions={_POOL: subject.shuffled(baseline)},
        accept_shared=request.accept_shared,
        redact=lambda report: redact_report(report, hidden),
        redact_schema=lambda schema: redact_schema(schema, hidden),
        prepare=prepare,
    )
    seal_cells(storage, dataset, masks, sorted(hidden), body["id"], options=options)
    return get_pool(storage, name)


def find_pool(storage: Storage, name: str) -> PoolRecord | None:
    """Return a pool by its name, or None; one whose sealing was interrupted is none."""
    document = Registry(storage.catalog, KIND).find(name)
    if document is None:
        return None
    body = document.body
    seal = seals.find_seal(storage.catalog, body["id"])
    version = storage.catalog.find_version_by_id(body["version_id"])
    if seal is None or seal.state == "open" or version is None:
        return None
    dataset = next(each for each in storage.catalog.list_datasets() if each.id == body["dataset_id"])
    return PoolRecord(
        id=body["id"],
        name=name,
        dataset=dataset,
        version=version,
        label=body["label"],
        hidden=tuple(body["hidden"]),
        num_rows=body["rows"],
        plan=PoolPlan.from_dict(body["plan"]),
        has_baseline=body["has_baseline"],
        outcomes_feed_features=body["outcomes_feed_features"],
        created_at=document.created_at,
    )


def get_pool(storage: Storage, name: str) -> PoolRecord:
    """Return a pool by its name.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    found = find_pool(storage, check_name(name, "pool"))
    if found is None:
        names = [pool.name for pool in list_pools(storage)]
        raise NotFoundError(f"There is no pool {name!r}.", hint=did_you_mean(name, names), name=name)
    return found


def list_pools(storage: Storage) -> list[PoolRecord]:
    """List the pools by name."""
    found = (find_pool(storage, name) for name in Registry(storage.catalog, KIND).list_names())
    return [pool for pool in found if pool is not None]


def pool_features(storage: Storage, pool: PoolRecord) -> pa.Table:
    """Return what a model needs to predict: the pool's rows in a secret order under opaque row ids.

    ``pool_row`` comes first, then every column of the version that is not sealed.
    """
    reader = open_version(storage, pool.dataset, pool.version)
    visible = [name for name in reader.arrow_schema.names if name not in pool.hidden]
    secret = open_companion(storage, pool.id, _POOL)
    rows = _rows_in_order(reader, secret, visible)
    return rows.add_column(0, POOL_ROW, secret.column(POOL_ROW))


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
        With code ``pool-spent``, when no answer is left.
    """
    secret = open_companion(storage, pool.id, _POOL)
    aligned = align_predictions(predictions, _expected_rows(storage, pool, secret))
    identity = secret.column("identity").to_numpy()
    digest = digest_predictions(aligned, np.argsort(identity, kind="stable"), identity)
    ledger = Ledger(storage, pool.id)
    charge = ledger.charge(digest, model=model, actor=actor, price=lambda account: _price(pool, account))
    storage.on_step("pool-charged")
    passed = charge.passed
    if passed is None:
        computed = _decide(pool, secret, aligned, charge.log_level)
        storage.on_step("pool-decided")
        passed = ledger.answer(digest, passed=computed, actor=actor)
        storage.on_step("pool-answered")
    return Verdict(None if pool.plan.reuse.withholds_answers else passed, charge.fresh)


def pool_status(storage: Storage, pool: PoolRecord) -> PoolStatus:
    """Return what is spent and what is left; never an accuracy, nor which clause failed."""
    account = Ledger(storage, pool.id).read()
    budget = Budget.replay(pool.plan, account.answers)
    return PoolStatus(
        name=pool.name,
        num_rows=pool.num_rows,
        plan=pool.plan,
        steps_used=budget.answered,
        steps_left=budget.steps_left,
        passes_left=budget.passes_left,
        pending=account.pending,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The rows to seal, in the version's order."""

    ids: NDArray[np.uint64]
    labels: pa.Array
    keys: pa.Table
    digests: RowDigests

    @classmethod
    def read(
        cls, dataset: DatasetRecord, reader: FragmentReader, masks: dict[int, Mask], label: str, hidden: set[str]
    ) -> "_Subject":
        labels = _read_labels(reader, masks, label)
        visible = read_rows(reader, masks, [name for name in reader.arrow_schema.names if name not in hidden])
        ids = list_row_ids(reader, masks)
        keys = visible.select(list(dataset.key))
        return cls(ids=ids, labels=labels, keys=keys, digests=digest_rows(dataset, ids, visible))

    def shuffled(self, baseline: pa.Array | None) -> pa.Table:
        """Return what the sealed area keeps: the rows in a secret order, with ids that say nothing."""
        generator = np.random.default_rng(secrets.randbits(256))
        order = generator.permutation(len(self.ids))
        opaque = np.empty(0, np.int64)
        while len(opaque) < len(order):
            opaque = np.unique(generator.integers(0, 2**_ID_BITS, 2 * len(order) + 16))
        columns = {
            ROW_ID: pa.array(self.ids[order]),
            POOL_ROW: pa.array(generator.choice(opaque, len(order), replace=False)),
            "identity": pa.array(self.digests.identity[order]),
            "content": pa.array(self.digests.content[order]),
            _LABEL: self.labels.take(pa.array(order)),
        }
        if baseline is not None:
            columns[_BASELINE] = baseline.take(pa.array(order))
        return pa.table(columns)


def _refuse_taken(storage: Storage, name: str) -> None:
    if find_pool(storage, name) is not None:
        raise AlreadyExistsError(f"There is already a pool {name!r}.", hint="Choose another name.", name=name)


def _newest(storage: Storage, dataset: DatasetRecord) -> VersionRecord:
    head = load_head(storage, dataset)
    if head.version is None:
        raise NotFoundError(f"{dataset.name!r} has no version yet.", hint="Append rows first.")
    return head.version


def _hidden_columns(
    storage: Storage, dataset: DatasetRecord, reader: FragmentReader, label: str, hide: Sequence[str]
) -> set[str]:
    if isinstance(hide, str):
        raise UsageError(f"hide={hide!r} is text, not a list of columns.", hint=f"Write hide=[{hide!r}].")
    for name in (label, *hide):
        if name not in reader.arrow_schema.names:
            raise column_not_found(name, reader.arrow_schema.names, where=reader.where)
    inputs = read_derivations(storage, dataset)
    needed = {*dataset.key, *([dataset.event_time] if dataset.event_time else [])}
    chosen = {label, *hide} | (ancestors_of(inputs, [label]) - needed - ancestors_of(inputs, needed))
    chosen |= descendants_of(inputs, chosen)
    lost = sorted(chosen & needed)
    if lost:
        raise UsageError(
            f"{lost[0]!r} is needed to tell rows of {dataset.name!r} apart, or is computed from a sealed column.",
            hint="Seal neither key columns nor the event time, nor what they are computed from.",
            columns=lost,
        )
    return chosen


def _read_labels(reader: FragmentReader, masks: dict[int, Mask], label: str) -> pa.Array:
    column = read_rows(reader, masks, [label]).column(0).combine_chunks()
    labels = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    t = pa.types
    if not (t.is_boolean(labels.type) or t.is_integer(labels.type) or t.is_string(labels.type)):
        raise UsageError(
            f"The label {label!r} is {labels.type}; a pool needs classes.",
            hint="Add a column of booleans, whole numbers or texts with add_columns(), and seal that one.",
            code="invalid-label",
            column=label,
        )
    if labels.null_count:
        raise UsageError(
            f"The label {label!r} is null in {labels.null_count:,} of {len(labels):,} rows.",
            hint="Seal rows whose label is known; a cell that is sealed already is null, too.",
            code="invalid-label",
            column=label,
            nulls=labels.null_count,
        )
    return labels


def _align_baseline(plan: PoolPlan, baseline: object, subject: _Subject) -> pa.Array | None:
    if baseline is None:
        if any(clause.score.old or clause.score.differing for clause in plan.condition.clauses):
            raise UsageError(
                f"The condition {plan.condition} compares with an old model, and there are no predictions of one.",
                hint="Give baseline=, the old model's predictions for these rows.",
                code="baseline-missing",
            )
        return None
    rows = ExpectedRows(label_type=subject.labels.type, keys=subject.keys, num_rows=len(subject.labels))
    return align_predictions(baseline, rows, what="baseline predictions")


def _refuse_overlap(storage: Storage, dataset: DatasetRecord, digests: RowDigests) -> None:
    """Refuse rows of another pool: what was asked about them stays asked, whatever they are called now."""
    for pool in list_pools(storage):
        known = open_companion(storage, pool.id, _POOL)
        same = "identity" if pool.dataset.id == dataset.id else "content"
        mine, theirs = getattr(digests, same), known.column(same).to_numpy()
        if same == "content":  # rows that look alike are no evidence of a copy
            mine, theirs = _unrepeated(mine), _unrepeated(theirs)
        shared = int(np.isin(mine, theirs).sum())
        if shared:
            status = pool_status(storage, pool)
            state = "is spent" if status.spent else f"has answered {status.steps_used:,} times"
            raise RefusedError(
                f"{shared:,} of these rows are in the pool {pool.name!r}, which {state}.",
                hint="The budget belongs to the rows: seal rows that no pool has held.",
                code="pool-overlap",
                pool=pool.name,
                rows=shared,
            )


def _unrepeated(digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values, counts = np.unique(digests, return_counts=True)
    once: NDArray[np.uint64] = values[counts == 1]
    return once


def _warn_about_order(dataset: DatasetRecord, reader: FragmentReader, masks: dict[int, Mask], labels: pa.Array) -> None:
    moments = None
    if dataset.event_time is not None and dataset.event_time in reader.arrow_schema.names:
        column = read_rows(reader, masks, [dataset.event_time]).column(0).combine_chunks()
        dated = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        moments = column if dated else None
    area, chance = measure_row_order(labels, moments)
    if area > chance:
        warnings.warn(
            f"The position of a row in {reader.where} tells its label with an AUC of {area:.2f} (0.5 is nothing): "
            f"whoever reads the dataset sees that order. Rows appended with order_by= columns that are known "
            f"beforehand tell what those columns tell, and no more.",
            RowOrderWarning,
            stacklevel=3,
        )


def _register(storage: Storage, name: str, body: dict[str, Any], actor: str) -> None:
    """Write the pool's document and open its ledger; the seal that follows brings both to life."""
    registry = Registry(storage.catalog, KIND)
    known = registry.find(name)
    if known is not None and known.body["id"] == body["id"]:
        return  # an earlier attempt of this sealing did
    opening = {"pool": name, "plan": body["plan"], "rows": body["rows"]}
    Ledger(storage, body["id"]).open(opening, actor)
    registry.put(name, body, author=actor, created_at=format_time(storage.clock()))


def _rows_in_order(reader: FragmentReader, secret: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Read rows of the version in the pool's order."""
    ids = secret.column(ROW_ID).to_numpy()
    masks = read_masks(ids, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    stored = list_row_ids(reader, masks)
    order = np.argsort(stored, kind="stable")
    return read_rows(reader, masks, columns).take(pa.array(order[np.searchsorted(stored[order], ids)]))


def _expected_rows(storage: Storage, pool: PoolRecord, secret: pa.Table) -> ExpectedRows:
    reader = open_version(storage, pool.dataset, pool.version)
    keys = list(pool.dataset.key)
    return ExpectedRows(
        label_type=secret.schema.field(_LABEL).type,
        keys=_rows_in_order(reader, secret, keys) if keys else pa.table({}),
        num_rows=secret.num_rows,
        pool_rows=secret.column(POOL_ROW).to_numpy(),
    )


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


def _decide(pool: PoolRecord, secret: pa.Table, new: pa.Array, log_level: float | None) -> bool:
    try:
        labels = secret.column(_LABEL).combine_chunks()
        correct = _count(new, labels)
        if not pool.has_baseline:
            return decide(pool.plan, Counts(rows=len(new), correct_new=correct), log_level=log_level)
        old = secret.column(_BASELINE).combine_chunks()
        differing = len(new) - _count(new, old)
        counts = Counts.overall(
            rows=len(new), correct_new=correct, correct_old=_count(old, labels), differing=differing
        )
        return decide(pool.plan, counts, log_level=log_level)
    except Exception:  # noqa: BLE001  # an error that depends on labels would be an answer of its own
        return False


def _count(left: pa.Array, right: pa.Array) -> int:
    return int(pc.sum(pc.equal(left, right)).as_py() or 0)
