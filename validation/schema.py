"""`DataSchema`: the versioned description of what a dataset must look like.

Immutable; identified by BLAKE3 of its canonical JSON; edited by making a child that names its parent.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from blake3 import blake3

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import ExchangeWarning, InvalidSchemaError, column_not_found, did_you_mean
from foldstore.types import Severity
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_domains import CategoryDomain, SharedDomain, domain_fits
from foldstore.validation.column_schema import ColumnSchema, read_severities
from foldstore.validation.dataset_rules import (
    Compatibility,
    ForeignKey,
    JointDrift,
    RowRule,
    Segment,
    TrendRule,
    check_named,
    read_rules,
)
from foldstore.validation.document import (
    check_document,
    check_keys,
    find_line,
    read_count,
    read_duration,
    read_enum,
    read_fraction,
    read_json,
    read_mapping,
    read_names,
    read_plain,
    read_record,
    read_span,
    read_text,
    read_yaml,
    write_yaml,
    written,
)
from foldstore.validation.evolution import Change, Patch, apply_patches, bump, diff_plain, remove_column

FORMAT: Final = 1
_VERSION: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)
_ROLES: Final = ("time_column", "label", "prediction", "weight", "group")
_NAMES: Final = ("keys", "column_order", "environments", "transforms")
_COUNTS: Final = ("min_rows", "max_rows")
# In the order in which they are written; what is empty or as usual is left out.
_FIELDS: Final = (
    "name", "version", "doc", "keys", "other_keys", *_ROLES, "min_rows", "max_rows", "rows_vs_previous", "freshness",
    "time_step", "max_duplicate_fraction", "overlap", "column_order", "environments", "compatibility", "domains",
    "rules", "refs", "segments", "drift", "serving", "joint_drift", "trend", "transforms",
    "severity", "parent", "provenance",
)  # fmt: skip


class Fixable(Protocol):
    """Something that proposes patches: an anomaly."""

    @property
    def fix(self) -> Sequence[Patch] | None:
        """The patches that would make it go away."""
        ...


@dataclass(frozen=True, kw_only=True)
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
    other_keys : tuple of tuples of str
        Further sets of columns that tell rows apart, as `keys` does.
    time_column, label, prediction, weight, group : str, optional
        The columns in these roles: when a row happened, what is learnt, what a model said, how much it counts, whom
        it is about.
    min_rows : int
    max_rows : int, optional
    rows_vs_previous : tuple of two numbers, optional
        The least and the greatest number of rows, as a multiple of the version before.
    freshness : str, optional
        How old the newest time of `time_column` may be, such as ``36h``.
    time_step : str, optional
        No such span of `time_column` is without rows.
    max_duplicate_fraction : float, optional
        The share of rows that may repeat another in all columns.
    overlap : Mapping[str, float]
        The share of keys that may also occur in other datasets, by their names.
    column_order : tuple of str
        The order in which these columns come; empty where order does not matter.
    environments : tuple of str
        Where data like this occurs, such as training and serving; columns may belong to some only.
    compatibility : Mapping[str, Compatibility]
        What the next schema owes this one, by environment; ``all`` for all columns together.
    domains : Mapping[str, tuple]
        Values that several columns share, by name.
    rules : tuple of RowRule
    refs : tuple of ForeignKey
    segments : tuple of Segment
    drift : DriftPolicy or None
        For columns that have a grid and reference counts and no policy of their own.
    serving : str, optional
        The dataset of rows that were served, which columns with `skew` are compared with.
    joint_drift : JointDrift or None
        What is compared of columns together.
    trend : TrendRule or None
        That no column's level changes over the versions.
    transforms : tuple of str
        The addresses of fitted transforms that rows like these go through.
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
    other_keys: tuple[tuple[str, ...], ...] = ()
    time_column: str | None = None
    label: str | None = None
    prediction: str | None = None
    weight: str | None = None
    group: str | None = None
    min_rows: int = 0
    max_rows: int | None = None
    rows_vs_previous: tuple[float | None, float | None] | None = None
    freshness: str | None = None
    time_step: str | None = None
    max_duplicate_fraction: float | None = None
    overlap: Mapping[str, float] = field(default_factory=dict)
    column_order: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    compatibility: Mapping[str, Compatibility] = field(default_factory=dict)
    domains: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    rules: tuple[RowRule, ...] = ()
    refs: tuple[ForeignKey, ...] = ()
    segments: tuple[Segment, ...] = ()
    drift: DriftPolicy | None = None
    serving: str | None = None
    joint_drift: JointDrift | None = None
    trend: TrendRule | None = None
    transforms: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=dict)
    parent: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.version, str) or not _VERSION.fullmatch(self.version):
            raise InvalidSchemaError(f"The version of a schema is major.minor.patch, not {self.version!r}.")
        _check_names(self)
        _check_limits(self)
        _check_environments(self)
        _check_domains(self)
        object.__setattr__(self, "provenance", read_plain(self.provenance, "provenance"))
        for name in ("columns", "overlap", "compatibility", "domains", "severity", "provenance"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"DataSchema({self.name or 'unnamed'} {self.version}, {len(self.columns)} columns, id={self.id[:12]})"

    @cached_property
    def id(self) -> str:
        """BLAKE3 of the canonical JSON."""
        return str(blake3(self.to_json().encode()).hexdigest())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        values = {name: written(getattr(self, name)) for name in _FIELDS}
        kept = {name: value for name, value in values.items() if _is_said(name, value)}
        columns = {name: column.to_dict() for name, column in self.columns.items()}
        return {"format": FORMAT, **kept, "columns": columns}

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
        check_keys(plain, ("format", *_FIELDS, "columns"), "The schema")
        if plain.pop("format", FORMAT) != FORMAT:
            raise InvalidSchemaError(f"Schema format {data['format']!r} is not known.", hint="Upgrade Foldstore.")  # type: ignore[index]  # it was read as a mapping
        columns = read_mapping(plain.pop("columns", {}), "columns")
        made = {name: _READERS[name](value, name) if name in _READERS else value for name, value in plain.items()}
        read = {name: ColumnSchema.from_dict(each, where=f"columns.{name}") for name, each in columns.items()}
        return cls(columns=read, **made)

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
        """Read YAML, by the safe loader; a refusal names the line.

        Examples
        --------
        >>> DataSchema.from_yaml("columns:\\n  x: {type: int64}").columns["x"].type
        'int64'
        """
        data = read_yaml(text)
        try:
            return cls.from_dict(data)
        except InvalidSchemaError as error:
            line = find_line(text, str(error.facts.get("where", "")))
            if line is None:
                raise
            raise InvalidSchemaError(
                f"Line {line}: {error.message}", hint=error.hint, line=line, **error.facts
            ) from None

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
        """Return a child that lacks a column, what is inside of it, and what names it, a key as a whole.

        Examples
        --------
        >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="bool")}, label="y")
        >>> schema.without_column("y").label is None
        True
        """
        if name not in self.columns:
            raise column_not_found(name, self.columns, where="the schema")
        plain = self.to_dict()
        remove_column(plain, name)
        return self._child(DataSchema.from_dict(plain))

    def with_changes(self, **changes: Any) -> "DataSchema":
        """Return a child in which fields of the schema itself are changed.

        Examples
        --------
        >>> DataSchema(columns={}).with_changes(max_rows=10).version
        '2.0.0'
        """
        known = {each.name for each in fields(DataSchema)} - {"version", "parent"}
        for key in changes:
            if key not in known:
                raise InvalidSchemaError(f"A schema has no field {key!r} to set.", hint=did_you_mean(key, known))
        return self._child(replace(self, **changes))

    def for_environment(self, environment: str | None) -> "DataSchema":
        """Return the part of the schema that an environment has: its columns, and the rules on them alone.

        Raises
        ------
        InvalidSchemaError
            When the schema does not know the environment.

        Examples
        --------
        >>> bare = DataSchema(columns={"y": ColumnSchema(type="bool", not_in_environment=("serving",))},
        ...                   environments=("training", "serving"))
        >>> list(bare.for_environment("serving").columns)
        []
        """
        if environment is not None and environment not in self.environments:
            raise InvalidSchemaError(
                f"The schema has no environment {environment!r}.",
                hint=f"It has: {', '.join(self.environments) or 'none'}.",
                environment=environment,
            )
        columns = {name: each for name, each in self.columns.items() if each.is_expected(environment)}
        lost: dict[str, Any] = {role: None for role in _ROLES if getattr(self, role) not in (None, *columns)}
        if "time_column" in lost:
            lost |= {"freshness": None, "time_step": None}
        kept: dict[str, Any] = {
            "columns": columns,
            "keys": self.keys if all(key in columns for key in self.keys) else (),
            "other_keys": tuple(keys for keys in self.other_keys if all(key in columns for key in keys)),
            "column_order": tuple(name for name in self.column_order if name in columns),
            "refs": tuple(ref for ref in self.refs if all(name in columns for name in ref.columns)),
            "segments": tuple(each for each in self.segments if all(name in columns for name in each.by)),
        }
        changed = {name: value for name, value in (kept | lost).items() if getattr(self, name) != value}
        return replace(self, **changed) if changed else self

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

    def to_pandera(self, backend: Literal["polars", "pyarrow"] = "polars") -> Any:
        """Return a schema of pandera's, for contracts on rows in user code.

        What pandera cannot say (tolerances, statistics, environments) is left out with an `ExchangeWarning`.

        Examples
        --------
        >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64", nullable=False)})
        >>> schema.to_pandera().columns["x"].nullable
        False
        """
        from foldstore.validation.interchange.pandera_schema import to_pandera

        made, dropped = to_pandera(self.to_dict(), backend)
        _warn("pandera cannot say", dropped)
        return made

    @classmethod
    def from_pandera(cls, made: Any) -> "DataSchema":
        """Read a schema or a model of pandera's polars or pyarrow backend, or its YAML as plain data."""
        from foldstore.validation.interchange.pandera_schema import from_pandera

        return cls._imported(*from_pandera(made))

    def to_contract(self) -> dict[str, Any]:
        """Return a data contract (Open Data Contract Standard 3.1) as plain data, without loss."""
        from foldstore.validation.interchange.data_contract import to_contract

        return to_contract(self.to_dict(), self.id)

    @classmethod
    def from_contract(cls, data: object, *, table: str | None = None) -> "DataSchema":
        """Read a table of a data contract of version 3."""
        from foldstore.validation.interchange.data_contract import from_contract

        check_document(data, "The contract")
        return cls._imported(*from_contract(data, table))

    def to_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a row, with what it cannot say under ``x-foldstore``."""
        from foldstore.validation.interchange.json_schema import to_json_schema

        return to_json_schema(self.to_dict())

    @classmethod
    def from_json_schema(cls, data: object) -> "DataSchema":
        """Read a JSON Schema of an object with properties."""
        from foldstore.validation.interchange.json_schema import from_json_schema

        check_document(data, "The JSON Schema")
        return cls._imported(*from_json_schema(data))

    @classmethod
    def from_tfdv(cls, text: str) -> "DataSchema":
        """Read a schema of TensorFlow Data Validation in protobuf's text format.

        Examples
        --------
        >>> DataSchema.from_tfdv('feature { name: "x" type: INT presence { min_count: 1 } }').columns["x"].type
        'int64'
        """
        from foldstore.validation.interchange.tfdv import from_tfdv

        return cls._imported(*from_tfdv(text))

    @classmethod
    def _imported(cls, plain: dict[str, Any], dropped: list[str]) -> "DataSchema":
        """Make a schema of what was read; what was left out is warned of, and kept in the provenance."""
        schema = cls.from_dict(with_left_out(plain, dropped))
        _warn("This was not imported", dropped)
        return schema

    def _child(self, changed: "DataSchema") -> "DataSchema":
        changes = self.diff(changed)
        if not changes:
            return self
        return replace(changed, parent=self.id, version=bump(self.version, changes))


def with_left_out(plain: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Return a schema that was read of another system, with what was left out in its provenance."""
    if not dropped:
        return plain
    return {**plain, "provenance": {**plain.get("provenance", {}), "not_imported": dropped}}


