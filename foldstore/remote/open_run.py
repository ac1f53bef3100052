"""The handle of a run over the network: the code runs here, what it read and made is written down there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from foldstore.datastore.lineage.surroundings import describe_code, describe_environment
from foldstore.errors import FoldstoreError, UsageError
from foldstore.open_run import describe_error, inputs_of, is_success, no_input, run_in_run, run_over
from foldstore.remote.connection import RUNS, Request, path_of
from foldstore.remote.server import Server
from foldstore.remote.split import RemotePart
from foldstore.remote.version import RemoteVersion
from foldstore.remote.view import RemoteView
from foldstore.training_set import TrainingSet


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run is called before it begins.

    Attributes
    ----------
    id, key : str
        The id is made of the key, so that a request which is sent twice begins one run.
    name, message : str
    params : mapping or None
        None for those of the run that it repeats.
    repeats : str or None
    """

    id: str
    key: str
    name: str
    message: str
    params: Mapping[str, Any] | None
    repeats: str | None


class RemoteOpenRun:
    """A run that goes on: a context manager; see `foldstore.open_run.OpenRun`.

    What the block looks up through the store becomes an input, what it commits an output: the server notes it as it
    answers.
    """

    def __init__(self, server: Server, facts: RunFacts) -> None:
        self._server = server
        self._facts = facts
        self._state = "new"

    def __repr__(self) -> str:
        return f"<OpenRun {self.name} {self.id[:12]}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._facts.id

    @property
    def name(self) -> str:
        """What kind of work it is."""
        return self._facts.name

    @property
    def params(self) -> Mapping[str, Any]:
        """What it was asked to do; secrets are masked."""
        return self._facts.params or {}

    def __enter__(self) -> Self:
        if self._state != "new":
            raise UsageError("A run goes on once.", hint="store.runs.repeat(run.id) reads the same inputs again.")
        current = self._server.connection.find_run()
        if current is not None:
            raise run_in_run(current[:12], current)
        self._begin()
        self._state = "going"
        RUNS.set((*RUNS.get(), (self._server.connection, self.id)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._check()
        RUNS.set(tuple(each for each in RUNS.get() if each != (self._server.connection, self.id)))
        self._state = "over"
        self._end(error)

    def version(self, address: str) -> RemoteVersion:
        """Return a version, and note it as an input."""
        with self._entered():
            return self._server.store.version(address)

    def view(self, address: str) -> RemoteView:
        """Return a view of a version, of a part of a split, or a saved one, and note it as an input."""
        with self._entered():
            return self._server.store.view(address)

    def training_set(self, address: str) -> TrainingSet:
        """Return a training set, and note it as an input."""
        with self._entered():
            return self._server.store.training_set(address)

    def use(self, what: Any) -> None:
        """Note as an input what was looked up before the run, or an address.

        Raises
        ------
        UsageError
            When it is none of these.
        """
        self._check()
        if isinstance(what, str):
            self._note([what])
            return
        pairs = remote_inputs_of(what)
        if pairs is None:
            raise no_input(what)
        self._note([address for _, address in pairs])

    def _note(self, addresses: list[str]) -> None:
        body = {"addresses": addresses}
        self._server.connection.ask(self._request(path_of("runs", self.id, verb="use"), body))

    def _begin(self) -> None:
        facts = self._facts
        about = {"params": facts.params, "message": facts.message or None, "repeats": facts.repeats}
        body = {
            "name": facts.name,
            **{name: value for name, value in about.items() if value is not None},
            "code": describe_code(),
            "environment": describe_environment(),
        }
        self._server.connection.ask(Request(method="POST", path=path_of("runs"), data=body, key=facts.key))

    def _end(self, error: BaseException | None) -> None:
        path = path_of("runs", self.id, verb="end")
        if error is None or is_success(error):
            self._server.connection.ask(self._request(path, {"status": "succeeded"}))
            return
        try:
            self._server.connection.ask(self._request(path, {"status": "failed", "error": describe_error(error)}))
        except FoldstoreError as failure:  # the block's own error is the one to show
            error.add_note(f"Foldstore could not write that the run {self.id} failed: {failure.message}")

    def _request(self, path: str, body: Mapping[str, Any]) -> Request:
        return Request(method="POST", path=path, data=body, only_reads=True)  # the same again changes nothing more

    def _check(self) -> None:
        if self._state != "going":
            raise run_over()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Belong to the run for the length of a block, in whatever thread."""
        self._check()
        own = (self._server.connection, self.id)
        token = RUNS.set((*(each for each in RUNS.get() if each != own), own))
        try:
            yield
        finally:
            RUNS.reset(token)


class RemoteResumedRun(RemoteOpenRun):
    """A run that somebody else has begun: a context manager that does not end it."""

    def _begin(self) -> None:
        """Leave it as it is."""

    def _end(self, error: BaseException | None) -> None:
        """Leave it to whoever has begun it."""


def remote_inputs_of(value: object) -> list[tuple[str, str]] | None:
    """Return the version ids and addresses that a handle reads; None for anything else."""
    return inputs_of(value, versions=(RemoteVersion,), parts=(RemotePart,))
