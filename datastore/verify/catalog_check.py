"""The catalog against itself: its database, its rows, pages, bitmaps, arrow schemas, journals, documents, seals."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from foldstore.datastore.canonical import content_hash
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.records import DatasetRecord, SealRecord, VersionRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.commit_object import check_commit_object, commit_object_path
from foldstore.datastore.deletion import count_deleted
from foldstore.datastore.manifest import decode_page, encode_page
from foldstore.datastore.seal_area import check_sealed
from foldstore.datastore.storage import Storage
from foldstore.datastore.verify.verification import Fault, Kind
from foldstore.errors import CancelledError, CorruptObjectError, FoldstoreError, StoreError


@dataclass(slots=True)
class Findings:
    """What was found so far, and what the checks that follow need to know.

    Attributes
    ----------
    expired : set of str
        The ids of versions that gave their rows up.
    addresses : dict
        The address of each version by its id.
    page_rows : dict
        How many rows each page that reads has.
    bad_pages : set of str
        Pages that do not read, or of which the catalog says other things.
    unrecorded : list of VersionRecord
        Versions without the commit object that they should have.
    """

    faults: list[Fault] = field(default_factory=list)
    datasets: dict[str, DatasetRecord] = field(default_factory=dict)
    versions: list[VersionRecord] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    addresses: dict[str, str] = field(default_factory=dict)
    page_rows: dict[str, int] = field(default_factory=dict)
    bad_pages: set[str] = field(default_factory=set)
    unrecorded: list[VersionRecord] = field(default_factory=list)
    journals: int = 0

    def add(self, what: str, name: str, message: str, kind: Kind = Kind.CORRUPT, **more: Any) -> None:
        """Note a fault."""
        self.faults.append(Fault(what=what, name=name, message=message, kind=kind, **more))

    @contextmanager
    def guard(self, what: str, name: str, kind: Kind = Kind.CORRUPT) -> Iterator[None]:
        """Note whatever goes wrong inside as a fault, and go on: damage can fail in any way."""
        try:
            yield
        except CancelledError:
            raise
        except StoreError as error:
            if error.code == "store-closed":
                raise
            self.add("catalog", name, error.message)
        except FoldstoreError as error:
            self.add(what, name, error.message, kind)
        except Exception as error:  # noqa: BLE001  # see above
            self.add(what, name, f"{type(error).__name__}: {error}", kind)

    def to_addresses(self, version_ids: set[str]) -> tuple[str, ...]:
        """Return the addresses of some versions."""
        return tuple(sorted(self.addresses.get(version_id, version_id) for version_id in version_ids))


def check_database(storage: Storage, found: Findings) -> None:
    """Check the database's own files, and that no row refers to one that is not there."""
    with found.guard("catalog", "database"):
        for message in inspection.check_integrity(storage.catalog):
            found.add("catalog", "database", f"The database says: {message}.")
    with found.guard("catalog", "rows"):
        for message in inspection.find_dangling(storage.catalog):
            found.add("catalog", "rows", message, Kind.INCONSISTENT)


def read_versions(storage: Storage, found: Findings) -> None:
    """Read the rows of datasets and versions; those that follow work on what could be read."""
    with found.guard("catalog", "datasets"):
        for dataset in inspection.list_dataset_rows(storage.catalog):
            if dataset.record is None:
                found.add("dataset", dataset.key, f"The row of dataset {dataset.key} is damaged: {dataset.error}.")
            else:
                found.datasets[dataset.key] = dataset.record
    with found.guard("catalog", "versions"):
        for version in inspection.list_version_rows(storage.catalog):
            if version.record is None:
                found.addresses[version.key] = version.key
                found.add("version", version.key, version.error, versions=(version.key,))
                continue
            dataset_record = found.datasets.get(version.record.dataset_id)
            name = dataset_record.name if dataset_record else version.record.dataset_id
            found.addresses[version.key] = f"{name}@{version.record.number}"
            found.versions.append(version.record)
            if version.record.expired_at is not None:
                found.expired.add(version.key)


def check_pages(storage: Storage, found: Findings) -> None:
    """Check each manifest page against its name and against what the catalog says of it."""
    bad: dict[str, int] = {}
    with found.guard("catalog", "pages"):
        for row in inspection.iter_page_rows(storage.catalog):
            with found.guard("page", row.hash):
                try:
                    _check_page(row, found)
                except Exception:
                    bad[row.hash] = len(found.faults)
                    raise
    found.bad_pages = set(bad)
    _attribute(found, bad, lambda: inspection.find_page_users(storage.catalog, sorted(bad)))


def _check_page(row: inspection.PageRow, found: Findings) -> None:
    expected = encode_page(decode_page(row.hash, row.encoded))
    found.page_rows[row.hash] = expected.num_rows
    counted = (expected.num_fragments, expected.num_rows, expected.objects, expected.deletions)
    if counted != (row.num_fragments, row.num_rows, row.objects, row.deletions):
        raise CorruptObjectError(f"The catalog says other things of manifest page {row.hash} than it holds.")


