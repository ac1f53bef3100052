"""The handles of a remote store's test pools: sealed by a steward, asked, retired; labels stay where the store is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import CODE, SEAM, RemoteHandle, refuse
from foldstore.remote.server import Server, rows_request, spooled
from foldstore.remote.split import RemotePart
from foldstore.types import format_time
from foldstore.validation.pools.account import DrawnRows
from foldstore.validation.pools.meter import Meter
from foldstore.validation.pools.metrics import Metric
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import read_plan
from foldstore.validation.pools.pool_status import PoolState, PoolStatus
from foldstore.validation.pools.predictions import PREDICTION, read_column, read_table
from foldstore.validation.pools.reserve import ReserveStatus
from foldstore.validation.pools.retirement import ModelReport, RetirementReport
from foldstore.validation.pools.submission import Verdict

_POOLS = path_of("test-pools")
_STATUS = ("name", "num_rows", "steps_used", "steps_left", "passes_left", "pending", "baseline", "draws", "expires_at")
_RESERVES = path_of("reserves")
_QUESTIONS = ("condition", "reliability", "steps", "reuse", "method", "mode", "beta", "lifetime", "prevalence")
_POOL_ROW = "pool_row"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What is known of a pool, as far as a server tells it; the names are those of the local record."""

    name: str
    dataset: str
    label: str
    hidden: tuple[str, ...]
    num_rows: int
    plan: PoolPlan
    created_at: str
    expires_at: str | None


class RemotePools(RemoteHandle):
    """The test pools of a store on a server."""

    NOUN = "pools"

    def __init__(self, server: Server) -> None:
        self._server = server

    def __repr__(self) -> str:
        return f"<Pools: {', '.join(pool.name for pool in self.list_pools()) or 'none sealed'}>"

    def list_pools(self) -> list["RemotePool"]:
        """List the pools by name."""
        return [RemotePool(self._server, each) for each in self._server.connection.items(_POOLS)]

    def get(self, name: str) -> "RemotePool":
        """Return a pool by name."""
        return RemotePool(self._server, self._server.get(path_of("test-pools", name)))

    def seal(
        self,
        name: str,
        part: RemotePart,
        *,
        label: str,
        plan: PoolPlan,
        hide: Sequence[str] = (),
        baseline: Any = None,
        outcomes_feed_features: bool = False,
        expires: datetime | str | None = None,
    ) -> "RemotePool":
        """Let the server seal the rows of a part as a test pool; see `foldstore.pools.Pools.seal`. A steward may."""
        body: dict[str, Any] = {
            "name": name,
            "part": _address_of(part),
            "label": label,
            "plan": _questions_of(plan),
            "hide": list(hide),
        }
        if outcomes_feed_features:
            body["outcomes_feed_features"] = outcomes_feed_features
        return RemotePool(self._server, self._server.change(_POOLS, {**body, **_options(baseline, expires)}))

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
    ) -> "RemoteReserve":
        """Put a share of the rows that come from now on aside for the next pool; see `Pools.reserve`."""
        body = {"name": name, "dataset": dataset, "label": label, "plan": _questions_of(plan), "share": share}
        self._server.change(_RESERVES, {**body, "hide": list(hide), "group_by": list(group_by)})
        return RemoteReserve(self._server, name)

    def get_reserve(self, name: str) -> "RemoteReserve":
        """Return a reserve by name."""
        self._server.get(path_of("reserves", name))
        return RemoteReserve(self._server, name)

    def list_reserves(self) -> list["RemoteReserve"]:
        """List the reserves by name."""
        return [RemoteReserve(self._server, each["name"]) for each in self._server.get(_RESERVES)["items"]]


