"""What was served, kept as a dataset: lookups are noted in memory and committed in batches, off their path."""

import hashlib
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa

from foldstore.datastore.catalog.change_mark import Mark
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError, NotFoundError, UsageError
from foldstore.names import check_name
from foldstore.types import format_time
from foldstore.views.features.feature_service import LOOKUP_LOG_KIND
from foldstore.views.online.result import OnlineResult

SERVED_AT: Final = "served_at"
SERVICE: Final = "service"
REQUESTED: Final = "__requested"
MATERIALIZATION: Final = "materialization"
REQUEST_ID: Final = "request_id"
MAX_REQUEST_ID: Final = 200
REQUEST_ROW: Final = "request_row"  # which entity of the request, from 0 on
_BATCH: Final = 1_000
# Where commits do not keep up, later lookups are left out: the log never holds the server up, nor its memory.
_MOST_WAITING: Final = 50_000


_Noted: TypeAlias = tuple[OnlineResult, str | None]


class Appended(Protocol):
    """A dataset's handle."""

    def append(self, data: Any, *, evolve: bool = False, message: str = "") -> Any:
        """Commit rows."""


class LookupLogs:
    """The logs of a store's feature services.

    Parameters
    ----------
    storage : Storage
        The open store.
    open_dataset : callable
        Returns a dataset by name, made when it is missing.
    author : str
        Who commits.
    """

    def __init__(self, storage: Storage, open_dataset: Callable[[str], Appended], author: str) -> None:
        self._registry = Registry(storage.catalog, LOOKUP_LOG_KIND)
        self._storage = storage
        self._open_dataset = open_dataset
        self._author = author
        self._lock = threading.Lock()
        self._settings: tuple[Any, dict[str, tuple[str, float] | None]] = None, {}
        self._waiting: dict[str, list[_Noted]] = {}
        self._entities = 0
        self._left_out = 0
        self._working: threading.Thread | None = None

    @property
    def num_left_out(self) -> int:
        """How many lookups were not noted because commits did not keep up."""
        return self._left_out

    @property
    def num_waiting(self) -> int:
        """How many entities wait to be committed."""
        return self._entities

    def set(self, service: str, *, share: float, dataset: str | None = None) -> str:
        """Say which share of a service's lookups is noted, and where; return the dataset's name."""
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UsageError(f"{share!r} is no share.", hint="Write a number from 0, for none, to 1, for all.")
        name = check_name(dataset or f"{service}.served")
        body = {"dataset": name, "share": float(share)}
        self._registry.put(service, body, author=self._author, created_at=format_time(self._storage.clock()))
        self._settings = None, {}
        return name

    def find(self, service: str) -> str:
        """Return the name of the dataset that a service's lookups go into, or went into.

        Raises
        ------
        NotFoundError
            When none was ever named.
        """
        document = self._registry.find(service)
        if document is None:
            raise NotFoundError(
                f"Lookups of {service!r} are not logged.", hint=f"store.features.log_lookups({service!r}) begins it."
            )
        return str(document.body["dataset"])

    def is_logged(self, service: str, mark: Mark) -> bool:
        """Say whether a service's lookups are noted, as of a mark of the catalog or later."""
        return not self._storage.catalog.read_only and self._setting(service, mark) is not None

    def note(self, service: str, result: OnlineResult, mark: Mark, request_id: str | None = None) -> None:
        """Note a lookup, when its service is logged and the lot falls on it: its request id's, if it has one.

        What is logged is what was at a mark of the catalog, or came since.
        """
        if self._storage.catalog.read_only:
            return
        setting = self._setting(service, mark)
        if setting is None or (lot_of(request_id) if request_id is not None else random.random()) >= setting[1]:  # noqa: S311
            return  # the lot makes a sample and keeps no secret
        with self._lock:
            if self._entities >= _MOST_WAITING:
                self._left_out += 1
                return
            self._waiting.setdefault(setting[0], []).append((result, request_id))
            self._entities += len(result)
            if self._entities >= _BATCH and (self._working is None or not self._working.is_alive()):
                self._working = threading.Thread(target=self._commit_quietly, name="foldstore-lookup-log", daemon=True)
                self._working.start()

    def flush(self) -> None:
        """Commit what waits.

        Raises
        ------
        FoldstoreError
            When it cannot be committed; it then waits on.
        """
        working = self._working
        if working is not None and working is not threading.current_thread():
            working.join()
        with self._lock:
            waiting, self._waiting, self._entities = self._waiting, {}, 0
        for name, results in waiting.items():
            try:
                with unrecorded():
                    self._open_dataset(name).append(_to_table(results), evolve=True, message="lookups")
            except FoldstoreError:
                with self._lock:
                    self._waiting.setdefault(name, [])[:0] = results
                    self._entities += sum(len(result) for result, _ in results)
                raise

    def _commit_quietly(self) -> None:
        with suppress(FoldstoreError):  # it waits on; `flush` says why when the store is closed, at the latest
            self.flush()

    def _setting(self, service: str, mark: Mark) -> tuple[str, float] | None:
        known = self._settings[1] if mark is not None and self._settings[0] == mark else {}
        if service not in known:
            document = self._registry.find(service)
            known[service] = None if document is None else (document.body["dataset"], document.body["share"])
            self._settings = mark, known
        found = known[service]
        return found if found is not None and found[1] else None


def lot_of(request_id: str) -> float:
    """Return a number from 0 to 1 for a request: whoever keeps a share of them keeps those that are below it.

    So every process, a log and a shadow choose the same requests, and a smaller share is part of a larger one.

    Examples
    --------
    >>> sum(lot_of(f"request-{number}") < 0.25 for number in range(10_000))
    2460
    """
    number = int.from_bytes(hashlib.blake2b(request_id.encode(errors="backslashreplace"), digest_size=8).digest())
    return (number >> 11) / 2**53  # below 1: a float holds 53 bits


def _to_table(results: list[_Noted]) -> pa.Table:
    return pa.concat_tables([_rows(*noted) for noted in results], promote_options="permissive")


def _rows(result: OnlineResult, request_id: str | None) -> pa.Table:
    features = result.to_arrow()
    size = len(result)
    # What a request brought along under the name of what was made of it is kept beside that.
    named = {name: f"{name}{REQUESTED}" if name in features.column_names else name for name in result.entities}
    columns: dict[str, Any] = {named[name]: pa.array(values) for name, values in result.entities.items()}
    columns |= {name: features.column(name) for name in features.column_names}
    columns[SERVED_AT] = pa.array([result.at] * size, pa.int64()).view(pa.timestamp("ns", "UTC"))
    columns[SERVICE] = pa.array([result.service or ""] * size)
    # What was pushed is of no version that could be joined again.
    pushed = result.pushed
    made = [None if place in pushed else result.materialization for place in range(size)]
    columns[MATERIALIZATION] = pa.array(made, pa.int64())
    if request_id is not None:
        columns[REQUEST_ID] = pa.array([request_id] * size)
        columns[REQUEST_ROW] = pa.array(range(size), pa.int64())
    return pa.table(columns)