def _attribute(found: Findings, bad: dict[str, int], find_users: Callable[[], dict[str, set[str]]]) -> None:
    """Say at each fault which versions it reaches; `bad` has the place of the fault by the name of the thing."""
    if not bad:
        return
    with found.guard("catalog", "pages"):
        users = find_users()
        for name, place in bad.items():
            versions = found.to_addresses(users.get(name, set()))
            found.faults[place] = replace(found.faults[place], versions=versions)


def check_deletions(storage: Storage, found: Findings) -> None:
    """Check each bitmap of deleted rows against its name and its count; pages say that there are no others."""
    bad: dict[str, int] = {}
    with found.guard("catalog", "deletions"):
        for name, encoded, num_deleted in inspection.iter_deletions(storage.catalog):
            before = len(found.faults)
            with found.guard("deletion", name):
                if count_deleted(name, encoded) != num_deleted:
                    raise CorruptObjectError(f"Bitmap {name} of deleted rows has other rows than the catalog counts.")
            if len(found.faults) > before:
                bad[name] = before
    _attribute(found, bad, lambda: inspection.find_deletion_users(storage.catalog, sorted(bad)))


def check_versions(storage: Storage, found: Findings) -> None:
    """Check that each version has its pages, its arrow schema and its commit object."""
    schemas: dict[str, bool] = {}
    for version in found.versions:
        address = found.addresses[version.id]
        before = len(found.faults)
        reads = False
        with found.guard("version", address, Kind.INCONSISTENT):
            reads = _check_rows(storage, found, version)
        with found.guard("arrow schema", version.arrow_schema_id):
            if version.arrow_schema_id not in schemas:
                schemas[version.arrow_schema_id] = False
                storage.catalog.read_arrow_schema(version.arrow_schema_id)
                schemas[version.arrow_schema_id] = True
        found.faults[before:] = [replace(fault, versions=(address,)) for fault in found.faults[before:]]
        if not schemas[version.arrow_schema_id] and len(found.faults) == before:
            message = f"Version {version.number} needs an arrow schema that is damaged."
            found.add("version", address, message, Kind.INCONSISTENT, versions=(address,))
        if reads and len(found.faults) == before:
            _check_recorded(storage, found, version)


def _check_rows(storage: Storage, found: Findings, version: VersionRecord) -> bool:
    """Check the rows of a version; False when a fault of one of its pages says already that it does not read."""
    if version.expired_at is not None:
        return True  # its pages were given up
    hashes = storage.catalog.list_page_hashes(version.id)
    if any(name in found.bad_pages for name in hashes):
        return False
    gone = [name for name in hashes if name not in found.page_rows]
    if gone:
        raise CorruptObjectError(f"Version {version.number} needs manifest page {gone[0]}, which is not there.")
    if sum(found.page_rows[name] for name in hashes) != version.num_rows:
        raise CorruptObjectError(f"Version {version.number} lists other rows than it counts.")
    return True


def _check_recorded(storage: Storage, found: Findings, version: VersionRecord) -> None:
    kind = Kind.CORRUPT if commit_object_path(storage, version).is_file() else Kind.MISSING
    expired = version.expired_at is not None or version.parent_id in found.expired
    if not version.recorded and (kind is Kind.MISSING or expired):
        return  # a crash was faster, or retention changed what it has to say; the next commit writes it
    before = len(found.faults)
    with found.guard("commit object", found.addresses[version.id], kind):
        check_commit_object(storage, version)
    if len(found.faults) > before:
        found.unrecorded.append(version)


def check_journals(storage: Storage, found: Findings) -> None:
    """Check the chains of all journals."""
    with found.guard("catalog", "journals"):
        streams = storage.journal.list_streams()
        found.journals = len(streams)
        for stream in streams:
            with found.guard("journal", stream):
                storage.journal.verify(stream)


def check_documents(storage: Storage, found: Findings) -> None:
    """Check the documents of the Registry against their hashes."""
    with found.guard("catalog", "documents"):
        for kind, name, version, digest, body in inspection.iter_documents(storage.catalog):
            with found.guard("document", f"{kind} {name}@{version}"):
                if content_hash(body.encode()) != digest:
                    raise CorruptObjectError(f"Version {version} of the {kind} {name!r} does not match its hash.")


def check_seals(storage: Storage, found: Findings) -> None:
    """Check the files of the sealed area."""
    with found.guard("catalog", "seals"):
        for seal in list_seals(storage.catalog):
            with found.guard("seal", seal.id):
                _check_seal(storage, seal)


def _check_seal(storage: Storage, seal: SealRecord) -> None:
    if seal.state != "open":  # an open one has sealed nothing yet
        for name, file in seal.files.items():
            check_sealed(storage, seal.id, name, file)