class RemoteReserve:
    """Rows on a server that are put aside for the next pool; they fill as versions are committed.

    Parameters
    ----------
    server : Server
        Where it is.
    name : str
        Its name.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.name = name

    def __repr__(self) -> str:
        status = self.status()
        return f"<Reserve {self.name!r}: {status.rows:,} of {status.needed:,} rows>"

    def status(self) -> ReserveStatus:
        """Return how many rows it has, how many the plan needs, and whether a pool was made of it."""
        found = self._server.get(path_of("reserves", self.name))
        return ReserveStatus(**{each.name: found[each.name] for each in fields(ReserveStatus)})

    def features(self) -> pa.Table:
        """Return the visible columns of its rows: what a baseline for the next pool needs to predict."""
        return self._server.table(rows_request(f"{path_of('reserves', self.name)}/features"))


class RemotePool(RemoteHandle):
    """A sealed test pool on a server; its verbs are those of `foldstore.pool.Pool`."""

    NOUN = "pool"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {"rows": SEAM}

    def __init__(self, server: Server, data: Mapping[str, Any]) -> None:
        self._server = server
        self._data = data

    def __repr__(self) -> str:
        status = self.status()
        left = f"{status.steps_left} answers left" if status.state.answers else str(status.state)
        return f"<Pool {self.name!r}: {status.num_rows:,} rows, {left}>"

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._data["name"])

    @cached_property
    def record(self) -> PoolFacts:
        """What is known of the pool: plan, label, hidden columns."""
        data = self._data
        plain = {name: data[name] for name in ("name", "dataset", "label", "num_rows", "created_at", "expires_at")}
        return PoolFacts(hidden=tuple(data["hidden"]), plan=read_plan(data["plan"]), **plain)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that read as null for its rows, the label among them."""
        return self.record.hidden

    def status(self) -> PoolStatus:
        """Return where the pool stands, and how many answers and passes are left; never an accuracy."""
        data = self._server.get(self._path())
        plain = {name: data[name] for name in _STATUS}
        return PoolStatus(state=PoolState(data["state"]), plan=read_plan(data["plan"]), **plain)

    def features(self, *, draw: int | None = None) -> pa.Table:
        """Return what a model needs to predict: the rows without hidden columns, in a secret order."""
        return self._server.table(rows_request(self._path("features"), draw=draw))

    def rows_to_label(self, predictions: Any, *, draw: int | None = None) -> pa.Table:
        """Return which rows' labels an answer for these predictions would rest on; nothing is read or charged."""
        table = self._with_rows(predictions, draw)
        with spooled(table.schema, iter(table.to_batches())) as file:
            return self._server.table(rows_request(self._path(verb="rows-to-label"), file=file, draw=draw))

    def evaluate(self, predictions: Any, *, model: str = "", draw: int | None = None) -> Verdict:
        """Ask whether a model fulfils the pool's condition; see `foldstore.pool.Pool.evaluate`.

        It is sent once. When nobody knows whether it arrived, ask again: the same predictions are charged once.
        """
        table = self._with_rows(predictions, draw)
        asked = {"model": _text(model, "model", "git:abc123") or None, "draw": draw}
        found = self._server.send(self._path(verb="evaluate"), table, asked)
        return Verdict(passed=found["passed"], charged=found["charged"])

    def draw(self, rows: int, *, seed: int | None = None) -> DrawnRows:
        """Draw some of the pool's rows at random, by a seed that its ledger keeps."""
        body = {"rows": rows} if seed is None else {"rows": rows, "seed": seed}
        found = self._server.change(self._path("draws"), body)
        said = {"actor": found["actor"], "drawn_at": found["drawn_at"]}
        return DrawnRows(number=found["draw"], rows=found["rows"], seed=found["seed"], **said)

    def promote(self, candidate: Any) -> str:
        """Let a model that passed be the baseline of later questions, by what it was called when it was asked."""
        if not isinstance(candidate, str):
            raise UsageError(
                "Over the network a model is promoted by its name.", hint='promote("git:abc123")', code="local-only"
            )
        return str(self._server.change(self._path(verb="promote"), {"model": candidate})["baseline"])

    def retire(self, *, reason: str = "", confidence: float = 0.95) -> RetirementReport:
        """End the pool's answers for good; its labels become validation data, and its figures are told."""
        body = {"reason": _text(reason, "reason", "the season is over"), "confidence": confidence}
        return _read_report(self._server.change(self._path(verb="retire"), body))

    def report(self) -> RetirementReport:
        """Return the report of a retired pool: all answers and charges, all figures with their intervals."""
        return _read_report(self._server.get(self._path("report")))

    def rotate(
        self,
        name: str,
        part: RemotePart,
        *,
        baseline: Any = None,
        accept_drift: bool = False,
        expires: datetime | str | None = None,
        confidence: float = 0.95,
    ) -> "RemotePool":
        """Seal fresh rows as the next pool, and retire this one; see `foldstore.pool.Pool.rotate`."""
        body: dict[str, Any] = {"name": name, "part": _address_of(part), "confidence": confidence}
        if accept_drift:
            body["accept_drift"] = accept_drift
        body |= _options(baseline, expires)
        return RemotePool(self._server, self._server.change(self._path(verb="rotate"), body))

    def _with_rows(self, predictions: Any, draw: int | None) -> pa.Table:
        """Return predictions as a table; an array, in the order of `features`, gets the ids of its rows."""
        table = read_table(predictions, "predictions")
        if table is not None:
            return table
        values = read_column(predictions)
        rows = self.features(draw=draw)[_POOL_ROW]
        if len(rows) != len(values):  # the pool says so, and charges nothing
            return pa.table({PREDICTION: values})
        return pa.table({_POOL_ROW: rows, PREDICTION: values})

    def _path(self, *parts: str, verb: str = "") -> str:
        return path_of("test-pools", self.name, *parts, verb=verb)


def _text(text: object, what: str, example: str) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{what}={ascii(text)[:60]} is no text.", hint=f'Write {what}="{example}".')
    return text


def _read_report(data: Mapping[str, Any]) -> RetirementReport:
    models = tuple(
        ModelReport(**{**each, "metrics": tuple(Metric(**metric) for metric in each["metrics"])})
        for each in data["models"]
    )
    read = {"models": models, "promotions": tuple(data["promotions"]), "state": PoolState(data["state"])}
    return RetirementReport(**{**data, **read})


def _address_of(part: RemotePart) -> str:
    if not isinstance(part, RemotePart):
        raise UsageError(f"{type(part).__name__!r} is not a part of a split.", hint="Give split.test.")
    return part.address


def _options(baseline: Any, expires: datetime | str | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if baseline is not None:
        table = read_table(baseline, "predictions")
        body["baseline"] = read_column(baseline).to_pylist() if table is None else table.to_pydict()
    if expires is not None:
        body["expires"] = format_time(expires) if isinstance(expires, datetime) else expires
    return body


def _questions_of(plan: PoolPlan) -> dict[str, Any]:
    """Return what a plan was made of: the server works out anew what follows from it."""
    if not isinstance(plan, PoolPlan):
        raise UsageError(f"{type(plan).__name__!r} is not a plan.", hint="foldstore.plan_pool(…) makes one.")
    if isinstance(plan, Meter):
        return {"condition": str(plan.condition), "uses": plan.steps}
    said = plan.to_dict()
    if said["scores"]:
        refuse("A plan with scores of one's own", CODE)
    return {name: said[name] for name in _QUESTIONS if said[name] is not None}
