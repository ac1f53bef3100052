"""The handles of runs: those that were, and the act of recording and repeating them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

from foldstore.datastore.catalog.records import NamedVersion, RunLink, RunRecord
from foldstore.datastore.catalog.runs import (
    INPUT,
    OUTPUT,
    RUNNING,
    find_runs,
    list_links,
    list_runs,
    read_versions,
)
from foldstore.datastore.free_text import check_text
from foldstore.datastore.lineage.openlineage import write_events
from foldstore.datastore.lineage.parameters import check_params
from foldstore.datastore.lineage.recording import FAILED, SUCCEEDED
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import NotFoundError, UsageError
from foldstore.names import check_label
from foldstore.open_run import OpenRun, Readers, ResumedRun, Surroundings, inputs_of, run_over
from foldstore.recorded_function import record_calls
from foldstore.types import parse_time

_P = ParamSpec("_P")
_R = TypeVar("_R")

STATUSES: Final = (RUNNING, SUCCEEDED, FAILED)
_MAX_MESSAGE: Final = 10_000
_RUN_ID = re.compile(r"[0-9a-f]{6,32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedVersion:
    """A version that a run read or wrote.

    Attributes
    ----------
    asked : str
        As it was written: ``flights@champion``; a saved view's address where the run went through one.
    address : str
        The version that it stood for: ``flights@3``.
    status : str
        The version's status now, or ``expired`` when retention has given its rows up.
    """

    asked: str
    address: str
    version_id: str
    status: str

    def to_dict(self) -> dict[str, str]:
        """Return plain data."""
        return {"asked": self.asked, "address": self.address, "version_id": self.version_id, "status": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An execution that read or wrote versions, as it is known now.

    Attributes
    ----------
    record : RunRecord
        Name, status, author, message, params, code, environment, error, times.
    inputs, outputs : tuple of UsedVersion
        In the order in which they were read and written.
    """

    record: RunRecord
    inputs: tuple[UsedVersion, ...]
    outputs: tuple[UsedVersion, ...]

    def __repr__(self) -> str:
        counts = f"{len(self.inputs)} inputs, {len(self.outputs)} outputs"
        return f"<Run {self.name} {self.id[:12]}: {self.status}, {counts}>"

    @property
    def id(self) -> str:
        """Its id; `store.runs.get` takes the first digits of it, too."""
        return self.record.id

    @property
    def name(self) -> str:
        """What kind of work it is."""
        return self.record.name

    @property
    def status(self) -> str:
        """``running``, ``succeeded`` or ``failed``; a run that was killed says ``running`` for ever."""
        return self.record.status

    @property
    def params(self) -> Mapping[str, Any]:
        """What it was asked to do; secrets are masked."""
        return self.record.params

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it has not ended."""
        if self.record.ended_at is None:
            return None
        return parse_time(self.record.ended_at) - parse_time(self.record.started_at)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        record = self.record
        return {
            "id": record.id,
            "name": record.name,
            "status": record.status,
            "author": record.author,
            "message": record.message,
            "params": dict(record.params),
            "code": dict(record.code),
            "environment": dict(record.environment),
            "error": dict(record.error) if record.error else None,
            "repeats": record.repeats_id,
            "started_at": record.started_at,
            "ended_at": record.ended_at,
            "inputs": [each.to_dict() for each in self.inputs],
            "outputs": [each.to_dict() for each in self.outputs],
        }


# The class `Runs` has a method of the name `list`.
Listing = list[Run]


class Runs:
    """The runs of a store.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> _ = store.create_dataset("flights").append({"delay": [3, 40]})
    >>> with store.run("train", params={"depth": 6}) as run:
    ...     rows = store.view("flights").to_arrow()
    >>> [(each.name, each.status, each.inputs[0].address) for each in store.runs.list()]
    [('train', 'succeeded', 'flights@1')]
    >>> _ = store.dataset("flights").append({"delay": [7]})
    >>> with store.runs.repeat(run.id) as again:
    ...     store.view("flights").count()
    2
    """

    def __init__(self, storage: Storage, author: str, readers: Readers) -> None:
        self._storage = storage
        self._author = author
        self._readers = readers

    def __repr__(self) -> str:
        return "<Runs: list(), get(id), repeat(id), record()>"

    def start(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        message: str = "",
        repeats: str | None = None,
        surroundings: Surroundings | None = None,
    ) -> OpenRun:
        """Return a run to enter; `Store.run` calls this.

        Parameters
        ----------
        name : str
            What kind of work it is; by the grammar of names.
        params : mapping, optional
            Plain data of at most 64 kB. Values whose names read like secrets are masked.
        message : str
            For people.
        repeats : str, optional
            The id of a run: the addresses that it read stand for the versions that they stood for then.
        surroundings : Surroundings, optional
            What the run is called and runs on, when its code runs elsewhere.

        Raises
        ------
        UsageError
            When parameters cannot be kept.
        NotFoundError
            When there is no run to repeat.
        """
        earlier = None if repeats is None else find_run(self._storage, repeats)
        given = earlier.params if params is None and earlier is not None else check_params(params or {})
        record = RunRecord(
            id=new_id() if surroundings is None else surroundings.id,
            name=check_label(name, "run"),
            status=RUNNING,
            author=self._author,
            message=check_message(message),
            params=given,
            code={},
            environment={},
            repeats_id=earlier.id if earlier else None,
            started_at="",
        )
        repeated = list_links(self._storage.catalog, runs=[earlier.id], role=INPUT) if earlier else []
        return OpenRun(self._storage, record, self._readers, repeated, surroundings)

    def resume(self, run_id: str) -> ResumedRun:
        """Return a run that goes on elsewhere, to enter: what the block looks up and commits is noted, too.

        Workers in other processes note what they do in the run of the one that began it. Leaving the block does not
        end the run.

        Raises
        ------
        UsageError
            With code ``run-over``, when it has ended.
        """
        record = find_run(self._storage, run_id)
        if record.status != RUNNING:
            raise run_over(f"The run {record.name!r} has ended: it {record.status}.")
        return ResumedRun(self._storage, record, self._readers)

    def repeat(self, run_id: str, *, params: Mapping[str, Any] | None = None, message: str = "") -> OpenRun:
        """Return a run to enter that reads the versions that an earlier one read.

        ``flights@champion`` stands for what it stood for then, wherever the alias points now. Addresses that
        the earlier run did not read are looked up as ever; commits build on the heads of today, and a branch
        that the run commits to moves again.
        """
        return self.start(find_run(self._storage, run_id).name, params=params, message=message, repeats=run_id)

    def record(self, name: str | None = None, *, message: str = "") -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Return a decorator: each call of the function is a run, its arguments are the parameters.

        Versions, views, parts of splits and training sets among the arguments are inputs. Other values that
        JSON has no form for are kept as the names of their types. Exceptions pass through.

        Parameters
        ----------
        name : str, optional
            The name of the runs; that of the function unless given.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("flights").append({"delay": [3, 40]})
        >>> @store.runs.record()
        ... def train(address, depth=6):
        ...     return store.view(address).count()
        >>> train("flights")
        2
        >>> store.runs.list("train")[0].params
        {'address': 'flights', 'depth': 6}
        """

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            return record_calls(function, self.start, inputs_of, name=name, message=message)

        return decorate

    def get(self, run_id: str) -> Run:
        """Return a run by its id, or by the first six digits of it or more.

        Raises
        ------
        NotFoundError
            When there is none, or several begin so.
        """
        return _with_links(self._storage, [find_run(self._storage, run_id)])[0]

    def to_openlineage(self, run_id: str) -> list[dict[str, Any]]:
        """Return a run as OpenLineage events: its start and, once it has ended, its end."""
        run = find_run(self._storage, run_id)
        links = list_links(self._storage.catalog, runs=[run.id])
        versions = read_versions(self._storage.catalog, sorted({link.version_id for link in links}))
        return write_events(run, links, versions, f"foldstore:{self._storage.catalog.ensure_fact('id', '')}")

    def list(self, name: str | None = None, *, status: str | None = None, limit: int | None = None) -> Listing:
        """List runs, newest first.

        Parameters
        ----------
        name : str, optional
            Those of a name.
        status : {'running', 'succeeded', 'failed'}, optional
            Those that stand so.
        limit : int, optional
            How many at most.
        """
        if name is not None:
            check_label(name, "run")
        if status is not None and status not in STATUSES:
            raise UsageError(f"{status!r} is not the status of a run.", hint=f"They are {', '.join(STATUSES)}.")
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise UsageError(f"limit={limit!r} is not a number of runs.", hint="Write limit=20.")
        return _with_links(self._storage, list_runs(self._storage.catalog, name=name, status=status, limit=limit))


