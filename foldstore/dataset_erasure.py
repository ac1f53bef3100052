"""What a dataset's handle erases: rows leave every version, and what could not be reached is said."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.catalog.erasures import list_outputs, stream_of
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.erase_survey import RowsToErase
from foldstore.datastore.erasing import EraseOptions, Reached, erase_rows
from foldstore.datastore.ingest.source import key_table
from foldstore.datastore.seal_survey import row_ids as ids_of
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, UsageError
from foldstore.features.serving import forget_copies
from foldstore.names import parse_address
from foldstore.split_documents import read_document
from foldstore.training_set import PROPERTY, Inputs
from foldstore.validation.erased_report import redact_erased
from foldstore.validation.pools.pool import list_pools
from foldstore.validation.schema_history import list_schemas

_LONGEST: Final = 1_000
_BEYOND: Final = (
    ("backups and exports", "Copies outside the store are not known to it."),
    ("other processes", "What they have mapped or loaded stays readable until they let go of it."),
    (
        "commits under way",
        "What they had written before they met the erasure is garbage on disk until gc() removes it.",
    ),
    ("open streams", "Rows that wait in a stream are in no version yet; erase again when they are committed."),
    ("messages and names", "What people wrote in messages, properties, predicates and logs is left as it is."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What an erasure took away, and what it could not reach.

    Attributes
    ----------
    dataset : str
        The dataset's name.
    rows : int
        How many rows, copies in other fragments counted.
    versions : tuple of str
        The addresses of the versions that had them.
    files : int
        How many files held them.
    services : tuple of str
        Feature services whose files for lookups were removed; materialize them anew.
    unknown_keys : int
        How many of the keys no row has.
    not_reached : tuple of (str, str)
        What may still hold the rows, and why.
    dry_run : bool
        Whether nothing was done yet.
    """

    dataset: str
    rows: int
    versions: tuple[str, ...]
    files: int
    services: tuple[str, ...]
    unknown_keys: int
    not_reached: tuple[tuple[str, str], ...]
    dry_run: bool

    def __str__(self) -> str:
        verb = "Would erase" if self.dry_run else "Erased"
        lines = [
            f"{verb} {self.rows:,} rows of {self.dataset!r} in {len(self.versions):,} versions, {self.files:,} files."
        ]
        if self.unknown_keys:
            lines.append(f"{self.unknown_keys:,} of the keys belong to no row.")
        if self.services:
            lines.append(f"Materialize anew: {', '.join(self.services)}.")
        lines.append("Not reached:")
        return "\n".join([*lines, *(f"  {what}: {why}" for what, why in self.not_reached)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        reached = [{"what": what, "why": why} for what, why in self.not_reached]
        plain = {**asdict(self), "versions": list(self.versions), "services": list(self.services)}
        return {**plain, "not_reached": reached}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What stays of an erasure: that it was, never of what.

    Attributes
    ----------
    id, actor, reason, reference, created_at : str
        Its identity, who erased, why, under which number elsewhere, and when.
    rows, files : int
        How many rows, and how many files had held them.
    versions : tuple of int
        The numbers of the versions that had them.
    """

    id: str
    actor: str
    reason: str
    reference: str
    rows: int
    files: int
    versions: tuple[int, ...]
    created_at: str


class DatasetErasure:
    """Erasure by right: the one act beside sealing that changes versions."""

    _storage: Storage
    _record: DatasetRecord
    _author: str

    def erase(
        self,
        keys: Any = None,
        *,
        where: str | None = None,
        row_ids: Any = None,
        reason: str,
        reference: str = "",
        author: str | None = None,
        dry_run: bool = False,
    ) -> Erasure:
        """Remove rows from every version, quarantined ones too, from files for lookups, and from reports.

        It cannot be undone. Other rows keep their places, ids and parts of splits; a tombstone in the journal says
        that rows were erased, by whom and why, and nothing of what they held.

        Parameters
        ----------
        keys : table, dict of lists or list of dicts, optional
            Values of the key's columns.
        where : str, optional
            An SQL condition instead; it is judged in every version that has its columns.
        row_ids : sequence of int, optional
            Row ids instead.
        reason, reference : str
            Why, and a number of yours, such as a ticket's. Both are kept: name nobody in them.
        author : str, optional
            Who erases; the store's author unless given.
        dry_run : bool
            Say what would go, and do nothing.

        Raises
        ------
        NotFoundError
            When no version has such a row.
        ConflictError
            When another process seals or erases at the moment.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> first = people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        >>> second = people.delete("id = 2")
        >>> done = people.erase([{"id": 2}], reason="asked to be forgotten", reference="ticket 17")
        >>> done.rows, done.versions, first.to_arrow().to_pydict()
        (1, ('people@1', 'people@2'), {'id': [1, 3], 'age': [34, 7]})
        """
        check_words(reason, reference)
        chosen = RowsToErase(
            keys=None if keys is None else self._key_table(keys),
            where=where,
            row_ids=None if row_ids is None else np.asarray(row_ids),
        )
        services: list[str] = []
        actor = author or self._author
        options = EraseOptions(
            actor=actor,
            reason=reason,
            reference=reference,
            redact=lambda values: lambda report: redact_erased(report, values),
            # Before and after, as sealing does: a crash in between leaves no copy, and what is made meanwhile is found.
            prepare=lambda: services.extend(self._forget_copies(actor)),
            dry_run=dry_run,
        )
        reached = erase_rows(self._storage, self._record, chosen, options)
        services += [] if dry_run else self._forget_copies(actor)
        return self._tell(reached, services, dry_run=dry_run)

    def erasures(self) -> list[Tombstone]:
        """List what was erased from the dataset, oldest first."""
        found = []
        for entry in self._storage.journal.list_entries(stream_of(self._record.id)):
            body = json.loads(entry.body)
            found.append(
                Tombstone(
                    id=body["erasure"],
                    actor=entry.actor,
                    reason=body["reason"],
                    reference=body["reference"],
                    rows=body["rows"],
                    files=body["files"],
                    versions=tuple(body["versions"]),
                    created_at=entry.created_at,
                )
            )
        return found

    def _tell(self, reached: Reached, services: list[str], *, dry_run: bool) -> Erasure:
        """Say what was reached, and what was not."""
        return Erasure(
            dataset=self._record.name,
            rows=reached.rows,
            versions=tuple(f"{self._record.name}@{version.number}" for version in reached.versions),
            files=reached.files,
            services=tuple(dict.fromkeys(services)),
            unknown_keys=reached.unknown_keys,
            not_reached=(*_list_not_reached(self._storage, self._record, reached), *_BEYOND),
            dry_run=dry_run,
        )

    def _key_table(self, keys: Any) -> pa.Table:
        known = self._known_columns()
        return key_table(keys, known if known is not None else pa.schema([]), self._record.key)

    def _forget_copies(self, actor: str) -> list[str]:
        return forget_copies(self._storage, self._record.name, author=actor, why="erased")

    def _known_columns(self) -> pa.Schema | None:
        raise NotImplementedError


def check_words(reason: object, reference: object) -> None:
    """Refuse what a tombstone cannot keep.

    Raises
    ------
    UsageError
        When one is no text of that length, or there is no reason.
    """
    for name, text in (("reason", reason), ("reference", reference)):
        try:
            fits = isinstance(text, str) and "\0" not in text and len(text.encode()) <= _LONGEST
        except UnicodeEncodeError:  # half a character
            fits = False
        if not fits:
            raise UsageError(f"{name} is not a text of at most {_LONGEST:,} bytes.", hint="It is kept for good.")
    if not str(reason).strip():
        raise UsageError("An erasure needs a reason.", hint="The tombstone keeps it; name nobody in it.")


def _list_not_reached(storage: Storage, dataset: DatasetRecord, reached: Reached) -> Iterator[tuple[str, str]]:
    for name, number in reached.shared:
        yield f"{name}@{number}", "It holds the same bytes. Erase there, too."
    for address in _list_derived(storage, dataset, reached.versions):
        yield address, "It was made from a version that had the rows. Erase there, too, or make it anew."
    for name in _list_sealed(storage, dataset, reached):
        yield f"pool {name}", "Its sealed area holds hidden cells of the rows."
    if list_schemas(storage.catalog, dataset.name):
        yield f"schemas of {dataset.name}", "Extremes, domains and grids learned from the rows stay: they are the gate."
    for name in _list_remembering(storage, dataset):
        yield f"{dataset.name}#{name}", "It remembers 64-bit hashes of groups, so that later rows follow theirs."
    if not reached.scrubbed:
        yield "free space of the catalog", "Another connection was in the way; the next open cleans it."


def _list_derived(storage: Storage, dataset: DatasetRecord, versions: tuple[VersionRecord, ...]) -> list[str]:
    """List the versions that were made from some versions: training sets and what runs wrote, over any steps."""
    by_id: dict[str, str] = {}
    made_from: dict[str, set[str]] = {}
    for record in storage.catalog.list_datasets():
        for version in storage.catalog.list_versions(record.id):
            address = f"{record.name}@{version.number}"
            by_id[version.id] = address
            for source in _inputs_of(version):
                made_from.setdefault(source, set()).add(version.id)
    seen = {version.id for version in versions}
    found: set[str] = set()
    waiting = sorted(seen)
    while waiting:
        fresh = list_outputs(storage.catalog, waiting)
        fresh = fresh.union(*(made_from.get(by_id[version_id], set()) for version_id in waiting)) - seen
        seen |= fresh
        found |= fresh
        waiting = sorted(fresh & by_id.keys())
    own = f"{dataset.name}@"
    return sorted(by_id[each] for each in found if each in by_id and not by_id[each].startswith(own))


def _inputs_of(version: VersionRecord) -> set[str]:
    labels = version.properties.get("labels")
    if isinstance(labels, Mapping):
        return {str(each) for each in labels.get("inputs", ())}
    described = version.properties.get(PROPERTY)
    if not isinstance(described, Mapping):
        return set()
    inputs = Inputs.from_dict(described)
    return {f"{address.name}@{address.ref}" for address in map(parse_address, (inputs.labels, *inputs.versions))}


def _list_sealed(storage: Storage, dataset: DatasetRecord, reached: Reached) -> list[str]:
    erased = ids_of(reached.masks)
    found = []
    for pool in list_pools(storage):
        if pool.dataset.id != dataset.id:
            continue
        try:
            cells = open_sealed(storage, pool.id, []).column(ROW_ID).to_numpy()
        except RefusedError:  # another user's: it may hold them
            found.append(pool.name)
            continue
        if np.isin(erased, cells).any():
            found.append(pool.name)
    return found


def _list_remembering(storage: Storage, dataset: DatasetRecord) -> list[str]:
    splits = Registry(storage.catalog, "split")
    prefix = f"{dataset.name}#"
    found = []
    for name in splits.list_names():
        document = splits.find(name) if name.startswith(prefix) else None
        if document is None:
            continue
        if read_document(document).assignment.knows():
            found.append(name.removeprefix(prefix))
    return found
