"""The handle of a test pool: sealed rows that answer pass or fail, until they retire and say everything."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, UsageError
from foldstore.reserve import Reserve
from foldstore.split import SplitPart
from foldstore.validation.pools.account import DrawnRows
from foldstore.validation.pools.drawing import draw_rows
from foldstore.validation.pools.labelling import pool_rows_to_label
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import pool_features, released_rows
from foldstore.validation.pools.pool_status import PoolStatus, pool_status
from foldstore.validation.pools.promotion import promote
from foldstore.validation.pools.retirement import RetirementReport, report_pool, retire_pool
from foldstore.validation.pools.submission import Verdict, evaluate

_LONGEST_TEXT = 1_000


class Pool:
    """A sealed test pool: everybody may ask it, nobody may look into it."""

    def __init__(
        self,
        storage: Storage,
        record: PoolRecord,
        author: str,
        *,
        steward: bool,
        follow: Callable[..., PoolRecord],
    ) -> None:
        self._storage = storage
        self._record = record
        self._author = author
        self._steward = steward
        self._follow = follow

    def __repr__(self) -> str:
        status = self.status()
        left = f"{status.steps_left} answers left" if status.state.answers else str(status.state)
        return f"<Pool {self.name!r}: {self._record.num_rows:,} rows, {left}>"

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

    def features(self, *, draw: int | None = None) -> pa.Table:
        """Return what a model needs to predict: the rows without hidden columns, in a secret order.

        ``pool_row`` tells the rows apart: predictions are a table with it (or with the key columns) and
        ``prediction``, or an array in this order.

        Parameters
        ----------
        draw : int, optional
            The number of a draw: its rows alone.
        """
        return pool_features(self._storage, self._record, draw)

    def rows_to_label(self, predictions: Any, *, draw: int | None = None) -> pa.Table:
        """Return which rows' labels an answer for these predictions would rest on; nothing is read or charged.

        Of ``n - o``, for one, only rows where the predictions differ from the baseline's. `foldstore.rows_to_label`
        says the same of rows that are in no pool yet, before anybody labels them.

        Returns
        -------
        Table
            ``pool_row``, and the key columns where there are any.
        """
        return pool_rows_to_label(self._storage, self._record, predictions, draw)

    def evaluate(self, predictions: Any, *, model: str = "", draw: int | None = None) -> Verdict:
        """Ask whether a model fulfils the pool's condition; the answer is paid for before it is computed.

        Parameters
        ----------
        predictions : object
            A table or dict with ``prediction`` and ``pool_row`` or the key, or an array in the order of `features`.
        model : str
            What the model is, for the ledger.
        draw : int, optional
            The number of a draw: its rows are asked, and the predictions are for them.

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
        _check_text(model, "model", "git:abc123")
        return evaluate(self._storage, self._record, predictions, model=model, actor=self._author, draw=draw)

    def draw(self, rows: int, *, seed: int | None = None) -> DrawnRows:
        """Draw some of the pool's rows at random, by a seed that its ledger keeps; asking them is charged as always.

        Parameters
        ----------
        rows : int
            How many; from what the plan needs to all.
        seed : int, optional
            Which rows; a random seed unless given.

        Returns
        -------
        DrawnRows
            Its ``number`` is what `features` and `evaluate` take as ``draw=``.

        Raises
        ------
        RefusedError
            For fewer rows than the plan needs, and when no answer is left.
        """
        return draw_rows(self._storage, self._record, rows, seed=seed, actor=self._author)

    def status(self) -> PoolStatus:
        """Return where the pool stands, and how many answers and passes are left; never an accuracy."""
        return pool_status(self._storage, self._record)

    def promote(self, candidate: Any) -> str:
        """Let a model that passed be the baseline of later questions; see `foldstore.validation.pools.promotion`.

        Parameters
        ----------
        candidate : str or predictions
            What it was called when it was asked, or its predictions.

        Returns
        -------
        str
            The model's name.

        Raises
        ------
        RefusedError
            With code ``not-passed``.
        """
        return promote(self._storage, self._record, candidate, actor=self._author)

    def retire(self, *, reason: str = "", confidence: float = 0.95) -> RetirementReport:
        """End the pool's answers for good; its labels become validation data, and its figures are told.

        Parameters
        ----------
        reason : str
            Why, for the ledger.
        confidence : float
            The probability that all intervals of the report hold, whatever was asked before.

        Raises
        ------
        RefusedError
            With code ``steward-only``, unless the store was opened with ``role="steward"``.
        """
        self._require_steward("retire a pool")
        _check_text(reason, "reason", "the season is over")
        return retire_pool(self._storage, self._record, actor=self._author, reason=reason, confidence=confidence)

    def report(self) -> RetirementReport:
        """Return the report of a retired pool: all answers and charges, all figures with their intervals.

        Raises
        ------
        RefusedError
            With code ``steward-only``, or ``pool-in-use`` while the pool answers.
        """
        self._require_steward("read a pool's report")
        return report_pool(self._storage, self._record)

    def rows(self) -> pa.Table:
        """Return the rows of a retired pool with all their columns, as they were before sealing: validation data.

        Versions keep reading null there. Append the table to a dataset of its own to share it.

        Raises
        ------
        RefusedError
            With code ``steward-only``, or ``pool-in-use`` while the pool answers.
        """
        self._require_steward("open a pool's labels")
        return released_rows(self._storage, self._record)

    def rotate(
        self,
        name: str,
        part: SplitPart | Reserve,
        *,
        baseline: Any = None,
        accept_drift: bool = False,
        expires: datetime | str | None = None,
        confidence: float = 0.95,
    ) -> "Pool":
        """Seal fresh rows as the next pool, and retire this one.

        The next pool has the same label, hidden columns, condition, reliability and reuse; one of a line with
        ``lifetime=`` is planned as the next of the line. Nothing is sealed unless the fresh rows have the same columns,
        are distributed alike (the label among them), are enough for the plan, and none was in a pool before. When a
        crash comes in between, rotate again: what was sealed is found.

        Parameters
        ----------
        name : str
            The next pool's name.
        part : SplitPart or Reserve
            Its rows: ``split.test`` of a newer version; or a reserve, which is used up by it.
        baseline : object, optional
            The predictions of the model to compare with, for the fresh rows.
        accept_drift : bool
            Rotate though columns are distributed otherwise.
        expires : datetime or str, optional
            When the next pool stops answering.
        confidence : float
            As in `retire`.

        Returns
        -------
        Pool
            The next one; `report` of this one tells what was withheld.

        Raises
        ------
        UsageError
            With code ``pool-columns-differ``, or as in sealing.
        RefusedError
            With code ``pool-drifted``, ``pool-overlap``, ``pool-too-small``, ``steward-only``.
        """
        self._require_steward("rotate a pool")
        record = self._follow(self._record, name, part, baseline=baseline, accept_drift=accept_drift, expires=expires)
        retire_pool(
            self._storage,
            self._record,
            actor=self._author,
            reason=f"rotated to {name}",
            successor=record.id,
            confidence=confidence,
        )
        return Pool(self._storage, record, self._author, steward=self._steward, follow=self._follow)

    def _require_steward(self, act: str) -> None:
        if not self._steward:
            raise RefusedError(
                f"Only a steward may {act}.",
                hint="Open the store as one: foldstore.connect(path, role='steward'). It is noted in the store.",
                code="steward-only",
            )


def _check_text(text: object, what: str, example: str) -> None:
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not _is_text(text):
        raise UsageError(f"{what} is not a text of at most {_LONGEST_TEXT} characters.", hint=f'E.g. "{example}".')


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:  # half a character
        return False
