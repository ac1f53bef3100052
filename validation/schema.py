"""`DataSchema`: the versioned description of what a dataset must look like.

Immutable; identified by BLAKE3 of its canonical JSON; edited by making a child that names its parent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from blake3 import blake3

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import InvalidSchemaError, column_not_found, did_you_mean
from foldstore.types import Severity
from foldstore.validation.column_schema import ColumnSchema, read_severities
from foldstore.validation.document import (
    check_document,
    check_keys,
    read_json,
    read_mapping,
    read_plain,
    read_text,
    read_yaml,
    write_yaml,
)
from foldstore.validation.evolution import Change, Patch, apply_patches, bump, diff_plain

FORMAT: Final = 1
_VERSION: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)
_FIELDS: Final = (
    "format", "name", "version", "doc", "keys", "min_rows", "severity", "parent", "provenance", "columns",
)  # fmt: skip


class Fixable(Protocol):
    """Something that proposes patches: an anomaly."""

    @property
    def fix(self) -> Sequence[Patch] | None:
        """The patches that would make it go away."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSchema:
    """What a dataset must look like.

    Attributes
    ----------
    columns : Mapping[str, ColumnSchema]
    name : str, optional
        The dataset it was made for.
    version : str
        major.minor.patch.
    keys : tuple of str
        The columns that together tell rows apart.
    min_rows : int
    severity : Mapping[str, Severity]
        Overrides for all columns, by anomaly code; a column's own go first.
    parent : str, optional
        The id of the schema it was edited from.
    provenance : Mapping[str, Any]
        Where it came from, such as the profile it was inferred from.
    doc : str

    Examples
    --------
    >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64")})
    >>> schema.with_column("x", nullable=False).version
    '2.0.0'
    """

    columns: Mapping[str, ColumnSchema]
    name: str | None = None
    version: str = "1.0.0"
    keys: tuple[str, ...] = ()
    min_rows: int = 0
    severity: Mapping[str, Severity] = field(default_factory=dict)
    parent: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.version, str) or not _VERSION.fullmatch(self.version):
            raise InvalidSchemaError(f"The version of a schema is major.minor.patch, not {self.version!r}.")
        for key in self.keys:
            if key not in self.columns:
                raise InvalidSchemaError(
                    f"The key names a column {key!r} that the schema lacks.", hint=did_you_mean(key, self.columns)
                )
        if len(set(self.keys)) != len(self.keys):
            raise InvalidSchemaError("A column occurs twice in the key.", keys=list(self.keys))
        if not isinstance(self.min_rows, int) or isinstance(self.min_rows, bool) or self.min_rows < 0:
            raise InvalidSchemaError(f"min_rows is a whole number, 0 or more, not {self.min_rows!r}.")
        object.__setattr__(self, "provenance", read_plain(self.provenance, "provenance"))
        for name in ("columns", "severity", "provenance"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"DataSchema({self.name or 'unnamed'} {self.version}, {len(self.columns)} columns, id={self.id[:12]})"

    @property
    def id(self) -> str:
        """BLAKE3 of the canonical JSON."""
        return str(blake3(self.to_json().encode()).hexdigest())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        plain: dict[str, Any] = {"format": FORMAT, "name": self.name, "version": self.version}
        plain |= {"doc": self.doc, "keys": list(self.keys), "min_rows": self.min_rows}
        plain |= {"severity": {code: str(severity) for code, severity in self.severity.items()}}
        plain |= {"parent": self.parent, "provenance": dict(self.provenance)}
        kept = {key: value for key, value in plain.items() if value not in (None, "", 0, [], {})}
        return kept | {"columns": {name: column.to_dict() for name, column in self.columns.items()}}

    @classmethod
    def from_dict(cls, data: object) -> "DataSchema":
        """Read plain data; everything in it is checked.

        Raises
        ------
        InvalidSchemaError
            For unknown keys, wrong types, impossible ranges and the like, with where and why.
        """
        check_document(data, "The schema")
        plain = read_mapping(data, "The schema")
        check_keys(plain, _FIELDS, "The schema")
        if plain.get("format", FORMAT) != FORMAT:
            raise InvalidSchemaError(f"Schema format {plain['format']!r} is not known.", hint="Upgrade Foldstore.")
        columns = read_mapping(plain.get("columns", {}), "columns")
        keys = plain.get("keys", [])
        if not isinstance(keys, list):
            raise InvalidSchemaError("keys is a list of column names.")
        return cls(
            columns={name: ColumnSchema.from_dict(each, where=f"columns.{name}") for name, each in columns.items()},
            name=None if plain.get("name") is None else read_text(plain["name"], "name"),
            version=read_text(plain.get("version", "1.0.0"), "version"),
            keys=tuple(read_text(key, "keys") for key in keys),
            min_rows=plain.get("min_rows", 0),
            severity=read_severities(plain.get("severity", {}), "severity"),
            parent=None if plain.get("parent") is None else read_text(plain["parent"], "parent"),
            provenance=read_mapping(plain.get("provenance", {}), "provenance"),
            doc=read_text(plain.get("doc", ""), "doc"),
        )

    def to_json(self) -> str:
        """Return the canonical JSON: keys sorted, no spaces."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> "DataSchema":
        """Read JSON."""
        return cls.from_dict(read_json(text))

    def to_yaml(self) -> str:
        """Return text for people to review and edit; `from_yaml` reads exactly this schema from it."""
        return write_yaml(self.to_dict())

    @classmethod
    def from_yaml(cls, text: str) -> "DataSchema":
        """Read YAML, by the safe loader."""
        return cls.from_dict(read_yaml(text))

    def with_column(self, name: str, **changes: Any) -> "DataSchema":
        """Return a child in which some fields of a column are changed, or a column is added.

        Examples
        --------
        >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64")})
        >>> schema.with_column("x", doc="a count").columns["x"].doc
        'a count'
        """
        known = {each.name for each in fields(ColumnSchema)}
        for key in changes:
            if key not in known:
                raise InvalidSchemaError(f"A column has no field {key!r}.", hint=did_you_mean(key, known))
        if name in self.columns:
            column = replace(self.columns[name], **{"inferred": False, **changes})
        elif "type" in changes:
            column = ColumnSchema(**changes)
        else:
            raise column_not_found(name, self.columns, where="the schema")
        return self._child(replace(self, columns={**self.columns, name: column}))

    def without_column(self, name: str) -> "DataSchema":
        """Return a child that lacks a column; a key that names it loses it too."""
        if name not in self.columns:
            raise column_not_found(name, self.columns, where="the schema")
        columns = {each: column for each, column in self.columns.items() if each != name}
        return self._child(replace(self, columns=columns, keys=tuple(key for key in self.keys if key != name)))

    def accept(self, anomalies: Iterable[Fixable], *, reason: str | None = None) -> "DataSchema":
        """Return a child to which the fixes that anomalies propose are applied.

        Anomalies without a fix change nothing: bad data is not made good by a schema. A fix for drift
        raises the limit and never moves the baseline.
        """
        patches = [patch for anomaly in anomalies for patch in anomaly.fix or ()]
        if not patches:
            return self
        patched = apply_patches(self.to_dict(), patches)
        if reason is not None:
            patched["provenance"] = {**patched.get("provenance", {}), "reason": reason}
        return self._child(DataSchema.from_dict(patched))

    def diff(self, other: "DataSchema") -> list[Change]:
        """Return what changed from this schema to another, each with its weight."""
        return diff_plain(self.to_dict(), other.to_dict())

    def _child(self, changed: "DataSchema") -> "DataSchema":
        changes = self.diff(changed)
        if not changes:
            return self
        return replace(changed, parent=self.id, version=bump(self.version, changes))
