"""Reserves: rows of new versions that are sealed as they come, until they are enough for the next pool.

Which rows are chosen follows from a keyed hash of what tells them apart, so that nobody can say beforehand, and the
same row is chosen whenever it is looked at. Each filling is a seal of its own; `activate` makes one pool of them.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.commit import load_head
from foldstore.datastore.opened_rows import open_rows
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_area import lock_sealed_area
from foldstore.datastore.seal_guard import sealed_places
from foldstore.datastore.seal_survey import Mask, Survey, read_masks
from foldstore.datastore.sealing import ROW_ID, SealOptions, merge_seals, open_companion, seal_cells
from foldstore.datastore.statistics.hashing import combine, hash_column, hash_rows
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import AlreadyExistsError, FoldstoreError, NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.types import format_time
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord, get_pool, list_pools, read_plan
from foldstore.validation.pools.pool_rows import LABEL, POOL, Subject, rows_in_order, shuffle_rows
from foldstore.validation.pools.pool_seal import (
    PoolRequest,
    align_baseline,
    commit_companion,
    hidden_columns,
    refuse_overlap,
    refuse_taken,
    register,
)
from foldstore.validation.pools.predictions import POOL_ROW
from foldstore.validation.pools.sealed_subject import (
    RowDigests,
    list_row_ids,
    open_version,
    read_rows,
    redact_report,
    redact_schema,
)
from foldstore.validation.pools.support import require_rows

KIND: Final = "reserve"
_WHOLE: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRecord:
    """A reserve.

    Attributes
    ----------
    share : float
        Which share of new rows is sealed.
    parts : tuple of str
        The seals of its fillings.
    through : int
        The highest fragment that was looked at.
    used_by : str or None
        The id of the pool that was made of it.
    """

    name: str
    dataset: DatasetRecord
    label: str
    hide: tuple[str, ...]
    plan: PoolPlan
    share: float
    group_by: tuple[str, ...]
    secret: int
    parts: tuple[str, ...]
    through: int
    used_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveStatus:
    """How far a reserve is.

    Attributes
    ----------
    rows : int
        How many rows it has sealed.
    needed : int
        How many the plan needs.
    used_by : str or None
        The id of the pool that was made of it.
    """

    name: str
    dataset: str
    rows: int
    needed: int
    used_by: str | None

    @property
    def ready(self) -> bool:
        """Whether a pool can be made of it."""
        return self.used_by is None and self.rows >= self.needed

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("name", "dataset", "rows", "needed", "ready", "used_by")
        return {name: getattr(self, name) for name in names}


def open_reserve(
    storage: Storage,
    dataset: DatasetRecord,
    request: PoolRequest,
    *,
    share: float,
    group_by: Sequence[str] = (),
    actor: str,
) -> ReserveRecord:
    """Begin to seal a share of the rows that come from now on; those that are there already are left alone.

    Raises
    ------
    UsageError
        With code ``invalid-share``; for columns that are not there.
    AlreadyExistsError
        When a reserve has the name.
    """
    name = check_name(request.name, "pool")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise UsageError(
            f"A share lies above 0 and up to 1, and is not {ascii(share)[:40]}.",
            hint="share=0.1 seals a tenth of the rows that come.",
            code="invalid-share",
        )
    if find_reserve(storage, name) is not None:
        raise AlreadyExistsError(f"There is already a reserve {name!r}.", hint="Choose another name.", name=name)
    newest = load_head(storage, dataset).version
    if newest is None:
        raise NotFoundError(f"{dataset.name!r} has no version yet.", hint="Append rows first.")
    reader = open_version(storage, dataset, newest)
    hidden_columns(storage, dataset, reader, request.label, request.hide)
    for column in group_by:
        reader.project([column])
    body = {
        "dataset_id": dataset.id,
        "label": request.label,
        "hide": list(request.hide),
        "plan": request.plan.to_dict(),
        "share": float(share),
        "group_by": list(group_by),
        "secret": secrets.randbits(62),
        "parts": [],
        "through": max((fragment.id for fragment in reader.fragments), default=0),
        "used_by": None,
    }
    _put(storage, name, body, actor)
    found = find_reserve(storage, name)
    assert found is not None  # noqa: S101  # it was put just now
    return found


def find_reserve(storage: Storage, name: str) -> ReserveRecord | None:
    """Return a reserve by its name, or None."""
    document = Registry(storage.catalog, KIND).find(name)
    if document is None:
        return None
    body = document.body
    dataset = next(each for each in storage.catalog.list_datasets() if each.id == body["dataset_id"])
    parts = [part for part in body["parts"] if _is_sealed(storage, part)]
    return ReserveRecord(
        name=name,
        dataset=dataset,
        label=body["label"],
        hide=tuple(body["hide"]),
        plan=read_plan(body["plan"]),
        share=body["share"],
        group_by=tuple(body["group_by"]),
        secret=body["secret"],
        parts=tuple(parts),
        through=body["through"],
        used_by=body["used_by"],
    )


def get_reserve(storage: Storage, name: str) -> ReserveRecord:
    """Return a reserve by its name.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    found = find_reserve(storage, check_name(name, "pool"))
    if found is None:
        known = [each.name for each in list_reserves(storage)]
        raise NotFoundError(f"There is no reserve {name!r}.", hint=did_you_mean(name, known), name=name)
    return found


