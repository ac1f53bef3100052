"""The handles of runs that go on: begun here, or elsewhere, and what may be said within them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

from foldstore.datastore.catalog.records import RunLink, RunRecord
from foldstore.datastore.catalog.runs import INPUT, end_run, insert_run, list_links, read_versions
from foldstore.datastore.free_text import clean_text
from foldstore.datastore.lineage.parameters import mask_text
from foldstore.datastore.lineage.recording import FAILED, SUCCEEDED, Recording, find_recording
from foldstore.datastore.lineage.surroundings import describe_code, describe_environment
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError, UsageError
from foldstore.split import SplitPart
from foldstore.training_set import TrainingSet
from foldstore.types import format_time
from foldstore.version import Version
from foldstore.views.view import View

_MAX_ERROR: Final = 1_000
_MAX_TYPE: Final = 200


@dataclass(frozen=True, slots=True)
class Readers:
    """How a run reads; `foldstore.store` supplies it."""

    version: Callable[[str], Version]
    view: Callable[[str], View]
    training_set: Callable[[str], TrainingSet]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a run is called and runs on, when its code runs elsewhere.

    Attributes
    ----------
    id : str
        32 hexadecimal digits.
    code, environment : mapping
        What the run would have found out about itself.
    """

    id: str
    code: Mapping[str, Any]
    environment: Mapping[str, Any]


class OpenRun:
    """A run that goes on: a context manager.

    What the block looks up through the store (`Store.version`, `Store.view`, `Store.sql`, `Dataset.latest` ...)
    becomes an input, what it commits an output. Threads that the block starts are not followed; they read by
    the methods here.
    """

    def __init__(
        self,
        storage: Storage,
        record: RunRecord,
        readers: Readers,
        repeated: Iterable[RunLink],
        surroundings: Surroundings | None = None,
    ) -> None:
        self._storage = storage
        self._record = record
        self._readers = readers
        self._repeated = tuple(repeated)
        self._surroundings = surroundings
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
            raise run_in_run(current.run.name, current.run.id)
        self._recording = self._begin()
        self._recording.enter()
        return self

    def begin(self) -> None:
        """Write that the run goes on, in a place of its own: `Runs.resume` enters it, and ends it."""
        self._begin()

    def _begin(self) -> Recording:
        told = self._surroundings
        self._record = replace(
            self._record,
            started_at=format_time(self._storage.clock()),
            code=describe_code() if told is None else told.code,
            environment=describe_environment() if told is None else told.environment,
        )
        insert_run(self._storage.catalog, self._record)
        return Recording(self._storage, self._record, self._repeated)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        recording = self._going_on()
        recording.leave()
        if error is None or is_success(error):
            recording.end(SUCCEEDED)
            return
        try:
            recording.end(FAILED, describe_error(error))
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
        pairs = inputs_of(what)
        if pairs is None:
            raise no_input(what)
        for version_id, address in pairs:
            self._going_on().note_input(version_id, address)

    def _going_on(self) -> Recording:
        if self._recording is None or self._recording.ended:
            raise run_over()
        return self._recording


class ResumedRun(OpenRun):
    """A run that somebody else has begun: a context manager that does not end it."""

    def __init__(self, storage: Storage, record: RunRecord, readers: Readers) -> None:
        ids = [each for each in (record.repeats_id, record.id) if each is not None]
        links = list_links(storage.catalog, runs=ids)
        super().__init__(
            storage, record, readers, [each for each in links if each.run_id != record.id and each.role == INPUT]
        )
        self._known = [each for each in links if each.run_id == record.id]

    def __enter__(self) -> Self:
        versions = read_versions(self._storage.catalog, sorted({link.version_id for link in self._known}))
        known = [(link, versions[link.version_id]) for link in self._known]
        self._recording = Recording(self._storage, self._record, self._repeated, known)
        self._recording.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        recording = self._going_on()
        recording.leave()
        recording.write_rest()

    def made(self, version: Version) -> None:
        """Note as an output what was committed outside of a block."""
        self._going_on().note_output(version.version_id, version.address)

    def end(self, status: str, error: Mapping[str, str] | None = None) -> None:
        """Write how the run ended.

        Parameters
        ----------
        status : {'succeeded', 'failed'}
        error : mapping, optional
            The ``type`` and the ``message`` of what ended it.
        """
        if status not in (SUCCEEDED, FAILED):
            raise UsageError(f"{status!r} is no end of a run.", hint=f"Runs end as {SUCCEEDED} or {FAILED}.")
        told = None if error is None else _masked(error.get("type", "Error"), error.get("message", ""))
        end_run(self._storage.catalog, self._record.id, status, format_time(self._storage.clock()), told)


def inputs_of(
    value: object, versions: tuple[type[Any], ...] = (Version,), parts: tuple[type[Any], ...] = (SplitPart,)
) -> list[tuple[str, str]] | None:
    """Return the version ids and addresses that a handle reads; None for anything else.

    Parameters
    ----------
    versions, parts : tuple of type
        The handles that are versions, and parts of splits.
    """
    if isinstance(value, TrainingSet):
        value = value.version
    if isinstance(value, versions):
        return [(value.version_id, value.address)]
    if isinstance(value, parts):
        return [(value.base_version_id, value.address)]
    if isinstance(value, View):
        return [(each.source.version_id.partition("#")[0], each.source.address) for each in value.sources()]
    return None


def no_input(what: object) -> UsageError:
    """Build the error for what a run cannot note as read."""
    return UsageError(
        f"{type(what).__name__!r} is not an input.", hint="Give a version, a view, a part, or an address."
    )


def is_success(error: BaseException) -> bool:
    """Say whether an exception ends a run well: that of ``sys.exit(0)`` does."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def describe_error(error: BaseException) -> dict[str, str]:
    """Return the type and the message; no traceback, which may hold rows and secrets."""
    try:
        message = error.message if isinstance(error, FoldstoreError) else str(error)
    except Exception:  # noqa: BLE001  # foreign code: that it cannot say what happened is no second failure
        message = ""
    return _masked(type(error).__name__, message)


def _masked(kind: str, message: str) -> dict[str, str]:
    return {"type": clean_text(kind, _MAX_TYPE), "message": mask_text(clean_text(message, _MAX_ERROR))}


def run_over(message: str = "The run does not go on.") -> UsageError:
    """Build the error for what is done in a run that has ended, or has not begun."""
    return UsageError(message, hint="Use it inside its block: with store.run(...) as run: ...", code="run-over")


def run_in_run(name: str, run_id: str) -> UsageError:
    """Build the error for a run that is begun within another."""
    return UsageError(
        f"The run {name!r} goes on already: runs are not nested.",
        hint="End it first; a step of its own is a run of its own, after this one.",
        code="run-in-run",
        run=run_id,
    )
