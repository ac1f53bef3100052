"""What a dataset's versions need to be published: a document beside its schema, versioned like it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.records import Basis
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import InvalidSchemaError, UsageError
from foldstore.types import Severity, format_time
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import check_keys
from foldstore.validation.drift.windows import window_size

KIND: Final = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """What publishing needs, beside a schema that the rows fit.

    Attributes
    ----------
    fail_on : {'error', 'warn'}
        The least severity that quarantines a version.
    review : bool
        Whether a person has to release every version, also one that passes.
    drift : str or None
        Compare the rows that come with a window of the versions before, ``"previous"``, ``"rolling(5)"`` or
        ``"seasonal(12)"``; p-values are adjusted by Holm, since any single column stops the version. While there are
        fewer versions the report says so, and nothing fails for it.
    limits : DriftPolicy
        When a change from that window counts.
    environment : str or None
        Where the rows are from, such as ``"serving"``: only its columns are asked for. One that the schema does not
        know quarantines every version, with the anomaly ``schema_unknown_environment``.

    Examples
    --------
    >>> GatePolicy(drift="rolling(5)", review=True).to_dict()
    {'review': True, 'drift': 'rolling(5)'}
    """

    fail_on: Literal["error", "warn"] = "error"
    review: bool = False
    drift: str | None = None
    limits: DriftPolicy = DriftPolicy()  # noqa: RUF009  (immutable)
    environment: str | None = None

    def __post_init__(self) -> None:
        if self.fail_on not in ("error", "warn"):
            raise InvalidSchemaError(f"fail_on is 'error' or 'warn', not {self.fail_on!r}.")
        if not isinstance(self.review, bool):
            raise InvalidSchemaError(f"review is true or false, not {self.review!r}.")
        if not isinstance(self.limits, DriftPolicy):
            raise InvalidSchemaError(f"limits is a DriftPolicy, not {type(self.limits).__name__}.")
        if self.drift is not None:
            window_size(self.drift)
        if self.environment is not None and not (isinstance(self.environment, str) and self.environment):
            raise InvalidSchemaError(f"environment is a name such as 'serving', not {self.environment!r}.")

    def fails(self, severity: Severity) -> bool:
        """Say whether an anomaly of this severity quarantines a version."""
        return severity is Severity.ERROR or (severity is Severity.WARN and self.fail_on == "warn")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "limits"}
        kept = {name: value for name, value in plain.items() if value != getattr(_DEFAULT, name)}
        return kept | ({"limits": self.limits.to_dict()} if self.limits != _DEFAULT.limits else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GatePolicy":
        """Read what `to_dict` gave.

        Raises
        ------
        InvalidSchemaError
            When it holds what a policy does not know.
        """
        check_keys(data, {each.name for each in fields(cls)}, "the gate")
        limits = data.get("limits", {})
        check_keys(limits, DriftPolicy.__slots__, "the gate's limits")
        return cls(**{**data, "limits": DriftPolicy(**limits)})


_DEFAULT: Final = GatePolicy()


def find_policy(catalog: Catalog, dataset: str) -> GatePolicy:
    """Return a dataset's newest policy, the default one unless one was set."""
    document = Registry(catalog, KIND).find(dataset)
    return GatePolicy.from_dict(document.body) if document else _DEFAULT


def find_policy_basis(catalog: Catalog, dataset: str) -> Basis:
    """Return which policy judges a dataset; version 0 when none was set."""
    document = Registry(catalog, KIND).find(dataset)
    return Basis(KIND, dataset, document.version if document else 0)


def read_policy(catalog: Catalog, basis: Basis) -> GatePolicy:
    """Return the policy that a basis names."""
    document = Registry(catalog, KIND).find(basis.name, basis.version) if basis.is_set else None
    return GatePolicy.from_dict(document.body) if document else _DEFAULT


def keep_policy(storage: Storage, dataset: str, policy: GatePolicy, *, author: str, message: str = "") -> GatePolicy:
    """Make a policy the dataset's newest; one equal to the newest changes nothing.

    Raises
    ------
    UsageError
        When it is no policy.
    """
    if not isinstance(policy, GatePolicy):
        raise UsageError(f"{type(policy).__name__!r} is not a policy.", hint="Write GatePolicy(drift='rolling(5)').")
    now = format_time(storage.clock())
    Registry(storage.catalog, KIND).put(dataset, policy.to_dict(), author=author, message=message, created_at=now)
    return policy
