"""The rows that a pool is made of: read before they are sealed, named by digests, measured for leaks by order."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import decode_schema, expressions_of, plain_schema
from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.manifest import Fragment, decode_page
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_survey import Mask, row_ids
from foldstore.datastore.statistics.hashing import combine, hash_column, hash_rows
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.validation.nested_paths import is_of

_MOST_CLASSES: Final = 10
# What the inference may choose by looking at cells.
_RULES: Final = frozenset(
    {"domain", "bounds", "unique", "monotone", "valency", "fixed_shape", "constant", "min_count", "skew"}
)
_NULL_RULES: Final = frozenset({"nullable", "min_fraction"})
_WITHHELD: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "message": "withheld: cells of the column are sealed",
        "observed": None,
        "expected": None,
        "count": None,
        "fraction": None,
        "evidence": {},
        "fix": None,
    }
)
Digests = NDArray[np.uint64]


def open_version(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> FragmentReader:
    """Return a reader of the rows in a version's files; masks say which of them are meant."""
    pages = [decode_page(*row) for row in seals.list_version_pages(storage.catalog, version.id)]
    fragments: list[Fragment] = [replace(fragment, deleted=None) for page in pages for fragment in page.fragments]
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    return FragmentReader(storage, dataset.id, fragments, schema, f"{dataset.name}@{version.number}")


def read_rows(reader: FragmentReader, masks: Mapping[int, Mask], columns: Sequence[str]) -> pa.Table:
    """Return columns of masked rows, in the version's order."""
    schema = pa.schema([reader.arrow_schema.field(name) for name in columns])
    batches = []
    for fragment in reader.fragments:
        if fragment.id not in masks or not columns:
            continue
        start = 0
        for batch in reader.restricted([fragment]).batches(columns):
            batches.append(batch.filter(pa.array(masks[fragment.id][start : start + batch.num_rows])))
            start += batch.num_rows
    return pa.Table.from_batches(batches, schema).unify_dictionaries().combine_chunks()


def list_row_ids(reader: FragmentReader, masks: Mapping[int, Mask]) -> NDArray[np.uint64]:
    """Return the row ids of masked rows, in the version's order."""
    parts = [row_ids({f.id: masks[f.id]}) for f in reader.fragments if f.id in masks]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDigests:
    """What tells rows apart wherever they are kept.

    Attributes
    ----------
    identity : array of uint64
        Within the dataset: of the key, or of the row id where there is no key.
    content : array of uint64
        Anywhere: of the names and values of what can be seen of the row.
    """

    identity: Digests
    content: Digests


def digest_rows(dataset: DatasetRecord, ids: NDArray[np.uint64], visible: pa.Table) -> RowDigests:
    """Return the digests of rows.

    Parameters
    ----------
    ids : array of uint64
        Their row ids.
    visible : Table
        The columns that stay readable, key columns among them.
    """
    identity = hash_rows([visible.column(name) for name in dataset.key]) if dataset.key else hash_column(pa.array(ids))
    parts = [hash_column(pa.array([",".join(sorted(visible.column_names))] * len(ids)))]
    for name in sorted(visible.column_names):
        try:
            parts.append(hash_column(visible.column(name)))
        except UsageError:
            continue  # a nested column: the others tell rows apart
    return RowDigests(identity=identity, content=combine(parts))


def read_derivations(storage: Storage, dataset: DatasetRecord) -> dict[str, set[str]]:
    """Return the columns that each derived column uses in any version of a dataset.

    A seal reaches every version, published or not: a column that only another version has tells the label as well.
    """
    found: dict[str, set[str]] = {}
    for schema_id in dict.fromkeys(v.arrow_schema_id for v in storage.catalog.list_versions(dataset.id)):
        schema = decode_schema(storage.catalog.read_arrow_schema(schema_id))
        plain = plain_schema(schema)
        for name, text in expressions_of(schema).items():
            where = f"column {name!r} of {dataset.name!r}"
            used = storage.engine.parse_expression(text, plain, where=where).columns
            found.setdefault(name, set()).update(used)
    return found


