"""What a dataset's handle commits: rows and columns that come, change and go, each as one version."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import pyarrow as pa

from foldstore.datastore.alter_columns import DropColumns, RenameColumns, WidenColumns
from foldstore.datastore.append import Append, Fit
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import CommitOptions, begin, commit_steps
from foldstore.datastore.compaction import Compact
from foldstore.datastore.draft import Step
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.lineage.recording import note_output
from foldstore.datastore.overwrite import Overwrite, Restore
from foldstore.datastore.storage import Storage
from foldstore.datastore.sync import Sync
from foldstore.datastore.upsert import Upsert
from foldstore.errors import UsageError
from foldstore.transaction import DatasetTransaction, add_columns_step, delete_step
from foldstore.types import Progress, Status
from foldstore.validation.pools.reserve import fill_reserves

if TYPE_CHECKING:
    from foldstore.version import Version


class CommitWords(TypedDict, total=False):
    """What every commit takes.

    Attributes
    ----------
    message, author : str
        Kept with the version; the store's author unless given.
    properties : mapping
        Plain data kept with the version.
    idempotency_key : str
        A second commit with the same key returns the version of the first, whatever it brings.
    progress : callable
        Told the rows done and the rows in all.
    """

    message: str
    author: str | None
    properties: Mapping[str, Any] | None
    idempotency_key: str | None
    progress: Progress | None


_WORDS = frozenset(CommitWords.__annotations__)


class DatasetWriting:
    """Commits. Each verb makes one version and returns it; `transaction` makes one of several.

    Every verb takes ``message=``, ``author=``, ``properties=``, ``idempotency_key=`` and ``progress=``. Verbs that
    take data take a path (Parquet, CSV, JSON lines, Arrow, Feather), anything that speaks Arrow, a dict of lists or
    an iterable of record batches, and how to read a file (``types={"zip": "string"}``, ``null_tokens=["", "NA"]``).
    """

    _storage: Storage
    _record: DatasetRecord
    _author: str
    _branch: str
    _gate: PublishGate

    def append(self, data: Any, *, order_by: Sequence[str] = (), evolve: bool = False, **words: Any) -> "Version":
        """Commit more rows as a new version.

        With a schema set, the rows are judged first: a version that fails comes back ``quarantined``, with
        its `report`, and `latest` stays where it is.

        Parameters
        ----------
        data : object
            A path (Parquet, CSV, JSON lines, Arrow, Feather), a folder or pattern (``"data/2013-*.parquet"``)
            of such files, anything that speaks Arrow, a dict of lists, or an iterable of record batches.
        order_by : sequence of str
            Sort the rows by these columns first. Row order can give an outcome away.
        evolve : bool
            Add columns that are new, and read as null those that the data comes without.
        **words
            ``message=``, ``author=``, ``properties=``, ``idempotency_key=``, ``progress=``; and how to read text:
            ``types={"zip": "string"}``, ``encoding="cp1252"``, ``on_broken_row="quarantine"``, ``quarantine_to=path``;
            of CSV also ``null_tokens=["", "NA"]``, ``true_tokens=``, ``false_tokens=``, ``delimiter=";"``,
            ``quote=``, ``columns=[...]`` for a file without a header.

        Raises
        ------
        IngestError
            When the data cannot be read; a broken CSV row is named by line and column.
        SchemaMismatchError
            When columns do not fit the dataset and no schema is set to judge that.
        DuplicateKeyError
            When a key value occurs twice and no schema is set.
        """
        options, source = self._read(data, words)
        return self._commit(Append(source, Fit(order_by=order_by, evolve=evolve)), options)

    def overwrite(self, data: Any, *, order_by: Sequence[str] = (), **words: Any) -> "Version":
        """Commit rows in the place of all that are there; the columns become those of the data.

        Earlier versions keep theirs. It takes what `append` takes.

        Raises
        ------
        ConflictError
            When another writer committed meanwhile: its rows are not wiped out unseen.
        RefusedError
            When rows of the dataset belong to a test pool.
        """
        options, source = self._read(data, words)
        return self._commit(Overwrite(source, Fit(order_by=order_by)), options)

    def upsert(self, data: Any, **words: Any) -> "Version":
        """Commit rows by key: those with a known key take that row's place, others are added.

        It takes what `append` takes. Only the rows that come are written.

        Raises
        ------
        UsageError
            When the dataset has no key, or a row's key is null or NaN.
        DuplicateKeyError
            When two rows of the data have one key.
        RefusedError
            When a row belongs to a test pool.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> _ = people.append({"id": [1, 2], "age": [34, 51]})
        >>> people.upsert({"id": [2, 3], "age": [52, 7]}).to_arrow().to_pydict()
        {'id': [1, 2, 3], 'age': [34, 52, 7]}
        """
        options, source = self._read(data, words)
        return self._commit(Upsert(source), options)

    def sync(self, data: Any, *, delete_missing: bool = True, **words: Any) -> "Version":
        """Make the rows those of the data, by key, and commit the difference alone.

        A file that was exported again, with a few changes, costs these changes. Rows whose values are the same stay
        where they are; `version.record.properties["sync"]` counts what was added, changed, deleted and kept.

        Parameters
        ----------
        data : object
            What `append` takes.
        delete_missing : bool
            Whether rows whose key the data does not have are deleted.
        **words
            See `append`.

        Raises
        ------
        UsageError
            When the dataset has no key, or a row's key is null or NaN.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> _ = people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        >>> again = people.sync({"id": [1, 2, 4], "age": [34, 52, 9]})
        >>> again.record.properties["sync"]
        {'added': 1, 'changed': 1, 'deleted': 1, 'unchanged': 1}
        """
        options, source = self._read(data, words)
        step = Sync(source, delete_missing=delete_missing)
        return self._commit(step, options)

    def delete(self, where: str | None = None, *, keys: Any = None, **words: Unpack[CommitWords]) -> "Version":
        """Commit that rows are gone: those that meet an SQL condition, or those with some keys.

        They are marked in a bitmap; files stay as they are, and earlier versions have the rows still. See `erase` for
        rows that must go from every version.

        Parameters
        ----------
        where : str, optional
            An SQL condition; null counts as not true.
        keys : table, dict of lists or list of dicts, optional
            Values of the key's columns; a key that no row has is no error.
        **words
            See `CommitWords`.

        Raises
        ------
        InvalidExpressionError
            When the condition is not allowed or fails on a row.
        RefusedError
            When a row belongs to a test pool.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> first = people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        >>> people.delete("age < 18").num_rows, people.delete(keys={"id": [1]}).num_rows, first.num_rows
        (2, 1, 3)
        """
        return self._commit(delete_step(where, keys, self._known_columns(), self._record), self._options(words))

    def add_columns(self, columns: Any, **words: Unpack[CommitWords]) -> "Version":
        """Commit new columns; only these are written.

        Parameters
        ----------
        columns : mapping of str to str, or table
            SQL expressions by name, which later appends compute too; or a table with the key's columns and new ones,
            joined on the key (rows that it does not have get null).
        **words
            See `CommitWords`.

        Raises
        ------
        InvalidExpressionError
            When an expression is not allowed, or fails on a row.
        AlreadyExistsError
            When a column of that name is there.
        """
        return self._commit(add_columns_step(columns, self._known_columns()), self._options(words))

    def drop_columns(self, columns: Sequence[str], **words: Unpack[CommitWords]) -> "Version":
        """Commit that columns are gone; no file changes, and earlier versions have them still.

        Raises
        ------
        UsageError
            When a column belongs to the key, is the event time, or a derived column uses it.
        """
        return self._commit(DropColumns(columns), self._options(words))

    def rename_columns(self, names: Mapping[str, str], **words: Unpack[CommitWords]) -> "Version":
        """Commit new names of columns, as ``{"old": "new"}``; no file changes.

        Raises
        ------
        UsageError
            When a column belongs to the key, is the event time, or a derived column uses it.
        """
        return self._commit(RenameColumns(names), self._options(words))

    def widen_columns(self, types: Mapping[str, Any], **words: Unpack[CommitWords]) -> "Version":
        """Commit wider types of columns, as ``{"amount": "int64"}``; no file changes.

        Files with the narrower type are cast when they are read, which copies the column until a compaction.

        Raises
        ------
        SchemaMismatchError
            When the new type does not hold every value of the old one.
        """
        return self._commit(WidenColumns(types), self._options(words))

    def restore(self, version: "Version | int | str", **words: Unpack[CommitWords]) -> "Version":
        """Commit an old version's columns and rows as those of the newest; nothing is written but the commit.

        Raises
        ------
        ConflictError
            When another writer committed meanwhile: what it wrote is not undone unseen.
        """
        record = self._version_record(version)
        options = self._options(words, message=f"restore version {record.number}")
        return self._commit(Restore(record), options)

    def compact(self, *, target_bytes: int | None = None, **words: Unpack[CommitWords]) -> "Version":
        """Commit the same rows in fewer files: small fragments are joined, deleted rows left out.

        Rows keep their order and their ids, and open versions are read on without a copy. `gc` frees the old files
        when the versions that name them have expired.

        Parameters
        ----------
        target_bytes : int, optional
            How large a fragment may become; 128 MB unless given.
        **words
            See `CommitWords`.
        """
        step = Compact() if target_bytes is None else Compact(target_bytes)
        return self._commit(step, self._options(words))

    def transaction(self, *, parent: int | None = None, **words: Unpack[CommitWords]) -> DatasetTransaction:
        """Begin several changes that become one version, or none.

        Parameters
        ----------
        parent : int, optional
            The number of the version that the changes were thought out for, 0 for none; the newest unless given. What
            others committed since is treated as if they had committed meanwhile.
        **words
            See `CommitWords`.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> _ = people.append({"id": [1, 2], "age": [34, 51]})
        >>> with people.transaction(message="spring cleaning") as change:
        ...     change.delete("age > 50")
        ...     change.append({"id": [3], "age": [7]})
        ...     change.add_columns({"adult": "age >= 18"})
        >>> people.latest.address, people.latest.to_arrow().to_pydict()
        ('people@2', {'id': [1, 3], 'age': [34, 7], 'adult': [True, False]})
        """
        if parent is not None and (isinstance(parent, bool) or not isinstance(parent, int) or parent < 0):
            raise UsageError(f"parent={parent!r} is not the number of a version.", hint="Write parent=3.")
        opened = begin(self._storage, self._record, self._options(words), self._gate, parent=parent)
        return DatasetTransaction(opened, self._committed)

    def _commit(self, step: Step, options: CommitOptions) -> "Version":
        return self._committed(commit_steps(self._storage, self._record, [step], options=options, gate=self._gate))

    def _committed(self, record: VersionRecord) -> "Version":
        note_output(self._storage, record)
        if record.status == Status.PUBLISHED and record.branch == "main":
            fill_reserves(self._storage, self._record, actor=self._author)
        return self._to_version(record)

    def _read(self, data: Any, words: Mapping[str, Any]) -> tuple[CommitOptions, BatchSource]:
        """Tell what is said about the commit from how to read the data, and open it."""
        about = {name: value for name, value in words.items() if name in _WORDS}
        how = {name: value for name, value in words.items() if name not in _WORDS}
        source = open_source(data, self._known_columns(), **how)
        properties = {**(about.get("properties") or {}), "source": dict(source.description)}
        return self._options({**about, "properties": properties}), source

    def _options(self, words: Mapping[str, Any], *, message: str = "") -> CommitOptions:
        unknown = [name for name in words if name not in _WORDS]
        if unknown:
            raise UsageError(
                f"{unknown[0]!r} is no option of a commit.", hint=f"There are {', '.join(sorted(_WORDS))}."
            )
        left_out = {"message": ""}
        given = {name: value for name, value in words.items() if value != left_out.get(name)}
        return CommitOptions(
            **{"author": self._author, "message": message, "branch": self._branch, "properties": {}, **given}
        )

    def _to_version(self, record: VersionRecord) -> "Version":
        raise NotImplementedError

    def _known_columns(self) -> pa.Schema | None:
        raise NotImplementedError

    def _version_record(self, version: "Version | int | str | None") -> VersionRecord:
        raise NotImplementedError
