"""A run while it goes on: what is looked up and committed in its context is noted at once, durably.

The handles call `resolve_in_run`, `note_input` and `note_output`; outside of a run these do nothing. A run
belongs to a context (PEP 567) and to one open store: other threads, other tasks begun before it and other
stores do not see it.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from foldstore.datastore.catalog.records import NamedVersion, RunLink, RunRecord, VersionRecord
from foldstore.datastore.catalog.runs import INPUT, OUTPUT, add_link, end_run
from foldstore.datastore.storage import Storage
from foldstore.errors import StoreError
from foldstore.names import LATEST, MAIN_BRANCH, Address, parse_address
from foldstore.types import Status, format_time

_recordings: ContextVar[tuple["Recording", ...]] = ContextVar("foldstore_recordings", default=())
# The whole address that is being resolved, when its base alone is looked up.
_asked: ContextVar[Address | None] = ContextVar("foldstore_asked_address", default=None)

SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"


class Recording:
    """A run under way: its links, and the versions that it is pinned to when it repeats another.

    Parameters
    ----------
    storage : Storage
        The open store that it belongs to.
    run : RunRecord
        The run, as it was written.
    repeated : iterable of RunLink
        The inputs of the run that this one repeats.
    known : iterable of (RunLink, NamedVersion), optional
        What is written of the run already, by others who go on writing, too; the versions that the links are about.
    """

    def __init__(
        self,
        storage: Storage,
        run: RunRecord,
        repeated: Iterable[RunLink] = (),
        known: Iterable[tuple[RunLink, NamedVersion]] | None = None,
    ) -> None:
        self.storage = storage
        self.run = run
        self.ended = False
        self._lock = threading.Lock()
        self._noted: set[tuple[str, str, str]] = set()
        self._versions: dict[str, set[str]] = {INPUT: set(), OUTPUT: set()}
        self._positions = {INPUT: 0, OUTPUT: 0}
        self._unwritten: list[RunLink] = []
        self._pins: dict[str, str] = {}
        for link in repeated:
            self._pins.setdefault(_base(parse_address(link.address)), link.version_id)
        self._is_shared = known is not None
        for link, named in known or ():
            self._remember(link, named)

    @property
    def pins(self) -> dict[str, str]:
        """The version ids that addresses stand for in this run."""
        return dict(self._pins)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Note what happens in this context, for the length of a block."""
        token = _recordings.set((*(each for each in _recordings.get() if each is not self), self))
        try:
            yield
        finally:
            _recordings.reset(token)

    def enter(self) -> None:
        """Note what happens in this context from now on."""
        _recordings.set((*_recordings.get(), self))

    def leave(self) -> None:
        """Note nothing any more; a token would fail where a generator is closed in another context."""
        _recordings.set(tuple(each for each in _recordings.get() if each is not self))

    def find_pinned(self, address: Address) -> VersionRecord | None:
        """Return the version that the repeated run read at an address, or None."""
        pinned = self._pins.get(_base(address))
        return self.storage.catalog.find_version_by_id(pinned) if pinned else None

    def find_pinned_view(self, name: str) -> int | None:
        """Return the number of a saved view that the repeated run read, or None.

        A view's newest version is the highest, so the highest that was read is the one that the name stood for.
        """
        found = [address for text in self._pins if (address := parse_address(text)).name == name]
        return max((int(address.ref) for address in found if address.ref.isdigit()), default=None)

    def note_input(self, version_id: str, address: str) -> None:
        """Write that the run read a version; what it wrote itself is no input."""
        with self._lock:
            if version_id not in self._versions[OUTPUT] and (link := self._new_link(INPUT, version_id, address)):
                self._add(link)
                self._keep(link)

    def note_output(self, version_id: str, address: str, *, is_view: bool = False) -> None:
        """Write that the run made a version, or a view of one.

        A version that it has read before was not made by it: an idempotency key gave it back. The commit is
        done: that its link cannot be written now must not read as if it had failed, so the link is written
        again later, at the latest when the run ends.
        """
        with self._lock:
            if not is_view and version_id in self._versions[INPUT]:
                return
            if link := self._new_link(OUTPUT, version_id, address):
                self._keep(link, is_view=is_view)
                try:
                    self._add(link)
                except StoreError:
                    self._unwritten.append(link)

    def unpin(self, name: str, branch: str) -> None:
        """Let a branch move again: the run has committed to it, and may look its own commit up."""
        bases = [f"{name}@{branch}", *([name] if branch == MAIN_BRANCH else [])]
        for base in bases:
            self._pins.pop(base, None)

    def write_rest(self) -> None:
        """Write the links that could not be written when they were noted.

        Raises
        ------
        StoreError
            When the catalog cannot be written.
        """
        with self._lock:
            for link in self._unwritten:
                self._add(link)
            self._unwritten.clear()

    def end(self, status: str, error: dict[str, str] | None = None) -> None:
        """Write how the run ended.

        Raises
        ------
        StoreError
            When the catalog cannot be written: the run stays ``running``.
        """
        with self._lock:
            self.ended = True
        self.write_rest()
        end_run(self.storage.catalog, self.run.id, status, format_time(self.storage.clock()), error)

    def _add(self, link: RunLink) -> None:
        if self._is_shared:
            add_link(self.storage.catalog, link, at_end=True)
        else:
            add_link(self.storage.catalog, link)

    def _remember(self, link: RunLink, named: NamedVersion) -> None:
        """Take in what was written before, as `note_input` and `note_output` did then."""
        is_view = link.role == OUTPUT and link.address != named.address
        self._keep(link, is_view=is_view)
        if link.role == OUTPUT and named.version.status is Status.PUBLISHED and not is_view:
            self.unpin(named.address.partition("@")[0], named.version.branch)

    def _new_link(self, role: str, version_id: str, address: str) -> RunLink | None:
        if self.ended or (role, version_id, address) in self._noted:
            return None
        position = self._positions[role]
        return RunLink(run_id=self.run.id, role=role, position=position, version_id=version_id, address=address)

    def _keep(self, link: RunLink, *, is_view: bool = False) -> None:
        self._noted.add((link.role, link.version_id, link.address))
        self._positions[link.role] += 1
        if not is_view:  # the version below a view that the run saved was not made by the run
            self._versions[link.role].add(link.version_id)


