"""The handle of a training set: a version made by a point-in-time join, its split, and where it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.lineage.catalog_relations import TRAINING_SET
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError
from foldstore.names import parse_address
from foldstore.split import Split, SplitPart
from foldstore.version import Version
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import SqlSource

PROPERTY: Final = TRAINING_SET


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a training set was made of.

    Attributes
    ----------
    labels : str
        The split whose rows it has, pinned.
    features : str
        The feature service.
    pins : mapping of str to str
        What each address that the features are read from stood for.
    names : tuple of str
        The feature columns.
    sizes : mapping of str to int
        The rows of each part, in their order.
    views : mapping of str to str
        What each saved view that the features are read from stood for; the versions that it reads are pins.
    options : mapping of str
        How the rows were joined, where it was not as usual.
    """

    labels: str
    features: str
    pins: Mapping[str, str]
    names: tuple[str, ...]
    sizes: Mapping[str, int]
    views: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def versions(self) -> tuple[str, ...]:
        """The pinned versions that the features were read from, each once, by name."""
        return tuple(sorted(set(self.pins.values())))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain = {"labels": self.labels, "features": self.features, "names": list(self.names)}
        read = {"pins": dict(self.pins), **({"views": dict(self.views)} if self.views else {})}
        more = {"options": dict(self.options)} if self.options else {}
        return {**plain, **read, **more, "sizes": list(self.sizes.items())}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Inputs":
        """Read what `to_dict` gave."""
        names, sizes = tuple(data["names"]), dict(data["sizes"])
        more = dict(data.get("views", {})), dict(data.get("options", {}))
        return cls(data["labels"], data["features"], dict(data["pins"]), names, sizes, *more)


class TrainingSet:
    """A dataset version with the features of a service beside its labels, split as they were.

    Attributes
    ----------
    found : bool
        Whether whoever was asked to make it found that it had been made of the very same before.
    """

    def __init__(self, version: Version, split: Split, inputs: Inputs, *, found: bool = False) -> None:
        self.version = version
        self.split = split
        self.inputs = inputs
        self.found = found

    def __repr__(self) -> str:
        return (
            f"<TrainingSet {self.version.address}: {self.version.num_rows:,} rows, {len(self.inputs.names)} features>"
        )

    @property
    def address(self) -> str:
        """The address of the version."""
        return self.version.address

    @property
    def train(self) -> SplitPart:
        """The rows to learn from."""
        return self.split.train

    @property
    def validation(self) -> SplitPart:
        """The rows to choose by."""
        return self.split.validation

    @property
    def test(self) -> SplitPart:
        """The rows to be judged on; sealed labels are null."""
        return self.split.test

    def to_arrow(self) -> pa.Table:
        """Return all rows as a table over the memory-mapped files."""
        return self.version.to_arrow()


def read_training_set(version: Version, *, found: bool = False) -> TrainingSet:
    """Return the training set that a version is; `found` when it was to be made.

    Raises
    ------
    NotFoundError
        When the version was not made by `create_training_set`.
    """
    described = version.record.properties.get(PROPERTY)
    if not isinstance(described, dict):
        raise NotFoundError(f"{version.address} is not a training set.", hint="store.features.create_training_set(…)")
    inputs = Inputs.from_dict(described)
    return TrainingSet(version, version.find_split(str(parse_address(inputs.labels).split)), inputs, found=found)


def find_view_text(storage: Storage, address: str) -> str | None:
    """Return the specification of the saved view that an address names as text; None when it names another thing."""
    parsed = parse_address(address)
    number = int(parsed.ref) if parsed.ref.isdigit() else None
    document = Registry(storage.catalog, "view").find(parsed.name, number)
    return None if document is None else json.dumps(document.body, ensure_ascii=False)


def list_features_of(storage: Storage, service: str, columns: set[str]) -> list[str]:
    """List the features of a service that may hold some columns: by their names, or by the SQL of their source."""
    name, _, number = service.partition("@")
    document = Registry(storage.catalog, "feature_service").find(name, int(number))
    if document is None:
        return []
    found = []
    for selection in FeatureService.from_dict(document.body).selections:
        source = selection.view.source
        if isinstance(source, SqlSource):
            read = storage.engine.parse_query(source.query).names
            found += list(selection.features) if read is None or {c.lower() for c in columns} & read else []
        elif (spec := find_view_text(storage, source)) is not None:
            named = any(column in spec for column in columns)
            found += [feature for feature in selection.features if named or feature in columns]
        else:
            found += [feature for feature in selection.features if feature in columns]
    return found