def list_reserves(storage: Storage) -> list[ReserveRecord]:
    """List the reserves by name."""
    found = (find_reserve(storage, name) for name in Registry(storage.catalog, KIND).list_names())
    return [each for each in found if each is not None]


def reserve_status(storage: Storage, reserve: ReserveRecord) -> ReserveStatus:
    """Return how far a reserve is."""
    rows = 0 if reserve.used_by else sum(open_companion(storage, part, POOL).num_rows for part in reserve.parts)
    return ReserveStatus(
        name=reserve.name,
        dataset=reserve.dataset.name,
        rows=rows,
        needed=reserve.plan.rows,
        used_by=reserve.used_by,
    )


def fill_reserve(storage: Storage, reserve: ReserveRecord, *, actor: str) -> int:
    """Seal the chosen rows among those that came since the last filling; return how many.

    Rows whose label is null, or that a pool had before, are passed over.
    """
    version = load_head(storage, reserve.dataset).version
    if reserve.used_by is not None or version is None:
        return 0
    reader = open_version(storage, reserve.dataset, version)
    newest = max((fragment.id for fragment in reader.fragments), default=0)
    if newest <= reserve.through or reserve.label not in reader.arrow_schema.names:
        return 0
    hidden = hidden_columns(storage, reserve.dataset, reader, reserve.label, reserve.hide)
    masks = _choose(storage, reserve, version, reader)
    if not masks:
        _extend(storage, reserve, newest, None, actor)
        return 0
    subject = Subject.read(reserve.dataset, reader, masks, reserve.label, hidden)
    seal_id = new_id()

    def prepare(_survey: Survey) -> None:
        _extend(storage, reserve, newest, seal_id, actor)

    options = SealOptions(
        actor=actor,
        companions={POOL: subject.shuffled(None)},
        redact=lambda report: redact_report(report, hidden),
        redact_schema=lambda schema: redact_schema(schema, hidden, reserve.label),
        prepare=prepare,
    )
    seal_cells(storage, reserve.dataset, masks, sorted(hidden), seal_id, options=options)
    return len(subject.ids)


def reserve_features(storage: Storage, reserve: ReserveRecord) -> pa.Table:
    """Return the visible columns of a reserve's rows: what a baseline needs to predict."""
    secret, reader = _gather(storage, reserve)
    hidden = hidden_columns(storage, reserve.dataset, reader, reserve.label, reserve.hide)
    visible = [name for name in reader.arrow_schema.names if name not in hidden]
    return rows_in_order(reader, secret, visible)


