"""The handle of a training set: a version made by a point-in-time join, its split, and where it came from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from foldstore.errors import NotFoundError
from foldstore.split import Split, SplitPart
from foldstore.version import Version

PROPERTY = "training_set"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a training set was made of.

    Attributes
    ----------
    labels : str
        The split whose rows it has, pinned.
    features : str
        The feature service.
    versions : tuple of str
        The pinned versions that the features were read from.
    names : tuple of str
        The feature columns.
    """

    labels: str
    features: str
    versions: tuple[str, ...]
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Inputs":
        """Read what `to_dict` gave."""
        return cls(data["labels"], data["features"], tuple(data["versions"]), tuple(data["names"]))


class TrainingSet:
    """A dataset version with the features of a service beside its labels, split as they were."""

    def __init__(self, version: Version, split: Split, inputs: Inputs) -> None:
        self.version = version
        self.split = split
        self.inputs = inputs

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


def read_training_set(version: Version) -> TrainingSet:
    """Return the training set that a version is.

    Raises
    ------
    NotFoundError
        When the version was not made by `create_training_set`.
    """
    described = version.record.properties.get(PROPERTY)
    if not isinstance(described, dict):
        raise NotFoundError(f"{version.address} is not a training set.", hint="store.features.create_training_set(…)")
    inputs = Inputs.from_dict(described)
    return TrainingSet(version, version.find_split(inputs.labels.rpartition("#")[2]), inputs)
