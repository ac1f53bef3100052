"""Reports of splits: sizes, whether the parts come from one distribution, what they share, what the test part can show.

Parts are compared by the drift engine: a column is flagged when the adjusted p-value and the debiased effect both say
so, and a part that is too small to show a change is told. Each column is read batch by batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.hashing import hash_rows
from foldstore.datastore.statistics.reading import Kind, kind_of
from foldstore.datastore.storage import Storage
from foldstore.errors import column_not_found
from foldstore.names import PARTS
from foldstore.split_report_text import report_html, report_page, report_text
from foldstore.validation.check import drift_between
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.nested_paths import is_of
from foldstore.validation.power import PartPower, power_of_part
from foldstore.validation.subject import StreamSubject
from foldstore.views.splits.near import find_near
from foldstore.views.splits.report import PartsReport, count_between, count_torn, report_split
from foldstore.views.splits.sharing import Sharing, check_column, check_columns, check_groups
from foldstore.views.splits.split import PART_CODES

_MOST_CLASSES: Final = 50


class PartRows(Protocol):
    """The rows of a part."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch."""


class Reported(Protocol):
    """What is reported on: a split, or a fold."""

    @property
    def address(self) -> str:
        """What it is called."""

    @property
    def spec(self) -> Sharing:
        """How rows are shared out."""

    @property
    def record(self) -> DatasetRecord:
        """What the catalog says of the dataset."""

    def codes(self) -> NDArray[np.uint8]:
        """Return the part of each row."""

    def rows(self) -> FragmentReader:
        """Return the reader of these rows."""

    def part(self, name: str) -> Any:
        """Return the rows of a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What is asked of a report; see `Split.report`."""

    columns: Sequence[str] | None = None
    label: str | None = None
    group_by: Sequence[str] | Sequence[Sequence[str]] = ()
    duplicates: Sequence[str] = ()
    near_duplicates: Sequence[str] = ()
    time: str | None = None
    accuracy: float = 0.9

    def __post_init__(self) -> None:
        for role in ("label", "time"):
            check_column(getattr(self, role), role)
        if self.columns is not None:
            object.__setattr__(self, "columns", check_columns(self.columns, "columns"))
        object.__setattr__(self, "group_by", check_groups(self.group_by))
        for role in ("duplicates", "near_duplicates"):
            object.__setattr__(self, role, check_columns(getattr(self, role), role))

    def named(self) -> list[str]:
        """Return the columns that are named to be looked at: the label first, then those compared."""
        return list(dict.fromkeys([*([self.label] if self.label else []), *(self.columns or ())]))

    def looked_through(self) -> list[str]:
        """Return the columns of groups and duplicates that are named."""
        grouping = [each for group in self.group_by for each in ([group] if isinstance(group, str) else group)]
        return [*grouping, *self.duplicates]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport(PartsReport):
    """What a split did to its rows, and what that is worth.

    Attributes
    ----------
    address : str
        The split.
    label : str or None
        The column that is predicted.
    keys_in_several_parts : int or None
        Values of the dataset's key that are in more than one part; None without a key.
    near_duplicates_of_train : mapping of str to int, or None
        Rows of validation and test that are nearly like one of train; None when they were not looked for.
    rows_between_parts : int or None
        Unassigned rows whose keys are in several parts: in one of these they would tie it to another. None for a split
        without several ties.
    drift : mapping of str to DriftResult
        How validation and test compare with train, column by column.
    untested : mapping of str to str
        Columns that were not compared, and why.
    judged_on : str or None
        The part that `power` is of: ``test``, or ``validation`` when that is empty.
    power : PartPower or None
        What that part can show.

    See Also
    --------
    foldstore.views.splits.report.PartsReport : the other fields.
    """

    address: str
    label: str | None
    keys_in_several_parts: int | None
    near_duplicates_of_train: Mapping[str, int] | None
    rows_between_parts: int | None
    drift: Mapping[str, DriftResult]
    untested: Mapping[str, str]
    judged_on: str | None
    power: PartPower | None

    def __str__(self) -> str:
        return report_text(self)

    def _repr_html_(self) -> str:
        return report_html(self)

    def to_html(self) -> str:
        """Return the report as a page that needs nothing else, for light and dark screens."""
        return report_page(self)

    @property
    def drifted(self) -> dict[str, tuple[str, ...]]:
        """The columns of each part that do not come from the distribution of train."""
        return {part: result.drifted for part, result in self.drift.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain, JSON-safe data."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        columns = {name: {part: asdict(each) for part, each in parts.items()} for name, parts in self.columns.items()}
        return plain | {
            "columns": columns,
            "short_strata": [asdict(each) for each in self.short_strata],
            "drift": {part: result.to_dict() for part, result in self.drift.items()},
            "power": None if self.power is None else self.power.to_dict(),
        }


def make_report(storage: Storage, split: Reported, asked: ReportRequest) -> SplitReport:
    """Report on a split or a fold.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    """
    rows, spec, record = split.rows(), split.spec, split.record
    names = list(rows.arrow_schema.names)
    wanted = asked.named()
    for name in wanted:
        if name not in names:
            raise column_not_found(name, names, where=split.address)
    tested = list(dict.fromkeys([*wanted, *(name for name in spec.strata if name in names)]))
    tested += [name for name in names if asked.columns is None and name not in tested]
    sealed = {name for seal in list_seals(storage.catalog, record.id) for name in seal.columns}
    subjects = {part: _subject(split.part(part), f"{split.address}.{part}", tested) for part in PARTS}
    drift, untested = _compare(subjects, tested, sealed)
    codes = split.codes()
    base = _report_parts(spec, codes, rows, asked, record.event_time, wanted)
    judged_on = next((part for part in ("test", "validation") if base.sizes[part]), None)
    given = {each.name: getattr(base, each.name) for each in fields(base)}
    if base.duplicates_of_train is None and asked.columns is None:
        given["duplicates_of_train"] = _count_duplicates(rows, codes, {*record.key, asked.label, *sealed})
    return SplitReport(
        **given,
        address=split.address,
        label=asked.label,
        keys_in_several_parts=_count_keys(record, rows, codes),
        near_duplicates_of_train=_count_near(spec, rows, codes, asked),
        rows_between_parts=_count_between(spec, rows, codes),
        drift=drift,
        untested=untested,
        judged_on=judged_on,
        power=None if judged_on is None else _power(subjects, judged_on, asked, base.sizes[judged_on]),
    )


def _subject(part: PartRows, address: str, columns: Sequence[str]) -> StreamSubject:
    """Return the rows of a part as the drift engine looks at them."""
    schema = pa.schema([part.arrow_schema.field(name) for name in columns])
    return StreamSubject(schema, part.to_batches, address, part.num_rows)


def _compare(
    subjects: Mapping[str, StreamSubject], tested: Sequence[str], sealed: set[str]
) -> tuple[dict[str, DriftResult], dict[str, str]]:
    train, drift = subjects["train"], {}
    untested: dict[str, str] = {}
    others = [part for part in PARTS if part != "train" and subjects[part].num_rows]
    if not tested or not train.num_rows or not others:
        return {}, dict.fromkeys(tested, "there are no two parts to compare")
    for part in others:
        result = drift_between(train, subjects[part])
        hidden = {name for name in result.columns if name in sealed and not result.columns[name].n_current}
        nulls = {name: each for name, each in result.nulls.items() if not is_of(name, sealed)}
        drift[part] = DriftResult({n: each for n, each in result.columns.items() if n not in hidden}, nulls=nulls)
        for name in tested:
            if name not in drift[part].columns:
                untested.setdefault(
                    name, "it is sealed" if name in hidden else result.untested[name].replace("the reference", "train")
                )
    return drift, untested


def _report_parts(
    spec: Sharing,
    codes: NDArray[np.uint8],
    rows: FragmentReader,
    asked: ReportRequest,
    event_time: str | None,
    wanted: Sequence[str],
) -> PartsReport:
    """Report what `report_split` does; features are all columns but the key unless some are named."""
    moment = asked.time or spec.by_time or event_time
    needed = [*wanted, *asked.looked_through(), *spec.columns(), *([moment] if moment else [])]
    table = rows.to_table(list(dict.fromkeys(needed)) or rows.arrow_schema.names[:1])
    return report_split(
        spec,  # type: ignore[arg-type]  # of either kind
        codes,
        table,
        columns=wanted,
        group_by=asked.group_by,
        duplicates=asked.duplicates,
        time=moment,
    )


def _count_duplicates(
    rows: FragmentReader, codes: NDArray[np.uint8], left_out: set[str | None]
) -> dict[str, int] | None:
    """Count the rows that agree with one of train in all columns but some: the key, the label, what is sealed."""
    schema = rows.arrow_schema
    names = [field.name for field in schema if field.name not in left_out and kind_of(field.type) is not Kind.OPAQUE]
    if not names:
        return None
    hashes = np.concatenate([np.empty(0, np.uint64), *(hash_rows(batch.columns) for batch in rows.batches(names))])
    found = np.isin(hashes, hashes[codes == PART_CODES["train"]])
    return {part: int(np.count_nonzero(found & (codes == PART_CODES[part]))) for part in PARTS if part != "train"}


def _count_keys(record: DatasetRecord, rows: FragmentReader, codes: NDArray[np.uint8]) -> int | None:
    if not record.key:
        return None
    if record.key_policy == "error":
        return 0  # each value of the key is in one row of a version
    return count_torn(rows.to_table(list(record.key)), [record.key], codes, nulls=False)


def _count_between(spec: Sharing, rows: FragmentReader, codes: NDArray[np.uint8]) -> int | None:
    if not spec.is_tied:
        return None
    groups = [*spec.groups, *([spec.duplicates] if spec.group_by and spec.duplicates else [])]
    names = list(dict.fromkeys(name for group in groups for name in group))
    return count_between(rows.to_table(names), groups, codes) if names else 0


def _count_near(
    spec: Sharing, rows: FragmentReader, codes: NDArray[np.uint8], asked: ReportRequest
) -> dict[str, int] | None:
    names = list(asked.near_duplicates or spec.near_duplicates)
    if not names:
        return None
    table = rows.to_table(names)
    judged = (codes != PART_CODES["train"]) & (codes > 0)
    alike = find_near(table.columns, spec.similarity, new=judged)
    seen = np.zeros(alike.count + 1, dtype=np.bool_)
    train = alike.labels[codes == PART_CODES["train"]]
    seen[train[train >= 0]] = True
    near = seen.copy()
    near[alike.pairs[:, 0]] |= seen[alike.pairs[:, 1]]
    near[alike.pairs[:, 1]] |= seen[alike.pairs[:, 0]]
    found = near[alike.labels] & (alike.labels >= 0)
    return {part: int(np.count_nonzero(found & (codes == PART_CODES[part]))) for part in PARTS if part != "train"}


def _power(subjects: Mapping[str, StreamSubject], part: str, asked: ReportRequest, rows: int) -> PartPower:
    if asked.label is None:
        return power_of_part(rows, accuracy=asked.accuracy)
    column = subjects[part].profile().columns[asked.label]
    if column.present:
        return power_of_part(column.present, accuracy=asked.accuracy, classes=_classes(column))
    # A sealed label: its classes are taken to be as in train.
    train = subjects["train"].profile().columns[asked.label]
    scale = rows / train.present if train.present else 0
    classes = {name: round(count * scale) for name, count in _classes(train).items()}
    return power_of_part(rows, accuracy=asked.accuracy, classes=classes)


def _classes(column: ColumnProfile) -> dict[str, int]:
    if column.values is None or not column.values.exact or len(column.values) > _MOST_CLASSES:
        return {}
    return {str(value): count for value, count in column.top(_MOST_CLASSES)}
