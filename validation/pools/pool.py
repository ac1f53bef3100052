"""Test pools: rows whose labels are sealed, asked through conditions, answered with pass or fail alone.

What is kept of a pool, and where it is found; plain records and functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, did_you_mean
from foldstore.names import check_name
from foldstore.validation.pools.meter import KIND as METER
from foldstore.validation.pools.meter import Meter
from foldstore.validation.pools.plan import PoolPlan

KIND: Final = "pool"


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
    expires_at : str or None
        When it stops answering.
    predecessor : str or None
        The id of the pool that it was sealed to follow.
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
    expires_at: str | None = None
    predecessor: str | None = None


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
        plan=read_plan(body["plan"]),
        has_baseline=body["has_baseline"],
        outcomes_feed_features=body["outcomes_feed_features"],
        created_at=document.created_at,
        expires_at=body.get("expires_at"),
        predecessor=body.get("predecessor"),
    )


def read_plan(body: Mapping[str, Any]) -> PoolPlan:
    """Return a plan, or a meter, from what was kept of it."""
    return (Meter if body.get("kind") == METER else PoolPlan).from_dict(body)


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
