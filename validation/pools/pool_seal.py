"""Sealing a pool: what is hidden with the label, what rows are refused, and the documents that it leaves."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.commit import load_head
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_area import make_store_key
from foldstore.datastore.seal_survey import Mask, Rows, Survey, read_masks, row_ids
from foldstore.datastore.sealing import SealOptions, open_companion, seal_cells
from foldstore.datastore.statistics.hashing import hash_column
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UsageError,
    column_not_found,
)
from foldstore.names import check_name
from foldstore.types import format_time
from foldstore.validation.pools.commitment import commit_labels
from foldstore.validation.pools.evidence import check_subject, require_classes
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import KIND, PoolRecord, find_pool, get_pool, list_pools
from foldstore.validation.pools.pool_rows import LABEL, POOL, Subject
from foldstore.validation.pools.pool_status import pool_status
from foldstore.validation.pools.predictions import ExpectedRows, align_predictions
from foldstore.validation.pools.sealed_subject import (
    RowDigests,
    ancestors_of,
    descendants_of,
    measure_row_order,
    open_version,
    read_derivations,
    read_rows,
    redact_report,
    redact_schema,
)
from foldstore.validation.pools.support import require_rows


class RowOrderWarning(UserWarning):
    """The order of a dataset's rows tells labels that are being sealed."""


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
    expires_at : str, optional
        When it stops answering, as RFC 3339 in UTC.
    predecessor : str, optional
        The id of the pool that it follows.
    """

    name: str
    label: str
    plan: PoolPlan
    hide: Sequence[str] = ()
    baseline: object = None
    outcomes_feed_features: bool = False
    accept_shared: bool = False
    expires_at: str | None = None
    predecessor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A pool that is about to be: what was asked for, and what the version has of it."""

    dataset: DatasetRecord
    version: VersionRecord
    request: PoolRequest
    reader: FragmentReader
    masks: dict[int, Mask]
    hidden: set[str]
    subject: Subject
    baseline: pa.Array | None

    def describe(self, pool_id: str) -> dict[str, Any]:
        """Return the pool's document."""
        request = self.request
        return {
            "id": pool_id,
            "dataset_id": self.dataset.id,
            "version_id": self.version.id,
            "label": request.label,
            "hidden": sorted(self.hidden),
            "rows": len(self.subject.labels),
            "plan": request.plan.to_dict(),
            "has_baseline": self.baseline is not None,
            "outcomes_feed_features": request.outcomes_feed_features,
            "expires_at": request.expires_at,
            "predecessor": request.predecessor,
        }


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
        ``pool-too-small`` or ``too-few-rows`` for the plan, ``pool-overlap`` with rows of another pool,
        ``sealed-elsewhere``.
    UsageError
        For labels that are null or no classes, a condition on classes or columns that there are not, and a baseline
        that does not fit.

    Warns
    -----
    RowOrderWarning
        When the order of rows tells the label; the message has the measured figure.
    """
    name = check_name(request.name, "pool")
    refuse_taken(storage, name)
    draft = _draft_pool(storage, dataset, rows, request, version or _newest(storage, dataset))
    _warn_about_order(dataset, draft.reader, draft.masks, draft.subject.labels)
    body = draft.describe(new_id())
    companion = draft.subject.shuffled(draft.baseline)

    def prepare(survey: Survey) -> None:
        _look_again(storage, name, draft, survey)
        if examine is not None:
            examine(draft.hidden, survey.masks)
        register(storage, name, body, actor, commitment=commit_companion(storage, body["id"], companion))

    options = SealOptions(
        actor=actor,
        companions={POOL: companion},
        accept_shared=request.accept_shared,
        redact=lambda report: redact_report(report, draft.hidden),
        redact_schema=lambda schema: redact_schema(schema, draft.hidden, request.label),
        prepare=prepare,
    )
    seal_cells(storage, dataset, draft.masks, sorted(draft.hidden), body["id"], options=options)
    return get_pool(storage, name)


def _draft_pool(
    storage: Storage, dataset: DatasetRecord, rows: Rows, request: PoolRequest, version: VersionRecord
) -> _Draft:
    """Read what is to be sealed, and refuse what no pool can be made of."""
    reader = open_version(storage, dataset, version)
    masks = read_masks(rows, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    hidden = hidden_columns(storage, dataset, reader, request.label, request.hide)
    subject = Subject.read(dataset, reader, masks, request.label, hidden)
    _check_condition(request.plan, reader, masks, hidden, subject.labels)
    baseline = align_baseline(request.plan, request.baseline, subject.labels.type, subject.keys, len(subject.labels))
    refuse_overlap(storage, dataset, subject.digests)
    return _Draft(
        dataset=dataset,
        version=version,
        request=request,
        reader=reader,
        masks=masks,
        hidden=hidden,
        subject=subject,
        baseline=baseline,
    )


def _look_again(storage: Storage, name: str, draft: _Draft, survey: Survey) -> None:
    """Look again, now that nobody else can seal: of two pools over the same rows one comes first."""
    refuse_taken(storage, name)
    dataset, digests, request = draft.dataset, draft.subject.digests, draft.request
    if not dataset.key:  # the copies that the survey found tell that another pool has these rows
        digests = replace(digests, identity=hash_column(pa.array(row_ids(survey.masks))))
    refuse_overlap(storage, dataset, digests)
    if hidden_columns(storage, dataset, draft.reader, request.label, request.hide) != draft.hidden:
        raise ConflictError(f"{dataset.name!r} got other derived columns.", retry=True, hint="Try again.")


def refuse_taken(storage: Storage, name: str) -> None:
    """Refuse a name that a pool has."""
    if find_pool(storage, name) is not None:
        raise AlreadyExistsError(f"There is already a pool {name!r}.", hint="Choose another name.", name=name)


def _newest(storage: Storage, dataset: DatasetRecord) -> VersionRecord:
    head = load_head(storage, dataset)
    if head.version is None:
        raise NotFoundError(f"{dataset.name!r} has no version yet.", hint="Append rows first.")
    return head.version


def hidden_columns(
    storage: Storage, dataset: DatasetRecord, reader: FragmentReader, label: str, hide: Sequence[str]
) -> set[str]:
    """Return what is hidden with a label: what it comes from, and what comes from any of it.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    UsageError
        When a key column or the event time would be hidden.
    """
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


def _check_condition(
    plan: PoolPlan, reader: FragmentReader, masks: dict[int, Mask], hidden: set[str], labels: pa.Array
) -> None:
    """Refuse a condition that the rows cannot answer: classes and slices that are not there, or too few of them."""
    readable = {name: reader.arrow_schema.field(name).type for name in reader.arrow_schema.names if name not in hidden}
    check_subject(plan.condition, labels.type, readable)
    require_rows(plan, len(labels))
    names = plan.condition.columns
    table = read_rows(reader, masks, names) if names else pa.table({})
    require_classes(plan, labels, {name: table.column(name).combine_chunks() for name in names})


def align_baseline(
    plan: PoolPlan, baseline: object, label_type: pa.DataType, keys: pa.Table, num_rows: int
) -> pa.Array | None:
    """Return the old model's predictions in the order of the rows; refuse to do without where the condition needs them.

    Raises
    ------
    UsageError
        With code ``baseline-missing``, or when they do not fit.
    """
    if baseline is None:
        if plan.condition.needs_old:
            raise UsageError(
                f"The condition {plan.condition} compares with an old model, and there are no predictions of one.",
                hint="Give baseline= (in the shell --baseline FILE), the old model's predictions for these rows.",
                code="baseline-missing",
            )
        return None
    rows = ExpectedRows(label_type=label_type, keys=keys, num_rows=num_rows)
    return align_predictions(baseline, rows, what="baseline predictions")


def refuse_overlap(storage: Storage, dataset: DatasetRecord, digests: RowDigests) -> None:
    """Refuse rows of another pool: what was asked about them stays asked, whatever they are called now."""
    for pool in list_pools(storage):
        known = open_companion(storage, pool.id, POOL)
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


def commit_companion(storage: Storage, pool_id: str, companion: pa.Table) -> str:
    """Return the commitment to the labels of what the sealed area is to keep; call it while that is locked."""
    return commit_labels(make_store_key(storage), pool_id, companion.column("identity"), companion.column(LABEL))


def register(storage: Storage, name: str, body: dict[str, Any], actor: str, *, commitment: str | None = None) -> None:
    """Write the pool's document and open its ledger; the seal that follows brings both to life."""
    registry = Registry(storage.catalog, KIND)
    known = registry.find(name)
    if known is not None and known.body["id"] == body["id"]:
        return  # an earlier attempt of this sealing did
    opening = {"pool": name, "plan": body["plan"], "rows": body["rows"], "commitment": commitment}
    Ledger(storage, body["id"]).open(opening, actor)
    registry.put(name, body, author=actor, created_at=format_time(storage.clock()))
