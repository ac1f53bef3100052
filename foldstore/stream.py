"""The handle of a stream: endless rows into versions of a dataset."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.storage import Storage
from foldstore.datastore.stream.columns import StreamColumns
from foldstore.datastore.stream.cut import Cutter, cut_key
from foldstore.datastore.stream.limits import Durability, StreamLimits, check_limits
from foldstore.datastore.stream.log import open_log
from foldstore.datastore.stream.writer import RowStream, StreamStatus
from foldstore.errors import ConflictError, FoldstoreError, UsageError, did_you_mean
from foldstore.names import MAIN_BRANCH, check_name
from foldstore.types import Status
from foldstore.validation.pools.reserve import fill_reserves
from foldstore.version import Version
from foldstore.views.source import ViewStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream behaves; see `Dataset.stream`, which takes the same words.

    Attributes
    ----------
    name : str
        One writer at a time has a name. A writer that follows another of the same name recovers what that one left.
    every_rows : int
        A version is cut when at least so many rows are there; a write is never torn.
    every_seconds : float or None
        Or when its first row has waited so long.
    keep_age : str, timedelta or None
        Rows that are older leave the newest version, in whole fragments, when a version is cut: ``"7d"``.
    keep_bytes : str, int or None
        The oldest rows leave it when its files are larger: ``"1GB"``.
    max_pending_rows : int or None
        How many rows may be in the log and in no version; four versions' worth unless given.
    durability : {'segment', 'version'}
        Whether `write` returns when the rows are on the disk, or when they are in a version.
    message : str
        Kept with each version.
    in_turns : bool
        Whether writers take turns: what the one before left is cut when it is due and not before, `close` cuts nothing,
        and no thread does: calls cut what is due, by the ages that the log keeps.
    on_cut : callable or None
        Told each version, in the thread that cuts.
    monotonic : callable
        The clock of cuts by time.
    """

    name: str = "main"
    every_rows: int = 100_000
    every_seconds: float | None = 60.0
    keep_age: str | timedelta | None = None
    keep_bytes: str | int | None = None
    max_pending_rows: int | None = None
    durability: Durability = "segment"
    message: str = ""
    in_turns: bool = False
    on_cut: Callable[[Version], None] | None = None
    monotonic: Callable[[], float] = time.monotonic

    def limits(self) -> StreamLimits:
        """Return the numbers, checked.

        Raises
        ------
        UsageError
            When one of them is none.
        """
        return check_limits(
            every_rows=self.every_rows,
            every_seconds=self.every_seconds,
            max_pending_rows=self.max_pending_rows,
            keep_age=self.keep_age,
            keep_bytes=self.keep_bytes,
            durability=self.durability,
        )


def stream_options(name: str, options: Mapping[str, Any]) -> StreamOptions:
    """Read the words of `Dataset.stream`.

    Raises
    ------
    UsageError
        When one of them is unknown.
    """
    known = [field.name for field in fields(StreamOptions)]
    for word in options:
        if word not in known:
            raise UsageError(f"A stream has no option {word!r}.", hint=did_you_mean(word, known), option=word)
    return StreamOptions(name=name, **options)


