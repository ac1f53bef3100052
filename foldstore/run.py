"""The handles of runs: one that goes on, those that were, and the act of recording and repeating them."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from foldstore.datastore.catalog.records import NamedVersion, RunLink, RunRecord
from foldstore.datastore.catalog.runs import (
    INPUT,
    OUTPUT,
    RUNNING,
    find_runs,
    insert_run,
    list_links,
    list_runs,
    read_versions,
)
from foldstore.datastore.free_text import check_text, clean_text
from foldstore.datastore.lineage.openlineage import write_events
from foldstore.datastore.lineage.parameters import check_params, describe_arguments, mask_text
from foldstore.datastore.lineage.recording import FAILED, SUCCEEDED, Recording, find_recording
from foldstore.datastore.lineage.surroundings import describe_code, describe_environment
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import FoldstoreError, NotFoundError, UsageError
from foldstore.names import check_label
from foldstore.split import SplitPart
from foldstore.training_set import TrainingSet
from foldstore.types import format_time, parse_time
from foldstore.version import Version
from foldstore.views.view import View

_P = ParamSpec("_P")
_R = TypeVar("_R")

STATUSES: Final = (RUNNING, SUCCEEDED, FAILED)
_MAX_MESSAGE: Final = 10_000
_MAX_ERROR: Final = 1_000
_RUN_ID = re.compile(r"[0-9a-f]{6,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Readers:
    """How a run reads; `foldstore.store` supplies it."""

    version: Callable[[str], Version]
    view: Callable[[str], View]
    training_set: Callable[[str], TrainingSet]


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


class OpenRun:
    """A run that goes on: a context manager.

    What the block looks up through the store (`Store.version`, `Store.view`, `Store.sql`, `Dataset.latest` ...)
    becomes an input, what it commits an output. Threads that the block starts are not followed; they read by
    the methods here.
    """

    def __init__(self, storage: Storage, record: RunRecord, readers: Readers, repeated: Iterable[RunLink]) -> None:
        self._storage = storage
        self._record = record
        self._readers = readers
        self._repeated = tuple(repeated)
        self._recording: Recording | None = None

    def __repr__(self) -> str:
        return f"<OpenRun {self._record.name} {self._record.id[:12]}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._record.id

    @property
    def name(self) -> str:
        """What kind of work it is."""
        return self._record.name

    @property
    def params(self) -> Mapping[str, Any]:
        """What it was asked to do; secrets are masked."""
        return self._record.params

    def __enter__(self) -> Self:
        if self._recording is not None:
            raise UsageError("A run goes on once.", hint="store.runs.repeat(run.id) reads the same inputs again.")
        current = find_recording(self._storage)
        if current is not None:
            raise UsageError(
                f"The run {current.run.name!r} goes on already: runs are not nested.",
                hint="End it first; a step of its own is a run of its own, after this one.",
                code="run-in-run",
                run=current.run.id,
            )
        self._record = replace(
            self._record,
            started_at=format_time(self._storage.clock()),
            code=describe_code(),
            environment=describe_environment(),
        )
        insert_run(self._storage.catalog, self._record)
        self._recording = Recording(self._storage, self._record, self._repeated)
        self._recording.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        recording = self._going_on()
        recording.leave()
        if error is None or _is_success(error):
            recording.end(SUCCEEDED)
            return
        try:
            recording.end(FAILED, _describe_error(error))
        except FoldstoreError as failure:  # the block's own error is the one to show
            error.add_note(f"Foldstore could not write that the run {self.id} failed: {failure.message}")

    def version(self, address: str) -> Version:
        """Return a version, and note it as an input."""
        with self._going_on().entered():
            return self._readers.version(address)

    def view(self, address: str) -> View:
        """Return a view of a version, of a part of a split, or a saved one, and note it as an input."""
        with self._going_on().entered():
            return self._readers.view(address)

    def training_set(self, address: str) -> TrainingSet:
        """Return a training set, and note it as an input."""
        with self._going_on().entered():
            return self._readers.training_set(address)

    def use(self, what: "Version | View | SplitPart | TrainingSet | str") -> None:
        """Note as an input what was looked up before the run, or an address.

        Raises
        ------
        UsageError
            When it is none of these.
        """
        if isinstance(what, str):
            self.view(what)
            return
        pairs = _inputs_of(what)
        if pairs is None:
            raise UsageError(
                f"{type(what).__name__!r} is not an input.", hint="Give a version, a view, a part, or an address."
            )
        for version_id, address in pairs:
            self._going_on().note_input(version_id, address)

    def _going_on(self) -> Recording:
        if self._recording is None or self._recording.ended:
            raise UsageError(
                "The run does not go on.",
                hint="Use it inside its block: with store.run(...) as run: ...",
                code="run-over",
            )
        return self._recording


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
            id=new_id(),
            name=check_label(name, "run"),
            status=RUNNING,
            author=self._author,
            message=check_text(message, "The message", _MAX_MESSAGE),
            params=given,
            code={},
            environment={},
            repeats_id=earlier.id if earlier else None,
            started_at="",
        )
        repeated = list_links(self._storage.catalog, runs=[earlier.id], role=INPUT) if earlier else []
        return OpenRun(self._storage, record, self._readers, repeated)

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
            _check_recordable(function)
            run_name = check_label(name if name is not None else getattr(function, "__name__", ""), "run")
            signature = inspect.signature(function)

            def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[OpenRun, list[Any]]:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                used = [value for value in bound.arguments.values() if _inputs_of(value) is not None]
                params = {key: _address_of(value) for key, value in bound.arguments.items()}
                return self.start(run_name, params=describe_arguments(params), message=message), used

            return _recorded(function, begin)

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


def _recorded(
    function: Callable[_P, _R], begin: Callable[[tuple[Any, ...], dict[str, Any]], tuple[OpenRun, list[Any]]]
) -> Callable[_P, _R]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_later(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            run, used = begin(args, kwargs)
            with run:
                _use_all(run, used)
                return await function(*args, **kwargs)

        return call_later  # type: ignore[return-value]  # a coroutine function is what it was and stays

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        run, used = begin(args, kwargs)
        with run:
            _use_all(run, used)
            return function(*args, **kwargs)

    return call


def _use_all(run: OpenRun, used: Iterable[Any]) -> None:
    for each in used:
        run.use(each)


def _check_recordable(function: object) -> None:
    if not callable(function):
        raise UsageError("store.runs.record() takes a function.", hint="Write @store.runs.record() above it.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            "A generator cannot be recorded: its body runs after the call.",
            hint="Open a run inside it, with store.run().",
        )


def _inputs_of(value: object) -> list[tuple[str, str]] | None:
    """Return the version ids and addresses that a handle reads; None for anything else."""
    if isinstance(value, TrainingSet):
        value = value.version
    if isinstance(value, Version):
        return [(value.version_id, value.address)]
    if isinstance(value, SplitPart):
        return [(value.base_version_id, value.address)]
    if isinstance(value, View):
        return [(each.source.version_id.partition("#")[0], each.source.address) for each in value.sources()]
    return None


def _address_of(value: object) -> object:
    pairs = _inputs_of(value)
    if pairs is None:
        return value
    addresses = [address for _, address in pairs]
    return addresses[0] if len(addresses) == 1 else addresses


def _is_success(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _describe_error(error: BaseException) -> dict[str, str]:
    """Return the type and the message; no traceback, which may hold rows and secrets."""
    try:
        message = error.message if isinstance(error, FoldstoreError) else str(error)
    except Exception:  # noqa: BLE001  # foreign code: that it cannot say what happened is no second failure
        message = ""
    return {"type": type(error).__name__, "message": mask_text(clean_text(message, _MAX_ERROR))}


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
