"""The law of consistency, audited: what was served equals what the training join gives for its instant, to the bit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.statistics.reading import parse_type
from foldstore.errors import FoldstoreError
from foldstore.features.bit_equality import find_different
from foldstore.features.definitions import Definitions
from foldstore.features.joins import HistoricalJoins
from foldstore.lookup_log import MATERIALIZATION, REQUESTED, SERVED_AT, SERVICE
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.join import JoinOptions
from foldstore.views.values import value_reader

_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedFeature:
    """A feature, and where it was served otherwise than the join gives.

    Attributes
    ----------
    name : str
    compared, different : int
        Lookups.
    examples : tuple of dict
        The first few: the keys, the instant, what was served and what the join gives.
    """

    name: str
    compared: int
    different: int
    examples: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        shown = [{name: _plain(value) for name, value in example.items()} for example in self.examples]
        return {"feature": self.name, "compared": self.compared, "different": self.different, "examples": shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit of logged lookups found.

    Attributes
    ----------
    service : str
    log : str
        The version of the dataset of lookups.
    rows : int
        The lookups that were looked at.
    features : tuple of AuditedFeature
    left_out : mapping of str to int
        Why lookups could not be computed again, and how many.
    """

    service: str
    log: str
    rows: int
    features: tuple[AuditedFeature, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether every value that could be computed again is what was served."""
        return not any(feature.different for feature in self.features)

    @property
    def audited(self) -> int:
        """How many lookups were computed again."""
        return self.rows - sum(self.left_out.values())

    def __str__(self) -> str:
        said = "equal" if self.equal else "NOT equal"
        lines = [f"{self.service}: {self.audited:,} of {self.rows:,} lookups of {self.log} computed again, {said}"]
        for feature in self.features:
            if feature.different:
                lines.append(f"  {feature.name}: {feature.different:,} of {feature.compared:,} differ")
                lines += [f"    {_brief(example)}" for example in feature.examples]
        lines += [f"  left out {count:,}: {why}" for why, count in self.left_out.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Audit of {self.service}: {self.audited:,} lookups, {'equal' if self.equal else 'not equal'}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "service": self.service,
            "log": self.log,
            "rows": self.rows,
            "audited": self.audited,
            "equal": self.equal,
            "features": [feature.to_dict() for feature in self.features],
            "left_out": dict(self.left_out),
        }


class Auditor:
    """Computes logged lookups again.

    Parameters
    ----------
    definitions : Definitions
        The services.
    joins : HistoricalJoins
        Joins as training does.
    materialized : Registry
        What was laid out, version by version, and from what.
    """

    def __init__(self, definitions: Definitions, joins: HistoricalJoins, materialized: Registry) -> None:
        self._definitions = definitions
        self._joins = joins
        self._materialized = materialized

    def audit(self, service: str, log: str, lookups: pa.Table) -> Audit:
        """Compute lookups again, those of each materialization from the versions that it was made of."""
        counts: dict[str, list[Any]] = {}
        left_out: dict[str, int] = {}
        for address, number, rows in _groups(lookups):
            reason = self._compare(address, number, rows, counts)
            if reason is not None:
                left_out[reason] = left_out.get(reason, 0) + rows.num_rows
        features = tuple(
            AuditedFeature(name=name, compared=compared, different=different, examples=tuple(examples))
            for name, (compared, different, examples) in counts.items()
        )
        return Audit(service=service, log=log, rows=lookups.num_rows, features=features, left_out=left_out)

    def _compare(self, address: str, number: int | None, rows: pa.Table, counts: dict[str, list[Any]]) -> str | None:
        """Compare the lookups of one materialization; return why it cannot be done."""
        document = None if number is None else self._materialized.find(address, number)
        if document is None or "pins" not in document.body:
            return "they were served from pushed rows, or it was not noted from what"
        _, definition, _ = self._definitions.get(address)
        try:
            asking = _asking(definition, self._brought(definition), rows)
            joined = self._joins.join_pinned(
                asking, definition, JoinOptions(event_timestamp=SERVED_AT), document.body["pins"]
            )
        except FoldstoreError as error:
            return f"{address} cannot be joined again: {error.message}"
        for name in self._output_names(definition):
            full = _full_name(definition, name)
            served = _served(rows, name, full)
            if served is None:
                continue
            differs = find_different(served, joined.column(name).combine_chunks())
            tally = counts.setdefault(name, [0, 0, []])
            tally[0] += rows.num_rows
            tally[1] += int(differs.sum())
            for place in np.flatnonzero(differs)[: _EXAMPLES - len(tally[2])].tolist():
                example = {key: asking.column(key)[place].as_py() for key in asking.column_names if key != SERVED_AT}
                at = str(np.datetime64(asking.column(SERVED_AT).cast(pa.int64())[place].as_py(), "ns"))
                read = value_reader(served.type)
                values = {"served": read(served[place]), "joined": read(joined.column(name)[place])}
                tally[2].append({**example, "at": at, **values})
        return None

    def _brought(self, definition: FeatureService) -> list[str]:
        transform = self._definitions.find_transform(definition)
        features = definition.output_names()
        return [] if transform is None else [name for name in transform.inputs if name not in features]

    def _output_names(self, definition: FeatureService) -> list[str]:
        transform = self._definitions.find_transform(definition)
        names = definition.output_names()
        return names if transform is None else transform.output_names(names)


def _groups(lookups: pa.Table) -> Iterator[tuple[str, int | None, pa.Table]]:
    if MATERIALIZATION not in lookups.column_names:
        lookups = lookups.append_column(MATERIALIZATION, pa.nulls(lookups.num_rows, pa.int64()))
    pairs = lookups.select([SERVICE, MATERIALIZATION]).group_by([SERVICE, MATERIALIZATION]).aggregate([])
    for pair in sorted(pairs.to_pylist(), key=lambda each: (each[SERVICE], each[MATERIALIZATION] or 0)):
        number = pair[MATERIALIZATION]
        same = pc.field(MATERIALIZATION).is_null() if number is None else pc.field(MATERIALIZATION) == number
        yield pair[SERVICE], number, lookups.filter((pc.field(SERVICE) == pair[SERVICE]) & same)


def _asking(definition: FeatureService, brought: Sequence[str], rows: pa.Table) -> pa.Table:
    """Return what was asked: the keys in their types, what the requests brought, the instants."""
    keys: dict[str, str] = {}
    for selection in definition.selections:
        keys |= dict(zip(selection.label_keys, selection.view.keys.values(), strict=True))
    columns = {name: _cast(rows.column(name), parse_type(kind)) for name, kind in keys.items()}
    for name in brought:
        found = f"{name}{REQUESTED}" if f"{name}{REQUESTED}" in rows.column_names else name
        if found in rows.column_names:
            columns[name] = rows.column(found)
    return pa.table({**columns, SERVED_AT: rows.column(SERVED_AT)})


def _cast(column: pa.ChunkedArray, kind: pa.DataType | None) -> pa.ChunkedArray:
    return column if kind is None or column.type == kind else column.cast(kind)


def _full_name(definition: FeatureService, name: str) -> str:
    pairs = zip(definition.output_names(), definition.output_names(full_feature_names=True), strict=True)
    return dict(pairs).get(name, name)


def _served(rows: pa.Table, name: str, full: str) -> pa.Array | None:
    """Return what was served as a feature; a lookup may have asked for full names."""
    found = [rows.column(each).combine_chunks() for each in dict.fromkeys((name, full)) if each in rows.column_names]
    return pc.coalesce(*found) if found else None


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _brief(example: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{name} {value}" for name, value in example.items() if name not in ("served", "joined"))
    return f"{keys}: served {example['served']!r}, the join gives {example['joined']!r}"
