"""The handles of test pools: sealed rows that answer pass or fail, and how many answers they have left."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.pool_copies import refuse_training_sets, refuse_what_tells
from foldstore.split import SplitPart
from foldstore.training_set import PROPERTY
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord, find_pool, list_pools
from foldstore.validation.pools.pool_rows import pool_features
from foldstore.validation.pools.pool_seal import PoolRequest, seal_pool
from foldstore.validation.pools.pool_status import PoolStatus, pool_status
from foldstore.validation.pools.submission import Verdict, evaluate

_LONGEST_NAME = 1_000


class Pool:
    """A sealed test pool: everybody may ask it, nobody may look into it."""

    def __init__(self, storage: Storage, record: PoolRecord, author: str) -> None:
        self._storage = storage
        self._record = record
        self._author = author

    def __repr__(self) -> str:
        status = self.status()
        return f"<Pool {self.name!r}: {self._record.num_rows:,} rows, {status.steps_left} answers left>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def record(self) -> PoolRecord:
        """What is known of the pool: plan, label, hidden columns, version."""
        return self._record

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that read as null for its rows, the label among them."""
        return self._record.hidden

    def features(self) -> pa.Table:
        """Return what a model needs to predict: the rows without hidden columns, in a secret order.

        ``pool_row`` tells the rows apart: predictions are a table with it (or with the key columns) and
        ``prediction``, or an array in this order.
        """
        return pool_features(self._storage, self._record)

    def evaluate(self, predictions: Any, *, model: str = "") -> Verdict:
        """Ask whether a model fulfils the pool's condition; the answer is paid for before it is computed.

        Parameters
        ----------
        predictions : object
            A table or dict with ``prediction`` and ``pool_row`` or the key, or an array in the order of `features`.
        model : str
            What the model is, for the ledger.

        Returns
        -------
        Verdict
            ``passed``, and nothing else of the data. The same predictions again are free.

        Raises
        ------
        UsageError
            When the predictions do not fit the pool; no label was read and nothing is charged.
        RefusedError
            When no answer is left.
        """
        if not isinstance(model, str) or len(model) > _LONGEST_NAME or not _is_text(model):
            raise UsageError(f"model is not a text of at most {_LONGEST_NAME} characters.", hint='E.g. "git:abc123".')
        return evaluate(self._storage, self._record, predictions, model=model, actor=self._author)

    def status(self) -> PoolStatus:
        """Return how many answers and passes are left; never an accuracy."""
        return pool_status(self._storage, self._record)


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

    def __init__(self, storage: Storage, author: str, forget_copies: Callable[[str], None]) -> None:
        self._storage = storage
        self._author = author
        self._forget_copies = forget_copies

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

        Raises
        ------
        RefusedError
            When the part is too small for the plan (the hint says what it could support), its rows are in
            another pool, or a training set, a split or a saved view tells what would be hidden
            (code ``sealed-elsewhere``).
        """
        if not isinstance(part, SplitPart):
            raise UsageError(f"{type(part).__name__!r} is not a part of a split.", hint="Seal split.test.")
        if not isinstance(plan, PoolPlan):
            raise UsageError(f"{type(plan).__name__!r} is not a plan.", hint="foldstore.plan_pool(…) makes one.")
        if isinstance(hide, str):
            raise UsageError(f"hide={hide!r} is text, not a list of columns.", hint=f"Write hide=[{hide!r}].")
        if not isinstance(outcomes_feed_features, bool):
            raise UsageError("outcomes_feed_features is True or False.", hint="It is False unless given.")
        version = self._storage.catalog.find_version_by_id(part.base_version_id)
        refuse_training_sets(self._storage, part, {label, *hide})
        if version is not None and isinstance(described := version.properties.get(PROPERTY), dict):
            raise RefusedError(
                f"{part.address} was made from {described['labels']}: there its labels would stay readable.",
                hint=f"Seal {described['labels']}.test.",
                code="sealed-elsewhere",
            )
        # Before and after: a crash in between leaves no copy, and what is laid out meanwhile is found.
        self._forget_copies(part.dataset)
        request = PoolRequest(
            name=name,
            label=label,
            plan=plan,
            hide=tuple(hide),
            baseline=baseline,
            outcomes_feed_features=outcomes_feed_features,
        )
        record = seal_pool(
            self._storage,
            part.record,
            dict(part.masks),
            request,
            version=version,
            actor=self._author,
            examine=lambda hidden, masks: refuse_what_tells(self._storage, part, hidden, masks),
        )
        self._forget_copies(part.dataset)
        return Pool(self._storage, record, self._author)

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
        return Pool(self._storage, record, self._author)

    def list_pools(self) -> list[Pool]:
        """List the pools by name."""
        return [Pool(self._storage, record, self._author) for record in list_pools(self._storage)]


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:  # half a character
        return False
