"""Asks a candidate what the live version was asked, in a thread of its own, and counts where the two differ.

The live answer is settled before the candidate hears of the request. What goes wrong here is counted, and raised to
nobody; where the candidate does not keep up, requests are left out, so neither lookups nor memory grow with it.
"""

import atexit
import hashlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, TypeAlias

from foldstore.datastore.catalog.change_mark import Mark
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError
from foldstore.features.shadow_report import Shadow
from foldstore.features.shadow_tally import ShadowTally, compare_answers
from foldstore.lookup_log import lot_of
from foldstore.types import format_time
from foldstore.views.online.result import OnlineResult

SHADOW_KIND: Final = "shadow"
_MOST_WAITING: Final = 20_000  # entities
_BATCH: Final = 10_000  # entities that are compared before they are committed
_SECONDS: Final = 5.0  # and how long they wait at most, while requests come
_LAST_SECONDS: Final = 5.0  # for which a process that ends waits

_Task: TypeAlias = tuple[Shadow, OnlineResult, bool]
Asked: TypeAlias = Callable[[str, Mapping[str, list[Any]], OnlineResult, bool], OnlineResult]


class ShadowRunner:
    """Compares the answers of candidates with live ones.

    Parameters
    ----------
    storage : Storage
        The open store.
    author : str
        In whose name tallies are committed.
    ask : callable
        Asks a candidate: its address, the entities, the live answer, whether names are full.
    """

    def __init__(self, storage: Storage, author: str, ask: Asked) -> None:
        self._storage = storage
        self._author = author
        self._ask = ask
        self._registry = Registry(storage.catalog, SHADOW_KIND)
        self._settings: tuple[Any, dict[str, Shadow | None]] = None, {}
        self._lock = threading.Condition()
        self._busy = threading.Lock()  # held while a request is compared, or what was counted is committed
        self._waiting: deque[_Task] = deque()
        self._entities = 0
        self._counted: dict[tuple[str, int], ShadowTally] = {}
        self._counted_since = 0.0
        self._thread: threading.Thread | None = None
        self._began = False
        self._ends = False

    def consider(
        self, found: OnlineResult, mark: Mark, *, full_feature_names: bool, request_id: str | None = None
    ) -> None:
        """Hand an answer on to be compared, when its version has a shadow and the lot falls on the request.

        The shadow is the one that it had at a mark of the catalog, or has got since.
        """
        try:
            shadow = self._setting(found.service or "", mark)
            if shadow is not None and is_chosen(found.entities, shadow.share, shadow.seed, request_id):
                self._put(shadow, found, full_feature_names)
        except Exception:  # noqa: BLE001, S110  # the answer is settled: no fault of a shadow's may take it back
            pass

    def has_shadow(self, live: str, mark: Mark) -> bool:
        """Say whether a version has a shadow, as of a mark of the catalog or later."""
        return self._setting(live, mark) is not None

    def flush(self) -> None:
        """Compare what waits, and commit what was counted.

        Raises
        ------
        FoldstoreError
            When it cannot be committed; it then waits on.
        """
        with self._busy:
            while (task := self._take()) is not None:
                self._compare(task)
            self._commit()

    def end(self) -> None:
        """Have the thread commit what was counted, and wait for it; whoever asks later is not compared any more."""
        with self._lock:
            self._ends = True
            thread = self._thread
            self._lock.notify_all()
        if thread is not None:
            thread.join(_LAST_SECONDS)

    def _put(self, shadow: Shadow, found: OnlineResult, full_names: bool) -> None:  # noqa: FBT001  # a task's parts
        with self._lock:
            if self._entities + len(found) > _MOST_WAITING and self._waiting:
                tally = self._counted.setdefault((shadow.live, shadow.run), ShadowTally())
                tally.left_out += 1
                return
            self._waiting.append((shadow, found, full_names))
            self._entities += len(found)
            if not self._began:
                # A process that ends without closing the store commits what was counted, and leaves no thread behind.
                atexit.register(_end, weakref.ref(self))
                self._began = True
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="foldstore-shadow", daemon=True)
                self._thread.start()
            else:
                self._lock.notify()

    def _take(self) -> _Task | None:
        with self._lock:
            if not self._waiting:
                return None
            task = self._waiting.popleft()
            self._entities -= len(task[1])
            return task

    def _work(self) -> None:
        """Compare until nothing came for a while; whoever puts the next task begins another thread."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: bool(self._waiting) or self._ends, timeout=_SECONDS)
            with self._busy:
                task = self._take()
                if task is not None:
                    self._compare(task)
                if task is None or self._is_due():
                    self._commit_quietly()
            with self._lock:
                if task is None and not self._waiting:
                    self._thread = None
                    return

    def _compare(self, task: _Task) -> None:
        shadow, live, full_names = task
        try:
            with unrecorded():
                answer = self._ask(shadow.candidate, live.entities, live, full_names)
                tally = compare_answers(live, answer)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what a report is for
            tally = ShadowTally(errors={getattr(error, "code", type(error).__name__): 1})
        with self._lock:
            if not self._counted:
                self._counted_since = monotonic()
            self._counted.setdefault((shadow.live, shadow.run), ShadowTally()).add(tally)

    def _is_due(self) -> bool:
        with self._lock:
            counted = sum(tally.entities for tally in self._counted.values())
            return counted >= _BATCH or (bool(self._counted) and monotonic() - self._counted_since >= _SECONDS)

    def _commit_quietly(self) -> None:
        try:
            self._commit()
        except FoldstoreError:
            with self._lock:
                self._counted_since = monotonic()  # not before every lookup: later, again

    def _commit(self) -> None:
        with self._lock:
            counted, self._counted = self._counted, {}
        counted = {key: tally for key, tally in counted.items() if not tally.is_empty}
        if not counted:
            return
        now = format_time(self._storage.clock())
        try:
            with self._storage.catalog.write() as connection:
                for (live, run), tally in counted.items():
                    body = {"run": run, "tally": tally.to_dict()}
                    self._storage.journal.append(connection, stream_of(live), body, actor=self._author, created_at=now)
        except FoldstoreError:
            with self._lock:
                for key, tally in counted.items():
                    self._counted.setdefault(key, ShadowTally()).add(tally)
            raise

    def _setting(self, live: str, mark: Mark) -> Shadow | None:
        known = self._settings[1] if mark is not None and self._settings[0] == mark else {}
        if live not in known:
            document = self._registry.find(live)
            shadow = None if document is None else Shadow.from_dict(document.body)
            known[live] = shadow if shadow is not None and shadow.running else None
            self._settings = mark, known
        return known[live]


def _end(runner: "weakref.ref[ShadowRunner]") -> None:
    found = runner()
    if found is not None:
        found.end()


def stream_of(live: str) -> str:
    """Return the journal's stream with what the shadows of a version found."""
    return f"shadow/{live}"


def is_chosen(entities: Mapping[str, list[Any]], share: float, seed: int, request_id: str | None = None) -> bool:
    """Say whether the lot falls on a request, whoever asks, whenever.

    It is that of the request's id, by which logs choose too; of a request without one by its entities and the seed.

    Examples
    --------
    >>> sum(is_chosen({"driver": [n]}, 0.25, 7) for n in range(10_000))
    2578
    """
    if share >= 1:
        return True
    if request_id is not None:
        return lot_of(request_id) < share
    text = f"{seed}:{sorted(entities.items())!r}".encode(errors="backslashreplace")
    lot = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return lot < share * 2**64
