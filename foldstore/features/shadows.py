"""Shadows: a candidate is asked what the live version is asked, and the differences are known before the switch."""

import json
import secrets
from collections.abc import Callable

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.features.definitions import Definitions
from foldstore.features.shadow_report import Shadow, ShadowReport
from foldstore.features.shadow_runner import SHADOW_KIND, ShadowRunner, stream_of
from foldstore.features.shadow_tally import ShadowTally
from foldstore.types import format_time

_MOST_SEED = 2**63


class Shadows:
    """The shadows of a store's feature services: begun, reported, ended.

    The live answer is what it would be without: the candidate is asked afterwards, in a thread of its own; what it does
    not answer is counted, and where it does not keep up, requests are left out. Which requests are compared depends on
    their entities and the seed alone. What was found is committed every few seconds, and when the store
    is closed or the process ends.

    Examples
    --------
    >>> import datetime as dt
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> day = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    >>> _ = store.create_dataset("rides").append({"driver": [1, 2], "ts": [day, day], "km": [10.0, 20.0]})
    >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
    >>> for query in ("SELECT * FROM rides", "SELECT driver, ts, km * 1.1 AS km FROM rides WHERE driver = 1"):
    ...     by = {"entity": driver, "source": foldstore.sql(query), "event_time": "ts"}
    ...     view = foldstore.FeatureView("rides", features=["km"], **by)
    ...     service = foldstore.FeatureService("model", [view])
    ...     _ = store.features.materialize(store.features.apply(service, allow_breaking=True))
    >>> store.features.shadows.start("model@1", "model@2", share=1.0, seed=7).candidate
    'model@2'
    >>> store.features.get_online_features("model@1", [{"driver": 1}, {"driver": 2}]).to_dict()["km"]
    [10.0, 20.0]
    >>> print(store.features.shadows.report("model@1"))
    model@2 beside model@1, 100.00% of the requests, seed 7, running
      1 requests with 2 entities compared: NOT equal
      km: 2 of 2 differ; by +1 in the mean, 1 absolute, 1 at most; 1 x PRESENT > NOT_FOUND
    """

    def __init__(
        self,
        storage: Storage,
        author: str,
        definitions: Definitions,
        is_served: Callable[[str], bool],
        runner: ShadowRunner,
    ) -> None:
        self._storage = storage
        self._author = author
        self._definitions = definitions
        self._is_served = is_served
        self._registry = Registry(storage.catalog, SHADOW_KIND)
        self._runner = runner

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.candidate} beside {each.live}" for each in self.list() if each.running)
        return f"<Shadows: {shown or 'none running'}>"

    def start(self, live: str, candidate: str, *, share: float = 0.1, seed: int | None = None) -> Shadow:
        """Ask a candidate too, from now on and in every process, what a version is asked.

        Parameters
        ----------
        live : str
            The version that answers: ``arrival@2``, or an alias, which stands for the version that it points at now.
        candidate : str
            Another version of the same service.
        share : float
            Which share of the requests.
        seed : int, optional
            Which ones, of those without an id; drawn and recorded unless given. Of requests with an id those are
            chosen that a log of this share keeps.

        Raises
        ------
        RefusedError
            With the code ``not-materialized``, when one of the two cannot be looked up.
        AlreadyExistsError
            When the version has a shadow that runs.
        """
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise UsageError(f"{share!r} is no share of requests.", hint="Write a number above 0, up to 1 for all.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _MOST_SEED):
            raise UsageError(f"{seed!r} is no seed.", hint="Write a whole number from 0 on.")
        first, other = self._resolve(live), self._resolve(candidate)
        if first.partition("@")[0] != other.partition("@")[0] or first == other:
            raise UsageError(f"{other} is no other version of the service of {first}.", hint="Name two of one service.")
        for address in (first, other):
            if not self._is_served(address):
                raise RefusedError(
                    f"{address} is not materialized.",
                    hint=f"Lay it out first: foldstore materialize {address}.",
                    code="not-materialized",
                    service=address,
                )
        known = self._find(first)
        if known is not None and known.running:
            raise AlreadyExistsError(
                f"{known.candidate} is a shadow of {first} already.", hint=f"foldstore features shadow stop {first}"
            )
        drawn = secrets.randbits(32) if seed is None else seed
        run = 1 if known is None else known.run + 1
        shadow = Shadow(live=first, candidate=other, share=float(share), seed=drawn, run=run, running=True)
        self._put(shadow)
        return shadow

    def report(self, live: str) -> ShadowReport:
        """Return what the shadow of a version found, the last one where there were several.

        What other processes have not committed yet is not in it: it is a few seconds old at most while requests come.

        Raises
        ------
        NotFoundError
            When the version never had one.
        """
        shadow = self._get(self._resolve(live))
        if not self._storage.catalog.read_only:
            self._runner.flush()
        total = ShadowTally()
        for entry in self._storage.journal.list_entries(stream_of(shadow.live)):
            body = json.loads(entry.body)
            if body["run"] == shadow.run:
                total.add(ShadowTally.from_dict(body["tally"]))
        return ShadowReport(shadow=shadow, tally=total)

    def stop(self, live: str) -> ShadowReport:
        """End the shadow of a version, and return what it found.

        Raises
        ------
        NotFoundError
            When the version has none that runs.
        """
        shadow = self._get(self._resolve(live))
        if not shadow.running:
            raise NotFoundError(f"The shadow of {shadow.live} was stopped already.", hint="Its report is still there.")
        self._put(Shadow(**{**shadow.to_dict(), "running": False}))
        return self.report(shadow.live)

    def list(self) -> tuple[Shadow, ...]:
        """List the shadows, of each version the last one."""
        names = self._registry.list_names()
        return tuple(shadow for name in names if (shadow := self._find(name)) is not None)

    def _resolve(self, service: str) -> str:
        name, _, number = self._definitions.get(service)
        return f"{name}@{number}"

    def _find(self, live: str) -> Shadow | None:
        document = self._registry.find(live)
        return None if document is None else Shadow.from_dict(document.body)

    def _get(self, live: str) -> Shadow:
        shadow = self._find(live)
        if shadow is None:
            raise NotFoundError(
                f"{live} has no shadow.", hint=did_you_mean(live, [each.live for each in self.list()]), service=live
            )
        return shadow

    def _put(self, shadow: Shadow) -> None:
        now = format_time(self._storage.clock())
        self._registry.put(shadow.live, shadow.to_dict(), author=self._author, created_at=now)