def ancestors_of(inputs: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """Return what columns are computed from, over any number of steps.

    Parameters
    ----------
    inputs : mapping of str to str
        The columns that each derived column uses.

    Examples
    --------
    >>> sorted(ancestors_of({"late": ["delay"], "delay": ["came", "due"]}, ["late"]))
    ['came', 'delay', 'due']
    """
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        fresh = set(inputs.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += fresh
    return found


def descendants_of(inputs: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """Return what is computed from columns, over any number of steps.

    Examples
    --------
    >>> sorted(descendants_of({"late": ["delay"], "delay": ["came", "due"]}, ["came"]))
    ['delay', 'late']
    """
    known, found = set(names), set[str]()
    while True:
        fresh = {name for name, used in inputs.items() if known & set(used)} - found
        if not fresh:
            return found
        found |= fresh
        known |= fresh


def measure_row_order(labels: pa.Array, moments: pa.Array | None) -> tuple[float, float]:
    """Return how well the place of a row tells its label, and what chance alone could do.

    The figure is the area under the ROC curve of a row's place for the class that it tells best; 0.5 is nothing.
    Places are: in the whole, within the day of the event, and how far the row stands behind its event time within
    the day (rows that were written in the order of their outcomes). Chance: 0.5 plus four standard errors of the
    Mann-Whitney statistic.

    Parameters
    ----------
    labels : Array
        In the order of the rows.
    moments : Array, optional
        The event times.

    Examples
    --------
    >>> labels = pa.array([False] * 50 + [True] * 50)
    >>> measure_row_order(labels, None)[0]
    1.0
    """
    codes = labels.dictionary_encode()
    counts = np.bincount(codes.indices.to_numpy(zero_copy_only=False), minlength=1)
    positions = [np.arange(len(labels), dtype=np.float64)]
    if moments is not None:
        positions += _places_in_day(moments)
    best, margin = 0.5, 0.5
    for code in np.argsort(-counts)[:_MOST_CLASSES].tolist():
        chosen = codes.indices.to_numpy(zero_copy_only=False) == code
        ones, others = int(chosen.sum()), int((~chosen).sum())
        if not ones or not others:
            continue
        error = float(np.sqrt((ones + others + 1) / (12 * ones * others)))
        for position in positions:
            area = _area(position, chosen)
            if abs(area - 0.5) > best - 0.5:
                best, margin = 0.5 + abs(area - 0.5), 0.5 + 4 * error
    return best, margin


def _places_in_day(moments: pa.Array) -> list[NDArray[np.float64]]:
    days = pc.fill_null(moments.cast(pa.date32(), safe=False).cast(pa.int32()), -1).to_numpy(zero_copy_only=False)
    instants = pc.fill_null(moments.cast(pa.timestamp("us")).cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    written = _within(days, np.argsort(days, kind="stable"))
    expected = _within(days, np.lexsort((instants, days)))
    return [written, written - expected]


def _within(days: NDArray[np.int32], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the place of each row among those of its day, from 0 to 1, in an order that keeps days together."""
    ordered = days[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    places = np.empty(len(days))
    places[order] = (np.arange(len(days)) - np.repeat(starts, lengths)) / np.repeat(np.maximum(lengths - 1, 1), lengths)
    return places


def _area(position: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    _, inverse, counts = np.unique(position, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]  # ties share their mean rank
    ones = int(chosen.sum())
    return float((ranks[chosen].sum() - ones * (ones + 1) / 2) / (ones * (len(chosen) - ones)))


def redact_report(body: dict[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Return a stored report without what it says of sealed columns: extremes, distributions, counts.

    A finding that names one anywhere, as one on rules or keys of several columns does, is withheld too; and no example
    is left, since rows of the pool may be among them. Where sealed columns were compared with a reference, all of that
    goes: the p-values of the others are adjusted by theirs. So do the ids of the profile and the schema that it was
    made of, for they are hashes over what the sealed cells added up to.

    Examples
    --------
    >>> found = {"column": None, "message": "late > 9 fails", "count": 1, "example_rows": [{"row": 3}]}
    >>> redact_report({"anomalies": [found], "drift": {"columns": {}}}, ["late"])["anomalies"][0]["message"]
    'withheld: cells of the column are sealed'
    """
    hidden = set(columns)
    found = body["drift"]
    compared = any(is_of(name, hidden) for name in (*found["columns"], *found.get("nulls", ())))
    anomalies = []
    for each in body["anomalies"]:
        tells = is_of(each["column"], hidden) or _names_any(each, hidden)
        tells = tells or (compared and "p_adjusted" in (each.get("evidence") or {}))
        blank = {key: value for key, value in _WITHHELD.items() if key in each} if tells else {}
        anomalies.append({**each, **blank, **({"example_rows": []} if "example_rows" in each else {})})
    drift = {**found, **({part: {} for part in ("columns", "nulls") if part in found} if compared else {})}
    made_of: dict[str, Any] = {name: "withheld" for name in ("profile_id", "schema_id") if name in body}
    return {**body, **made_of, "anomalies": anomalies, "drift": drift}


def _names_any(data: Any, names: Iterable[str]) -> bool:
    text = canonical_json(data)
    return any(re.search(rf"(?<!\w){re.escape(canonical_json(name)[1:-1])}(?!\w)", text) for name in names)


def redact_schema(body: dict[str, Any], columns: Iterable[str], label: str | None = None) -> dict[str, Any]:
    """Return a stored schema without what it learned from sealed columns.

    Extremes and distributions go, and the drift check that needs them: counts over all rows, less those that can
    still be read, are the counts of the sealed ones. Rules go where the inference chose them; what a person wrote is a
    rule, and stays, as do type and severities. The same goes for what is inside. The id of the profile that a schema
    was inferred from goes, too: a hash over few possible values can be tried with each.

    Parameters
    ----------
    label : str, optional
        The column whose sealed cells are known to be no nulls: it keeps its rule about them.

    Examples
    --------
    >>> late = {"type": "bool", "nullable": False, "evidence": {"rows": 9, "maximum": True}}
    >>> redact_schema({"columns": {"late": late}}, ["late"])
    {'columns': {'late': {'type': 'bool', 'nullable': False}}}
    """
    hidden = set(columns)
    redacted = {
        name: _redact_column(column, keeps_nulls=name == label) if is_of(name, hidden) else column
        for name, column in body["columns"].items()
    }
    kept = {**body, "columns": redacted}
    if "provenance" in body:
        kept["provenance"] = {name: said for name, said in body["provenance"].items() if name != "inferred_from"}
    return kept


def _redact_column(column: dict[str, Any], *, keeps_nulls: bool) -> dict[str, Any]:
    learned = {"evidence", "drift", "grid", "reference"}
    if column.get("inferred"):
        learned |= _RULES if keeps_nulls else _RULES | _NULL_RULES
    return {name: value for name, value in column.items() if name not in learned}