def check_message(message: str) -> str:
    """Return what a run says for people, when it can be kept."""
    return check_text(message, "The message", _MAX_MESSAGE)


def find_run(storage: Storage, run_id: str) -> RunRecord:
    """Return the record of a run by its id or the first digits of it.

    Raises
    ------
    NotFoundError
        When there is none, or several begin so.
    """
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"{ascii(run_id)[:80]} is not the id of a run.", hint="Give 6 to 32 hexadecimal digits.")
    found = find_runs(storage.catalog, run_id)
    if len(found) != 1:
        several = "Several runs begin" if found else "No run begins"
        raise NotFoundError(f"{several} with {run_id!r}.", hint="store.runs.list() lists them.", run=run_id)
    return found[0]


def _with_links(storage: Storage, runs: list[RunRecord]) -> list[Run]:
    links = list_links(storage.catalog, runs=[run.id for run in runs])
    versions = read_versions(storage.catalog, sorted({link.version_id for link in links}))
    by_run: dict[str, list[RunLink]] = {}
    for link in links:
        by_run.setdefault(link.run_id, []).append(link)
    return [_make_run(run, by_run.get(run.id, []), versions) for run in runs]


def _make_run(record: RunRecord, links: Iterable[RunLink], versions: Mapping[str, NamedVersion]) -> Run:
    used: dict[str, list[UsedVersion]] = {INPUT: [], OUTPUT: []}
    for link in links:
        each = versions[link.version_id]
        status = "expired" if each.version.expired_at is not None else str(each.version.status)
        used[link.role].append(
            UsedVersion(asked=link.address, address=each.address, version_id=link.version_id, status=status)
        )
    return Run(record=record, inputs=tuple(used[INPUT]), outputs=tuple(used[OUTPUT]))
