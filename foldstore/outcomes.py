"""Features from sealed outcomes: queries that read them inside the store, and get aggregates alone."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.datastore.opened_rows import open_rows, sealed_mask
from foldstore.datastore.storage import Storage
from foldstore.names import parse_address
from foldstore.validation.pools.pool import PoolRecord, list_pools
from foldstore.version import Version
from foldstore.views.features.outcomes import run_outcome_aggregates
from foldstore.views.sql import run_sql
from foldstore.views.view import View


class OutcomeReader:
    """Answers the queries of feature views; the pools that let outcomes feed features are open to them.

    Parameters
    ----------
    version, view : callable
        The version, and the view, at an address.
    """

    def __init__(self, storage: Storage, version: Callable[[str], Version], view: Callable[[str], View]) -> None:
        self._storage = storage
        self._version = version
        self._view = view

    @property
    def _engine(self) -> Engine:
        return self._storage.engine

    def ask(self, query: str, pin: Callable[[str], str], event_time: str) -> pa.RecordBatchReader:
        """Stream the rows of a query whose names are pinned first; `event_time` says when each is asked for.

        Raises
        ------
        InvalidQueryError
            With code ``outcome-query-refused``, when it would show more of sealed outcomes than aggregates, or
            one before its time.
        """
        pinned = {name: pin(name) for name in self._engine.parse_query(query).tables}
        open_pools = {name: self._feeding(address) for name, address in pinned.items()}
        if not any(open_pools.values()):
            return run_sql(query, None, lambda name: self._view(pinned[name]), engine=self._engine).to_reader()
        return run_outcome_aggregates(
            query,
            lambda name: self._open(pinned[name], open_pools[name]),
            lambda name: {column for pool in open_pools[name] for column in pool.hidden},
            engine=self._engine,
            event_time=event_time,
            outcome_time=lambda name: self._version(pinned[name]).dataset.event_time,
            sealed_rows=lambda name: self._mark(pinned[name], open_pools[name]),
        ).to_reader()

    def _feeding(self, address: str) -> list[PoolRecord]:
        name = parse_address(address).name
        found = list_pools(self._storage)
        return [pool for pool in found if pool.dataset.name == name and pool.outcomes_feed_features]

    def _open(self, address: str, pools: list[PoolRecord]) -> pa.Table:
        if not pools:
            return self._view(address).to_arrow()
        rows = self._version(address).rows
        return open_rows(self._storage, rows, rows.arrow_schema.names, [pool.id for pool in pools])

    def _mark(self, address: str, pools: list[PoolRecord]) -> pa.Array | None:
        if not pools:
            return None
        rows = self._version(address).rows
        masks = [sealed_mask(self._storage, rows, pool.id) for pool in pools]
        return pa.array(np.logical_or.reduce(masks))
