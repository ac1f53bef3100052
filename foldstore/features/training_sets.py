"""Training sets: made of a split and of features; the next version where what they are made of is another."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from foldstore.datastore.catalog.erasures import stream_of
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, ConflictError
from foldstore.features.joins import HistoricalJoins
from foldstore.features.sources import Rows
from foldstore.names import Address, check_name, parse_address
from foldstore.training_set import PROPERTY, Inputs, TrainingSet, read_training_set
from foldstore.types import Status
from foldstore.version import Version
from foldstore.views.features.join import JoinOptions


class TrainingSets:
    """Makes training sets: of what was made before, the version is found again.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : Rows
        How versions are found and committed.
    joins : HistoricalJoins
        How features are joined.
    """

    def __init__(self, storage: Storage, rows: Rows, joins: HistoricalJoins) -> None:
        self._storage = storage
        self._rows = rows
        self._joins = joins

    def create(self, name: str, *, labels: str, features: str, options: JoinOptions, message: str) -> TrainingSet:
        """Join and commit, or find what was made of the same; see `Features.create_training_set`."""
        check_name(name)
        inputs = self._joins.pin_split(labels, features, options)
        made = self._find(name, inputs)
        if made is not None:
            return made
        joined = self._joins.join_split(inputs.labels, inputs.features, options, {**inputs.pins, **inputs.views})
        try:
            return self._rows.create(name, joined.base, joined.parts, joined.inputs, message)
        except (AlreadyExistsError, ConflictError):  # somebody else was faster, with the same perhaps
            made = self._find(name, inputs)
            if made is None:
                raise
            return made

    def _find(self, name: str, inputs: Inputs) -> TrainingSet | None:
        """Return the version that was made of the same; refuse a name that means something else."""
        dataset = self._storage.catalog.find_dataset(name)
        if dataset is None:
            return None
        versions = self._storage.catalog.list_versions(dataset.id)
        before = [each for each in versions if isinstance(each.properties.get(PROPERTY), dict)]
        if versions and not before:
            raise AlreadyExistsError(
                f"There is already a dataset {name!r}, which is no training set.",
                hint="Choose another name for the training set.",
                name=name,
            )
        for record in sorted(before, key=lambda each: -each.number):
            kept = Inputs.from_dict(record.properties[PROPERTY])
            _refuse_other(f"{name}@{record.number}", kept, inputs)
            # What did not pass its gate is made, and judged, again.
            if replace(kept, names=(), sizes={}) == inputs and record.status is not Status.QUARANTINED:
                with unrecorded():
                    changed = self._is_changed(kept, record.created_at)
                if not changed:
                    return read_training_set(self._rows.version(f"{name}@{record.number}"), found=True)
        return None

    def _is_changed(self, inputs: Inputs, since: str) -> bool:
        """Say whether cells of what it was made of were sealed since, or rows erased: the same is made no more."""
        addresses = list_inputs(inputs)
        if any(list_erased(self._storage, addresses, since, self._rows.version)):
            return True
        ids = {self._rows.version(address).record.dataset_id for address in addresses}
        return any(seal.created_at >= since for each in ids for seal in list_seals(self._storage.catalog, each))


def list_inputs(inputs: Inputs) -> list[str]:
    """List the addresses of the versions that a training set was made of, those of the labels first."""
    base = parse_address(inputs.labels)
    return list(dict.fromkeys([f"{base.name}@{base.ref}", *inputs.versions]))


def list_erased(
    storage: Storage, addresses: Iterable[str], since: str, find_version: Callable[[str], Version]
) -> Iterator[str]:
    """Yield versions that lost rows by right since an instant, with how many and when."""
    for address in addresses:
        version = find_version(address)
        for stone in storage.journal.list_entries(stream_of(version.record.dataset_id)):
            body = json.loads(stone.body)
            if version.number in body["versions"] and stone.created_at >= since:
                yield f"{address} ({body['rows']:,} rows on {stone.created_at[:10]})"


def _refuse_other(address: str, kept: Inputs, asked: Inputs) -> None:
    """Refuse to make another training set's version of one: its split and its columns mean something else."""
    for what, one, other in (
        ("labels of", _split_of(kept), _split_of(asked)),
        ("features of", parse_address(kept.features).name, parse_address(asked.features).name),
    ):
        if one != other:
            raise AlreadyExistsError(
                f"{address} is a training set with {what} {one!r}, not of {other!r}.",
                hint="Give this one another name. Another version of its labels, its service or what it reads makes "
                "the next version.",
                code="other-training-set",
                address=address,
            )


def _split_of(inputs: Inputs) -> str:
    labels: Address = parse_address(inputs.labels)
    return f"{labels.name}#{labels.split}"
