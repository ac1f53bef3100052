"""Transforms: the operations in their order, and what they have learnt from a train split."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.errors import SchemaMismatchError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.views.transforms import categories, computing, scaling, target, texts, times
from foldstore.views.transforms.golden import (
    Disagreement,
    compare_kernels,
    differing,
    make_golden,
    plain_rows,
    read_kind,
    read_rows,
    write_rows,
)
from foldstore.views.transforms.numbers import is_number, is_text
from foldstore.views.transforms.operation import Operation, RowKernel, read_operation
from foldstore.views.transforms.target import TargetEncode

FORMAT: Final = 1
TRANSFORM_KIND: Final = "transform"
OPERATIONS: Final[dict[str, type[Operation]]] = {
    kind.OP: kind
    for kind in (
        scaling.Impute,
        scaling.Clip,
        scaling.ZScore,
        scaling.MinMax,
        scaling.Log,
        categories.Bucketize,
        categories.Vocabulary,
        categories.OneHot,
        categories.HashBucket,
        categories.CountEncode,
        target.TargetEncode,
        times.DateParts,
        texts.NormalizeText,
        computing.Compute,
        texts.Drop,
    )
}


@dataclass(frozen=True, slots=True)
class Transform:
    """Operations on features, in order; each learns from what those before it gave.

    Parameters
    ----------
    name : str
        In the grammar of names.
    operations : sequence of Operation

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.views.transforms.scaling import Impute, ZScore
    >>> transform = Transform("inputs", [Impute("delay", method="mean"), ZScore("delay")])
    >>> fitted = transform.fit(pa.table({"delay": [0.0, None, 10.0]}))
    >>> fitted.apply(pa.table({"delay": [5.0, None, 15.0]}))["delay"].to_pylist()
    [0.0, 0.0, 2.0]
    >>> fitted.apply_row({"delay": 15.0})
    {'delay': 2.0}
    """

    name: str
    operations: Sequence[Operation]

    def __post_init__(self) -> None:
        check_name(self.name, "transform")
        if not isinstance(self.operations, list | tuple) or not self.operations:
            raise UsageError(f"Transform {self.name!r} has no operations.", hint="Write [Impute(…), ZScore(…)].")
        for each in self.operations:
            if not isinstance(each, Operation):
                raise UsageError(f"{ascii(each)[:80]} is no operation.", hint="Write Impute('delay') and the like.")
        object.__setattr__(self, "operations", tuple(self.operations))

    def fit(
        self, rows: pa.Table, *, fitted_on: str = "rows in memory", beside: Iterable[str] = ()
    ) -> "FittedTransform":
        """Learn from rows; they should be a train split's.

        Parameters
        ----------
        rows : pyarrow.Table
        fitted_on : str
            Where the rows are from, such as ``training@1#split.train``.
        beside : iterable of str
            Columns that were left out of the rows as no operation reads them; an error names them too.

        Raises
        ------
        SchemaMismatchError
            When a column is not there, or of a type that an operation is not made for.
        UsageError
            When the rows teach an operation nothing.
        """
        if not rows.num_rows:
            raise UsageError("There are no rows to fit on.", hint="Give a split's train part.", code="nothing-to-learn")
        original = {name: _plain_column(rows.column(name)) for name in rows.column_names}
        columns, sources = dict(original), dict[str, pa.DataType]()
        states, counted = [], []
        made: set[str] = set()
        for operation in self.operations:
            self._check_columns(operation, columns, beside)
            sources |= {name: original[name].type for name in operation.inputs if name not in made}
            columns |= {name: original[name] for name in operation.reads_to_fit if name in original.keys() - columns}
            self._check_kept(sources)
            state = operation.fit(columns)
            operation.change(state, {name: array.type for name, array in columns.items()})
            before = set(columns)
            counted.append(operation.apply(state, columns))
            states.append(state)
            made |= (columns.keys() - before) | ({operation.column} - set(operation.inputs))
        fitted = FittedTransform(self, sources, states, fitted_on=fitted_on, rows=rows.num_rows, counted=counted)
        fitted.keep_golden(make_golden({name: original[name] for name in sources}, self.operations, states))
        return fitted

    def _check_kept(self, sources: Mapping[str, pa.DataType]) -> None:
        for name, kind in sources.items():
            if read_kind(str(kind)) is None or pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
                raise SchemaMismatchError(
                    f"Transform {self.name!r} cannot work on {name!r} of type {kind}.",
                    hint="Leave the column out, or change its type, in a view before.",
                    code="transform-schema-mismatch",
                    column=name,
                )

    def _check_columns(self, operation: Operation, columns: Mapping[str, pa.Array], beside: Iterable[str]) -> None:
        for name in operation.inputs:
            if name not in columns:
                raise SchemaMismatchError(
                    f"Transform {self.name!r} works on a column {name!r} that the rows lack.",
                    hint=did_you_mean(name, [*columns, *beside]),
                    code="transform-schema-mismatch",
                    column=name,
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data."""
        return {"name": self.name, "operations": [each.to_dict() for each in self.operations]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Transform":
        """Read what `to_dict` wrote, or a person did; every part is checked as if it were typed anew."""
        if not isinstance(data, Mapping) or not isinstance(data.get("operations"), list):
            raise UsageError(
                "The definition of a transform has no list of operations.", hint="Write operations: [...]."
            )
        strange = [str(name) for name in data if name not in ("name", "operations")]
        if strange:
            raise UsageError(
                f"A transform has no field {strange[0][:80]!r}.", hint=did_you_mean(strange[0], ["name", "operations"])
            )
        return cls(data.get("name", ""), [read_operation(item, OPERATIONS) for item in data["operations"]])


@dataclass(frozen=True, slots=True)
class Tally:
    """What an operation counted.

    Attributes
    ----------
    operation : Operation
    count : int
        Rows that were imputed, clipped, outside the vocabulary or the bins.
    rows : int
    """

    operation: Operation
    count: int
    rows: int

    @property
    def share(self) -> float:
        """The share of the rows."""
        return self.count / self.rows if self.rows else 0.0


class FittedTransform:
    """A transform with what it has learnt: plain data, the same for tables and for single rows.

    Parameters
    ----------
    definition : Transform
    kinds : mapping of str to pyarrow.DataType
        The types of the columns it was fitted on.
    states : sequence of dict
        What each operation learnt.
    fitted_on : str
        The rows it was fitted on.
    rows : int
        How many.
    counted : sequence of int
        How many of them each operation counted.

    Attributes
    ----------
    origins : mapping of str to tuple of str
        The columns that come out of those that go in, and which of these each is made of.
    """

    def __init__(
        self,
        definition: Transform,
        kinds: Mapping[str, pa.DataType],
        states: Sequence[Mapping[str, Any]],
        *,
        fitted_on: str,
        rows: int,
        counted: Sequence[int],
    ) -> None:
        self.definition = definition
        self.kinds = dict(kinds)
        self.states = tuple(states)
        self.fitted_on = fitted_on
        self.rows = rows
        self.counted = tuple(counted)
        self.golden: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        self._kernels: list[RowKernel] = []
        self.origins: Mapping[str, tuple[str, ...]] = self._compile()
        self._lock = threading.Lock()
        self._served = [0] * (len(definition.operations) + 1)

    def __repr__(self) -> str:
        return (
            f"<FittedTransform {self.definition.name}: {len(self.definition.operations)} operations on "
            f"{', '.join(self.kinds)}; fitted on {self.rows:,} rows of {self.fitted_on}>"
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return tuple(self.kinds)

    def output_kinds(self, kinds: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
        """Return the columns that come out when these go in, known before anything runs.

        Raises
        ------
        SchemaMismatchError
            When a column that is needed is not there, or of a type of another kind.
        """
        self.check_kinds(kinds)
        given = {name: self.kinds.get(name, _plain_kind(kind)) for name, kind in kinds.items()}
        for operation, state in zip(self.definition.operations, self.states, strict=True):
            operation.change(state, given)
        return given

    def output_names(self, features: Sequence[str]) -> list[str]:
        """Return what comes out of some features and of what is needed beside them, in order."""
        names = dict.fromkeys([*features, *self.kinds])
        return list(self.output_kinds({name: self.kinds.get(name, pa.null()) for name in names}))

    def check_kinds(self, kinds: Mapping[str, pa.DataType]) -> None:
        """Refuse columns that are not those it was fitted on, or of types that hold other values."""
        for name in self.kinds:
            self.check_kind(name, kinds)

    def check_kind(self, name: str, kinds: Mapping[str, pa.DataType]) -> None:
        """Refuse a column that is not what it was when the transform was fitted.

        Raises
        ------
        SchemaMismatchError
            When it is not there, or of a type that holds other values.
        """
        wanted = self.kinds[name]
        if name not in kinds:
            raise SchemaMismatchError(
                f"Transform {self.definition.name!r} needs a column {name!r}.",
                hint=did_you_mean(name, list(kinds)),
                code="transform-schema-mismatch",
                column=name,
            )
        if not _fits(kinds[name], wanted):
            raise SchemaMismatchError(
                f"Transform {self.definition.name!r} was fitted on {name!r} of type {wanted}, not {kinds[name]}.",
                hint="Fit it anew, or give the column the type that it had.",
                code="transform-schema-mismatch",
                column=name,
            )

    def apply(self, rows: pa.Table, *, out_of_fold: bool = False) -> pa.Table:
        """Work on a table; other columns pass, in their order, then come the new ones.

        Parameters
        ----------
        rows : pyarrow.Table
        out_of_fold : bool
            The rows are to be learnt from: target encodings come from the other folds of these very rows.
        """
        table, _ = self.apply_counted(rows, out_of_fold=out_of_fold)
        return table

    def apply_counted(self, rows: pa.Table, *, out_of_fold: bool = False) -> tuple[pa.Table, list[Tally]]:
        """Work on a table, and say how many rows each operation counted."""
        self.output_kinds({field.name: field.type for field in rows.schema})
        columns = {name: _plain_column(rows.column(name)) for name in rows.column_names}
        original = dict(columns)
        for name, kind in self.kinds.items():
            columns[name] = _cast(columns[name], kind, self.definition.name, name)
        tallies = []
        for operation, state in zip(self.definition.operations, self.states, strict=True):
            if out_of_fold and isinstance(operation, TargetEncode):
                # As it was when fitted: worked on by what goes before, or as it came where that dropped it.
                operation.encode_out_of_fold(columns, columns.get(operation.target, original.get(operation.target)))
                count = 0
            else:
                count = operation.apply(state, columns)
            tallies.append(Tally(operation, count, rows.num_rows))
        return pa.table(columns), tallies

    def apply_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Work on one row, given as plain values; equal to the bit to what `apply` gives for it.

        Raises
        ------
        SchemaMismatchError
            When a column is missing, or a value is of another type.
        """
        values = dict(row)
        for name in self.kinds:
            if name not in values:
                raise SchemaMismatchError(
                    f"Transform {self.definition.name!r} needs {name!r}.",
                    hint=did_you_mean(name, [str(each) for each in row]),
                    code="transform-schema-mismatch",
                    column=name,
                )
            if type(values[name]) is int and pa.types.is_floating(self.kinds[name]):
                values[name] = float(values[name])
        try:
            for kernel in self._kernels:
                kernel(values)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SchemaMismatchError(
                f"A value of the row does not fit transform {self.definition.name!r}: {error}",
                hint=f"It takes {', '.join(f'{name}: {kind}' for name, kind in self.kinds.items())}.",
                code="transform-schema-mismatch",
            ) from error
        return values

    def serve(self, values: dict[str, Any]) -> None:
        """Work on one row in place and count it; the hot path: nothing is checked."""
        events = [place for place, kernel in enumerate(self._kernels) if kernel(values)]
        with self._lock:
            self._served[-1] += 1
            for place in events:
                self._served[place] += 1

    def note_served(self, tallies: Sequence[Tally]) -> None:
        """Add what a batch counted to what was served."""
        with self._lock:
            self._served[-1] += tallies[0].rows
            for place, tally in enumerate(tallies):
                self._served[place] += tally.count

    def served_counts(self) -> list[Tally]:
        """Return what was counted while serving, in this process."""
        with self._lock:
            counts = list(self._served)
        operations = self.definition.operations
        return [Tally(each, count, counts[-1]) for each, count in zip(operations, counts[:-1], strict=True)]

    def fitted_counts(self) -> list[Tally]:
        """Return what was counted in the rows it was fitted on."""
        operations = self.definition.operations
        return [Tally(each, count, self.rows) for each, count in zip(operations, self.counted, strict=True)]

    def compare_kernels(self, rows: pa.Table) -> list[Disagreement]:
        """Work on rows by both kernels; return where they differ."""
        return list(compare_kernels(self, rows))

    def keep_golden(self, rows: pa.Table) -> None:
        """Keep rows, and what comes out of them, to be compared with wherever it is loaded."""
        self.golden = write_rows(rows), write_rows(self.apply(rows))

    def check_golden(self) -> list[Disagreement]:
        """Work on the rows that are kept by both kernels, here; return where either differs from what was kept."""
        rows = read_rows(self.golden[0])
        kept, now = read_rows(self.golden[1]), self.apply(rows)
        return [
            *compare_kernels(self, rows),
            *differing(list(plain_rows(kept)), list(plain_rows(now)), "what was kept when it was fitted", "columns"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "format": FORMAT,
            **self.definition.to_dict(),
            "kinds": {name: str(kind) for name, kind in self.kinds.items()},
            "states": [dict(state) for state in self.states],
            "fitted_on": self.fitted_on,
            "rows": self.rows,
            "counted": list(self.counted),
            "golden": list(self.golden),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FittedTransform":
        """Read what `to_dict` wrote."""
        if data.get("format") != FORMAT:
            raise UsageError(f"Transforms of format {data.get('format')} are not known.", hint="Use a newer Foldstore.")
        definition = Transform.from_dict({"name": data["name"], "operations": data["operations"]})
        kinds = {name: _parse_kind(text) for name, text in data["kinds"].items()}
        fitted = cls(
            definition,
            kinds,
            data["states"],
            fitted_on=data["fitted_on"],
            rows=data["rows"],
            counted=data["counted"],
        )
        fitted.golden = data["golden"][0], data["golden"][1]
        return fitted

    @property
    def hash(self) -> str:
        """The identity: of the definition, what was learnt, and where."""
        return content_hash(canonical_json(self.to_dict()).encode())

    def _compile(self) -> dict[str, tuple[str, ...]]:
        kinds = dict(self.kinds)
        origins: dict[str, tuple[str, ...]] = {name: (name,) for name in kinds}
        for operation, state in zip(self.definition.operations, self.states, strict=True):
            self._kernels.append(operation.compile(state, kinds))
            read = [origin for name in operation.inputs for origin in origins.get(name, ())]
            before = set(kinds)
            operation.change(state, kinds)
            changed = {*(kinds.keys() - before), *({operation.column} & kinds.keys())}
            origins = {name: tuple(dict.fromkeys(read)) if name in changed else origins[name] for name in kinds}
        return origins


def _plain_kind(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain_column(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, its values themselves where it is encoded by a dictionary."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(_plain_kind(column.type))
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) and combined.num_chunks == 1 else combined


def _cast(array: pa.Array, kind: pa.DataType, transform: str, name: str) -> pa.Array:
    if array.type == kind:
        return array
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise SchemaMismatchError(
            f"Column {name!r} does not fit transform {transform!r}, fitted on {kind}: {error}",
            hint="Fit it anew, or mend the column.",
            code="transform-schema-mismatch",
            column=name,
        ) from None


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    kind = _plain_kind(kind)
    if kind == wanted or (is_text(kind) and is_text(wanted)):
        return True
    if pa.types.is_null(kind):
        return True
    if is_number(kind) and is_number(wanted):
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(wanted))
    return bool(
        pa.types.is_timestamp(kind) and pa.types.is_timestamp(wanted) and (kind.tz is None) == (wanted.tz is None)
    )


def _parse_kind(text: str) -> pa.DataType:
    kind = read_kind(text)
    if kind is None:
        raise UsageError(f"{text[:80]!r} is no type that a transform can be kept with.", hint="Fit it anew.")
    return kind
