"""The test pools of a store: sealed, found, listed, followed by the next."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.commit import load_head
from foldstore.datastore.selection import Mask
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.pool import Pool
from foldstore.pool_copies import refuse_training_sets, refuse_what_tells
from foldstore.reserve import Reserve
from foldstore.split import SplitPart
from foldstore.training_set import PROPERTY
from foldstore.types import format_time, parse_time
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord, find_pool, list_pools
from foldstore.validation.pools.pool_seal import PoolRequest, seal_pool
from foldstore.validation.pools.reserve import (
    activate_reserve,
    get_reserve,
    list_reserves,
    open_reserve,
    opened_reserve,
)
from foldstore.validation.pools.rotation import check_rotation, next_plan, require_like
from foldstore.validation.pools.sealed_subject import open_version, read_rows
from foldstore.validation.pools.support import require_rows


class Pools:
    """The pools of a store.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> rows = {"id": list(range(4000)), "late": [n % 3 == 0 for n in range(4000)]}
    >>> version = store.create_dataset("flights", key=["id"]).append(rows)
    >>> split = version.split("half", train=0.5, test=0.5)
    >>> plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
    >>> pool = store.pools.seal("half-a", split.test, label="late", plan=plan)  # doctest: +SKIP
    >>> pool.evaluate(predictions).passed  # doctest: +SKIP
    True
    """

    def __init__(
        self, storage: Storage, author: str, forget_copies: Callable[[str], None], *, steward: bool = False
    ) -> None:
        self._storage = storage
        self._author = author
        self._forget_copies = forget_copies
        self._steward = steward

    def __repr__(self) -> str:
        return f"<Pools: {', '.join(pool.name for pool in self.list_pools()) or 'none sealed'}>"

    def seal(
        self,
        name: str,
        part: SplitPart,
        *,
        label: str,
        plan: PoolPlan,
        hide: Sequence[str] = (),
        baseline: Any = None,
        outcomes_feed_features: bool = False,
        expires: datetime | str | None = None,
    ) -> Pool:
        """Seal the rows of a part as a test pool: their hidden cells read as null from now on, in every version.

        Parameters
        ----------
        name : str
            The pool's name.
        part : SplitPart
            The rows: ``split.test``.
        label : str
            The column that is predicted.
        plan : PoolPlan
            From `foldstore.plan_pool`: the condition, the reliability, how often it may be asked.
        hide : sequence of str
            Columns that give the label away.
        baseline : object, optional
            The predictions of the model to compare with (``o`` in the condition).
        outcomes_feed_features : bool
            Let features be computed from sealed outcomes inside the store, as aggregates over at least 5 rows.
        expires : datetime or str, optional
            When it stops answering, such as ``"2027-01-31"``; it does so when it is spent in any case.

        Raises
        ------
        RefusedError
            When the part is too small for the plan (the hint says what it could support), its rows are in
            another pool, or a training set, a split or a saved view tells what would be hidden
            (code ``sealed-elsewhere``).
        """
        if not isinstance(plan, PoolPlan):
            raise UsageError(f"{type(plan).__name__!r} is not a plan.", hint="foldstore.plan_pool(…) makes one.")
        if isinstance(hide, str):
            raise UsageError(f"hide={hide!r} is text, not a list of columns.", hint=f"Write hide=[{hide!r}].")
        if not isinstance(outcomes_feed_features, bool):
            raise UsageError("outcomes_feed_features is True or False.", hint="It is False unless given.")
        request = PoolRequest(
            name=name,
            label=label,
            plan=plan,
            hide=tuple(hide),
            baseline=baseline,
            outcomes_feed_features=outcomes_feed_features,
            expires_at=self._read_expiry(expires),
        )
        return self._open(self._seal(part, request))

    def _seal(self, part: SplitPart, request: PoolRequest) -> PoolRecord:
        version = self._version_of(part)
        refuse_training_sets(self._storage, part, {request.label, *request.hide})
        if isinstance(described := version.properties.get(PROPERTY), dict):
            raise RefusedError(
                f"{part.address} was made from {described['labels']}: there its labels would stay readable.",
                hint=f"Seal {described['labels']}.test.",
                code="sealed-elsewhere",
            )

        def examine(hidden: set[str], masks: Mapping[int, Mask]) -> None:
            refuse_what_tells(self._storage, part, hidden, masks)
            # Now that nothing refuses it, and again when it is done: a crash in between leaves no copy, and what is
            # laid out meanwhile is found. A seal that was refused took pushed rows with it.
            self._forget_copies(part.dataset)

        record = seal_pool(
            self._storage,
            part.record,
            dict(part.masks),
            request,
            version=version,
            actor=self._author,
            examine=examine,
        )
        self._forget_copies(part.dataset)
        return record

    def _follow(
        self,
        pool: PoolRecord,
        name: str,
        part: SplitPart | Reserve,
        *,
        baseline: Any,
        accept_drift: bool,
        expires: datetime | str | None,
    ) -> PoolRecord:
        """Seal what follows a pool; find it when an earlier attempt did."""
        found = find_pool(self._storage, check_name(name, "pool"))
        if found is not None and found.predecessor == pool.id:
            return found
        if isinstance(part, Reserve):
            return self._follow_with(pool, name, part, baseline=baseline, accept_drift=accept_drift, expires=expires)
        reader = open_version(self._storage, part.record, self._version_of(part))
        masks = dict(part.masks)
        check = check_rotation(
            self._storage, pool, part.record, reader.arrow_schema, lambda names: read_rows(reader, masks, names)
        )
        require_like(pool, check, accept_drift=accept_drift)
        request = PoolRequest(
            name=name,
            label=pool.label,
            plan=next_plan(pool.plan),
            hide=tuple(column for column in pool.hidden if column != pool.label),
            baseline=baseline,
            outcomes_feed_features=pool.outcomes_feed_features,
            expires_at=self._read_expiry(expires),
            predecessor=pool.id,
        )
        return self._seal(part, request)

    def _follow_with(
        self,
        pool: PoolRecord,
        name: str,
        reserve: Reserve,
        *,
        baseline: Any,
        accept_drift: bool,
        expires: datetime | str | None,
    ) -> PoolRecord:
        """Make what follows a pool of a reserve."""
        record = reserve.record
        version = load_head(self._storage, record.dataset).version
        if version is None:
            raise NotFoundError(f"{record.dataset.name!r} has no version yet.", hint="Append rows first.")
        plan = next_plan(pool.plan)
        require_rows(plan, reserve.status().rows)
        columns = open_version(self._storage, record.dataset, version).arrow_schema
        check = check_rotation(
            self._storage, pool, record.dataset, columns, lambda names: opened_reserve(self._storage, record, names)
        )
        require_like(pool, check, accept_drift=accept_drift)
        return activate_reserve(
            self._storage,
            record,
            name=name,
            plan=plan,
            baseline=baseline,
            expires_at=self._read_expiry(expires),
            predecessor=pool.id,
            actor=self._author,
        )

    def reserve(
        self,
        name: str,
        dataset: str,
        *,
        label: str,
        plan: PoolPlan,
        share: float,
        hide: Sequence[str] = (),
        group_by: Sequence[str] = (),
    ) -> Reserve:
        """Put a share of the rows that come from now on aside for the next pool; they are sealed as they come.

        Parameters
        ----------
        name : str
            The reserve's name.
        dataset : str
            Whose new versions it fills from, on the main branch.
        share : float
            Which share of the new rows; a keyed hash chooses, so that nobody can say which beforehand.
        group_by : sequence of str
            Rows that have these columns in common are chosen together; the key unless given.
        label, plan, hide
            As in `seal`, and as the pool that it will follow has them.

        Raises
        ------
        UsageError
            With code ``invalid-share``.
        """
        if not isinstance(plan, PoolPlan):
            raise UsageError(f"{type(plan).__name__!r} is not a plan.", hint="foldstore.plan_pool(…) makes one.")
        record = self._storage.catalog.find_dataset(check_name(dataset))
        if record is None:
            known = [each.name for each in self._storage.catalog.list_datasets()]
            raise NotFoundError(f"There is no dataset {dataset!r}.", hint=did_you_mean(dataset, known), name=dataset)
        request = PoolRequest(name=name, label=label, plan=plan, hide=tuple(hide))
        open_reserve(self._storage, record, request, share=share, group_by=tuple(group_by), actor=self._author)
        return Reserve(self._storage, name, self._author)

    def get_reserve(self, name: str) -> Reserve:
        """Return a reserve by name.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        return Reserve(self._storage, get_reserve(self._storage, name).name, self._author)

    def list_reserves(self) -> list[Reserve]:
        """List the reserves by name."""
        return [Reserve(self._storage, each.name, self._author) for each in list_reserves(self._storage)]

    def _open(self, record: PoolRecord) -> Pool:
        return Pool(self._storage, record, self._author, steward=self._steward, follow=self._follow)

    def _version_of(self, part: SplitPart) -> VersionRecord:
        if not isinstance(part, SplitPart):
            raise UsageError(f"{type(part).__name__!r} is not a part of a split.", hint="Seal split.test.")
        version = self._storage.catalog.find_version_by_id(part.base_version_id)
        if version is None:
            raise NotFoundError(f"The version of {part.address} is gone.", hint="Split a version that is there.")
        return version

    def _read_expiry(self, expires: datetime | str | None) -> str | None:
        if expires is None:
            return None
        try:
            moment = parse_time(expires.isoformat() if isinstance(expires, datetime) else expires)
        except (TypeError, ValueError):
            moment = None
        if moment is None or moment <= self._storage.clock():
            raise UsageError(
                f"A pool cannot expire at {ascii(expires)[:60]}: that is no time to come.",
                hint='Write expires="2030-01-31", or a datetime.',
                code="invalid-expiry",
            )
        return format_time(moment)

    def get(self, name: str) -> Pool:
        """Return a pool by name.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        record = find_pool(self._storage, check_name(name, "pool"))
        if record is None:
            known = [pool.name for pool in self.list_pools()]
            raise NotFoundError(f"There is no pool {name!r}.", hint=did_you_mean(str(name), known), name=str(name))
        return self._open(record)

    def list_pools(self) -> list[Pool]:
        """List the pools by name."""
        return [self._open(record) for record in list_pools(self._storage)]