def opened_reserve(storage: Storage, reserve: ReserveRecord, columns: Sequence[str]) -> pa.Table:
    """Return the rows of a reserve with their sealed cells, for a comparison inside alone."""
    secret, reader = _gather(storage, reserve)
    ids = secret.column(ROW_ID).to_numpy()
    masks = read_masks(ids, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    reader = reader.restricted([fragment for fragment in reader.fragments if fragment.id in masks])
    table = open_rows(storage, reader, columns, reserve.parts)
    return table.filter(pa.array(np.isin(reader.places(), ids)))


def activate_reserve(
    storage: Storage,
    reserve: ReserveRecord,
    *,
    name: str,
    plan: PoolPlan,
    baseline: object = None,
    expires_at: str | None = None,
    predecessor: str | None = None,
    actor: str,
) -> PoolRecord:
    """Make a pool of what a reserve has sealed; the reserve is used up by it.

    Raises
    ------
    RefusedError
        With code ``pool-too-small``, while there are fewer rows than the plan needs.
    """
    refuse_taken(storage, check_name(name, "pool"))
    secret, reader = _gather(storage, reserve)
    require_rows(plan, secret.num_rows)
    version = _head(storage, reserve)
    keys = rows_in_order(reader, secret, reserve.dataset.key) if reserve.dataset.key else pa.table({})
    given = align_baseline(plan, baseline, secret.column(LABEL).type, keys, secret.num_rows)
    hidden = {column for part in reserve.parts for column in _columns_of(storage, part)}
    body = {
        "id": new_id(),
        "dataset_id": reserve.dataset.id,
        "version_id": version.id,
        "label": reserve.label,
        "hidden": sorted(hidden),
        "rows": secret.num_rows,
        "plan": plan.to_dict(),
        "has_baseline": given is not None,
        "outcomes_feed_features": False,
        "expires_at": expires_at,
        "predecessor": predecessor,
    }
    digests = RowDigests(identity=secret.column("identity").to_numpy(), content=secret.column("content").to_numpy())
    refuse_overlap(storage, reserve.dataset, digests)
    companion = shuffle_rows(secret.drop_columns([POOL_ROW]), given)
    with lock_sealed_area(storage):
        register(storage, name, body, actor, commitment=commit_companion(storage, body["id"], companion))
    merge_seals(storage, reserve.dataset, reserve.parts, body["id"], companions={POOL: companion}, actor=actor)
    document = Registry(storage.catalog, KIND).find(reserve.name)
    if document is not None:
        _put(storage, reserve.name, {**document.body, "parts": [], "used_by": body["id"]}, actor)
    return get_pool(storage, name)


def _gather(storage: Storage, reserve: ReserveRecord) -> tuple[pa.Table, FragmentReader]:
    """Return what the sealed area keeps of a reserve, and a reader of the version that has its rows."""
    if not reserve.parts:
        raise RefusedError(
            f"The reserve {reserve.name!r} has no rows"
            + (": a pool was made of them." if reserve.used_by else " yet."),
            hint="It fills from new versions on its own.",
            code="pool-too-small",
            rows=0,
            needed=reserve.plan.rows,
        )
    secret = pa.concat_tables([open_companion(storage, part, POOL) for part in reserve.parts]).combine_chunks()
    return secret, open_version(storage, reserve.dataset, _head(storage, reserve))


def _head(storage: Storage, reserve: ReserveRecord) -> VersionRecord:
    version = load_head(storage, reserve.dataset).version
    if version is None:
        raise NotFoundError(f"{reserve.dataset.name!r} has no version yet.", hint="Append rows first.")
    return version


def _choose(
    storage: Storage, reserve: ReserveRecord, version: VersionRecord, reader: FragmentReader
) -> dict[int, Mask]:
    """Return the rows to seal among those of fragments that were not looked at yet."""
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    listed = FragmentReader(storage, reserve.dataset.id, storage.pages.fragments(version), schema, reader.where)
    fresh = [fragment for fragment in listed.fragments if fragment.id > reserve.through]
    masks = {fragment.id: listed.live(fragment) for fragment in fresh}
    masks = {i: mask for i, mask in masks.items() if mask.any()}
    if not masks:
        return {}
    names = [*(reserve.group_by or reserve.dataset.key), reserve.label]
    rows = read_rows(reader, masks, names)
    ids = list_row_ids(reader, masks)
    hashes = hash_rows(rows.columns[:-1]) if len(names) > 1 else hash_column(pa.array(ids))
    salted = combine([hash_column(pa.array(np.full(len(ids), reserve.secret, np.int64))), hashes])
    chosen = salted < np.uint64(min(int(reserve.share * _WHOLE), _WHOLE - 1))
    chosen &= rows.column(reserve.label).is_valid().to_numpy()
    chosen &= ~np.isin(ids, sealed_places(storage, reserve.dataset))
    if not reserve.dataset.key:
        chosen &= ~_known(storage, reserve, ids)
    return read_masks(ids[chosen], {f.id: f.num_rows for f in reader.fragments}) if chosen.any() else {}


def _known(storage: Storage, reserve: ReserveRecord, ids: NDArray[np.uint64]) -> Mask:
    identity = hash_column(pa.array(ids))
    known = np.zeros(len(ids), np.bool_)
    for pool in list_pools(storage):
        if pool.dataset.id == reserve.dataset.id:
            known |= np.isin(identity, open_companion(storage, pool.id, POOL).column("identity").to_numpy())
    return known


def _extend(storage: Storage, reserve: ReserveRecord, through: int, part: str | None, actor: str) -> None:
    document = Registry(storage.catalog, KIND).find(reserve.name)
    if document is None or (part is not None and part in document.body["parts"]):
        return  # an earlier attempt of this sealing did
    parts = [*document.body["parts"], *([part] if part else [])]
    _put(storage, reserve.name, {**document.body, "parts": parts, "through": through}, actor)


def _put(storage: Storage, name: str, body: dict[str, Any], actor: str) -> None:
    Registry(storage.catalog, KIND).put(name, body, author=actor, created_at=format_time(storage.clock()))


def _is_sealed(storage: Storage, seal_id: str) -> bool:
    seal = seals.find_seal(storage.catalog, seal_id)
    return seal is not None and seal.state != "open"


def _columns_of(storage: Storage, seal_id: str) -> tuple[str, ...]:
    seal = seals.find_seal(storage.catalog, seal_id)
    return () if seal is None else seal.columns


def fill_reserves(storage: Storage, dataset: DatasetRecord, *, actor: str) -> None:
    """Fill the reserves of a dataset from a version that was committed just now.

    The commit stands whatever comes of it: what could not be sealed, since somebody else seals, is at the next one.
    """
    for reserve in list_reserves(storage):
        if reserve.dataset.id == dataset.id and reserve.used_by is None:
            with suppress(FoldstoreError):
                fill_reserve(storage, reserve, actor=actor)