def _warn(what: str, dropped: list[str]) -> None:
    if dropped:
        warnings.warn(f"{what}: {'; '.join(dropped)}.", ExchangeWarning, stacklevel=4)


def _is_said(name: str, value: Any) -> bool:
    if name == "drift":  # an empty policy says: the usual one
        return value is not None
    if name in ("max_rows", "max_duplicate_fraction"):  # none allowed is a limit
        return value is not None
    return value not in (None, "", 0, [], {})


def _optional_text(data: object, where: str) -> str | None:
    return None if data is None else read_text(data, where)


def _read_key_sets(data: object, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(data, list | tuple):
        raise InvalidSchemaError(f"{where} is a list of lists of column names, not {data!r}.", where=where)
    return tuple(read_names(each, where) for each in data)


def _read_domains(data: object, where: str) -> dict[str, tuple[Any, ...]]:
    return {
        name: read_record(CategoryDomain, {"values": values}, f"{where}.{name}").values
        for name, values in read_mapping(data, where).items()
    }


_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = MappingProxyType(
    {
        **dict.fromkeys(("name", "parent", "freshness", "time_step", "serving", *_ROLES), _optional_text),
        **dict.fromkeys(("version", "doc"), read_text),
        **dict.fromkeys(_NAMES, read_names),
        "other_keys": _read_key_sets,
        "rows_vs_previous": read_span,
        "overlap": read_mapping,
        "compatibility": read_mapping,
        "domains": _read_domains,
        "rules": lambda data, where: read_rules(RowRule, data, where),
        "refs": lambda data, where: read_rules(ForeignKey, data, where),
        "segments": lambda data, where: read_rules(Segment, data, where),
        "drift": lambda data, where: read_record(DriftPolicy, data, where),
        "joint_drift": lambda data, where: read_record(JointDrift, data, where),
        "trend": lambda data, where: read_record(TrendRule, data, where),
        "severity": read_severities,
        "provenance": read_mapping,
    }
)


def _check_names(schema: DataSchema) -> None:
    columns = schema.columns
    check_named(schema.keys, columns, "key")
    if len(set(schema.keys)) != len(schema.keys):
        raise InvalidSchemaError("A column occurs twice in the key.", keys=list(schema.keys))
    for keys in schema.other_keys:
        check_named(keys, columns, "list other_keys")
        if not keys:
            raise InvalidSchemaError("A key names at least one column.", where="other_keys")
    for role in _ROLES:
        if getattr(schema, role) is not None:
            check_named([getattr(schema, role)], columns, f"field {role}")
    check_named(read_names(schema.column_order, "column_order"), columns, "column_order")
    for ref in schema.refs:
        check_named(ref.columns, columns, "foreign key")
    for segment in schema.segments:
        check_named(segment.by, columns, "segment")


def _check_limits(schema: DataSchema) -> None:
    for name in _COUNTS:
        if getattr(schema, name) is not None:
            read_count(getattr(schema, name), name)
    if schema.max_rows is not None and schema.min_rows > schema.max_rows:
        raise InvalidSchemaError(f"min_rows {schema.min_rows} lies above max_rows {schema.max_rows}.")
    if schema.rows_vs_previous is not None:
        read_span(schema.rows_vs_previous, "rows_vs_previous")
    for name in ("freshness", "time_step"):
        if getattr(schema, name) is None:
            continue
        read_duration(getattr(schema, name), name)
        if schema.time_column is None:
            raise InvalidSchemaError(f"{name} needs a time_column.", hint="Name the column that says when.", where=name)
    if schema.max_duplicate_fraction is not None:
        read_fraction(schema.max_duplicate_fraction, "max_duplicate_fraction")
    for other, share in schema.overlap.items():
        read_fraction(share, f"overlap.{other}")


def _check_environments(schema: DataSchema) -> None:
    known = read_names(schema.environments, "environments")
    for name, column in schema.columns.items():
        for environment in (*column.in_environment, *column.not_in_environment):
            if environment not in known:
                raise InvalidSchemaError(
                    f"Column {name!r} speaks of an environment {environment!r} that the schema lacks.",
                    hint=did_you_mean(environment, known) or "List it in environments.",
                    where=f"columns.{name}",
                )
    modes = {
        name: read_enum(mode, Compatibility, f"compatibility.{name}") for name, mode in schema.compatibility.items()
    }
    for environment in modes:
        if environment not in (*known, "all"):
            raise InvalidSchemaError(
                f"compatibility speaks of an environment {environment!r} that the schema lacks.",
                hint=did_you_mean(environment, (*known, "all")),
                where="compatibility",
            )
    object.__setattr__(schema, "compatibility", modes)


def _check_domains(schema: DataSchema) -> None:
    object.__setattr__(schema, "domains", _read_domains(schema.domains, "domains"))
    for name, column in schema.columns.items():
        if isinstance(column.domain, SharedDomain) and column.domain.ref not in schema.domains:
            raise InvalidSchemaError(
                f"Column {name!r} refers to a domain {column.domain.ref!r} that the schema lacks.",
                hint=did_you_mean(column.domain.ref, schema.domains),
                where=f"columns.{name}.domain",
            )
        if isinstance(column.domain, SharedDomain):
            _check_shared(name, column.type, column.domain.ref, schema.domains[column.domain.ref])


def _check_shared(name: str, type_text: str, ref: str, values: tuple[Any, ...]) -> None:
    if not domain_fits(CategoryDomain(values=values), type_text):
        raise InvalidSchemaError(
            f"The domain {ref!r} does not fit values of type {type_text}.", where=f"columns.{name}.domain"
        )