def find_recording(storage: Storage) -> Recording | None:
    """Return the run that goes on in this context over this open store, or None."""
    return next((each for each in _recordings.get() if each.storage is storage and not each.ended), None)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Look things up without reading them, for the length of a block."""
    token = _recordings.set(())
    try:
        yield
    finally:
        _recordings.reset(token)


@contextmanager
def asked_as(address: Address) -> Iterator[None]:
    """Note the whole address while its base is looked up: ``flights@3#by_month.train``."""
    token = _asked.set(address)
    try:
        yield
    finally:
        _asked.reset(token)


def asked_now() -> Address | None:
    """Return the whole address whose base is looked up now, or None."""
    return _asked.get()


def resolve_in_run(
    storage: Storage, address: Address, find: Callable[[Address], VersionRecord | None]
) -> VersionRecord | None:
    """Look a version up; inside a run it becomes an input, inside a repetition it is the version read then."""
    recording = find_recording(storage)
    if recording is None:
        return find(address)
    found = recording.find_pinned(address) or find(address)
    if found is not None:
        asked = _asked.get()
        whole = asked if asked is not None and _base(asked) == _base(address) else address
        recording.note_input(found.id, str(whole))
    return found


def note_input(storage: Storage, version_id: str, address: str) -> None:
    """Note that a version is read, when a run goes on."""
    recording = find_recording(storage)
    if recording is not None:
        recording.note_input(version_id, address)


def note_output(storage: Storage, record: VersionRecord) -> None:
    """Note that a version was committed, when a run goes on."""
    recording = find_recording(storage)
    if recording is None:
        return
    dataset = storage.catalog.find_dataset_by_id(record.dataset_id)
    name = dataset.name if dataset is not None else record.dataset_id
    recording.note_output(record.id, f"{name}@{record.number}")
    if record.status is Status.PUBLISHED:
        recording.unpin(name, record.branch)


def note_view(storage: Storage, version_id: str, address: str) -> None:
    """Note that a view over a version was saved, when a run goes on."""
    recording = find_recording(storage)
    if recording is not None:
        recording.note_output(version_id, address, is_view=True)


def find_pinned_view(storage: Storage, name: str) -> int | None:
    """Return the number of a saved view that a repetition must read, or None."""
    recording = find_recording(storage)
    return None if recording is None else recording.find_pinned_view(name)


def _base(address: Address) -> str:
    plain = replace(address, split=None, part=None)
    return plain.name if plain.ref == LATEST else str(plain)