class StreamWriter:
    """Takes rows without end and cuts versions of them; `Dataset.stream` opens one.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> clicks = store.create_dataset("clicks")
    >>> with clicks.stream(every_rows=1_000) as stream:
    ...     stream.write({"page": ["home", "help"], "ms": [12, 40]})
    ...     stream.write([{"page": "home", "ms": 9}])
    >>> clicks.latest
    <Version clicks@1: 3 rows, published>
    """

    def __init__(
        self,
        storage: Storage,
        dataset: DatasetRecord,
        gate: PublishGate,
        author: str,
        options: StreamOptions,
        *,
        branch: str = MAIN_BRANCH,
        views: ViewStore | None = None,
    ) -> None:
        self._storage = storage
        self._dataset = dataset
        self._author = author
        self._views = views
        self.name = check_name(options.name, "stream")
        limits = options.limits()
        cutter = Cutter(
            storage=storage,
            dataset=dataset,
            gate=gate,
            limits=limits,
            name=self.name,
            branch=branch,
            author=author,
            message=options.message,
        )
        log = open_log(storage, dataset.id, branch, self.name, goes_on=options.in_turns)
        try:
            self._columns = StreamColumns(storage, dataset, branch, log.recovered_schema)
            if log.open_rows and self._columns.schema != log.recovered_schema:
                log.seal()  # the rows of one version have one arrow schema
        except BaseException:
            log.close()
            raise
        self._told = options.on_cut
        self._rows = RowStream(
            log,
            cutter,
            on_cut=self._tell if options.on_cut else None,
            settle=self._fill_reserves if branch == MAIN_BRANCH else None,
            on_step=storage.on_step,
            monotonic=options.monotonic,
            background=not options.in_turns,
        )
        self._takes_turns = options.in_turns
        self._durability = limits.durability

    def __repr__(self) -> str:
        state = self.status()
        return (
            f"<StreamWriter {self.name!r} into {self._dataset.name!r}: {state.rows:,} rows, "
            f"{state.pending_rows:,} pending>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # the block's own error is the one to show; the log keeps the rows
                raise

    @property
    def arrow_schema(self) -> pa.Schema | None:
        """The columns that every write brings; None until the first write decides them."""
        return self._columns.schema

    @property
    def quarantined(self) -> int:
        """How many of the versions that this writer cut a gate refused."""
        return self.status().quarantined

    @property
    def last_version(self) -> Version | None:
        """The newest version that this writer cut."""
        return self._to_version(self._rows.last) if self._rows.last else None

    def write(self, rows: Any, *, block: bool = True, timeout: float | None = None) -> None:
        """Take rows, all or none; when this returns they survive a crash and a loss of power.

        Parameters
        ----------
        rows : object
            A dict of lists, a list of dicts, or anything that speaks Arrow. What a dict in a list lacks is null.
        block : bool
            Whether to wait for room when `max_pending_rows` are pending.
        timeout : float, optional
            For how many seconds at most.

        Raises
        ------
        SchemaMismatchError
            When the columns are not those of the stream, or values do not fit them.
        StoreError
            With code ``stream-full`` when there is no room, ``stream-stalled`` when versions cannot be cut any more,
            ``store-unavailable`` when the disk does not take the rows. None was taken then, unless the fact ``logged``
            is true, as it can be with ``durability="version"``.
        """
        self._write(rows, block=block, timeout=timeout)

    def write_once(self, rows: pa.Table, first_row: int, digest: str, *, fill: bool = False) -> bool:
        """Take rows unless they are those of the last write, whoever made that; say whether they were taken.

        Parameters
        ----------
        rows : pyarrow.Table
            The rows.
        first_row : int
            How many rows the stream had taken before them.
        digest : str
            Tells these rows from others; kept in the log with them.
        fill : bool
            Whether columns that they lack are null.

        Raises
        ------
        ConflictError
            With code ``stream-moved`` when the stream has taken another number of rows, and the last write is another
            one.
        """
        mark = f"{first_row}:{digest}"
        if self._rows.mark == mark:
            if self._durability == "version":
                self.flush()
            else:
                self.cut_when_due()  # who took them may have died before it cut
            return False
        taken = self.status().rows
        if taken != first_row:
            raise ConflictError(
                f"The stream {self.name!r} has taken {taken:,} rows, and these were to follow row {first_row:,}.",
                retry=False,
                hint="Another writer wrote meanwhile: ask how many rows there are, and go on behind them.",
                code="stream-moved",
                rows=taken,
                pending_rows=self.status().pending_rows,
            )
        self._write(self._columns.fill(rows) if fill else rows, mark=mark)
        return True

    def _write(self, rows: Any, *, block: bool = True, timeout: float | None = None, mark: str = "") -> None:
        before = self._columns.schema
        try:
            table = self._columns.fit(rows)
            if before is not None and before != self._columns.schema:
                self._rows.seal()  # the rows of one version have one arrow schema
            if self._takes_turns:
                self._rows.cut_when_due()  # what cannot be cut is said before more is taken
            self._rows.write(table, block=block, timeout=timeout, mark=mark)
        except FoldstoreError as error:
            if not error.facts.get("logged"):  # rows that were not taken decide nothing
                self._columns.schema = before
            raise

    def flush(self, timeout: float | None = None) -> Version | None:
        """Cut a version of what is pending; it is there, durably, when this returns.

        Parameters
        ----------
        timeout : float, optional
            For how many seconds at most to wait.

        Returns
        -------
        Version or None
            The newest version that this writer has cut.

        Raises
        ------
        StoreError
            With code ``stream-stalled`` when it cannot be committed, ``stream-late`` when it takes too long. The rows
            stay in the log.
        """
        self._rows.flush(timeout)
        return self.last_version

    def cut_when_due(self) -> None:
        """Cut a version when `every_seconds` have passed; the writer's own thread asks by itself."""
        self._rows.cut_when_due()

    def take_failed(self) -> pa.Table:
        """Take out of the log the rows of a version that cannot be committed, and go on without them.

        Raises
        ------
        UsageError
            When every version could be cut so far.
        """
        return self._rows.take_failed()

    def status(self) -> StreamStatus:
        """Say how many rows are pending and for how long, and what was cut."""
        return self._rows.status()

    def close(self) -> None:
        """Cut what is pending and let go of the name; a writer that takes turns only lets go.

        Raises
        ------
        StoreError
            With code ``stream-stalled`` when it cannot be committed: the next writer of that name recovers it.
        """
        self._rows.close(flush=not self._takes_turns)

    def find_last(self) -> Version | None:
        """Return the newest version of the stream, whoever cut it; None when there is none, or none is left."""
        sealed = self._rows.last_sealed
        if sealed is None:
            return None
        found = self._storage.catalog.find_version_by_idempotency_key(self._dataset.id, cut_key(*sealed))
        return None if found is None else self._to_version(found)

    def _fill_reserves(self, version: VersionRecord) -> None:
        if version.status == Status.PUBLISHED:
            fill_reserves(self._storage, self._dataset, actor=self._author)

    def _tell(self, version: VersionRecord) -> None:
        if self._told is not None:
            self._told(self._to_version(version))

    def _to_version(self, record: VersionRecord) -> Version:
        return Version(self._storage, self._dataset, record, views=self._views)
