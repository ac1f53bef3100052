"""What every operation of a transform can do: learn from columns, work on columns, work on one row."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa

from foldstore.errors import SchemaMismatchError, UsageError, did_you_mean
from foldstore.views.features.entity import check_column

State: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = MutableMapping[str, pa.Array]
Kinds: TypeAlias = MutableMapping[str, pa.DataType]
# Changes a row's values in place; says whether the row was one that the operation counts (imputed, clipped ...).
RowKernel: TypeAlias = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a transform, as it is written down; what it learns is its state, plain data.

    Attributes
    ----------
    column : str
        The column that it works on.
    """

    OP: ClassVar[str] = ""
    # The anomaly that too many counted rows are; None for an operation that counts nothing.
    EVENT: ClassVar[str | None] = None

    column: str

    def __post_init__(self) -> None:
        check_column(self.column, f"operation {self.OP!r}")
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, bool) and not isinstance(value, bool):
                raise refuse_parameter(self, f"{each.name} is {ascii(value)[:40]}", "Give true or false.")
        self.check()

    def check(self) -> None:
        """Refuse parameters that mean nothing."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.column,)

    @property
    def reads_to_fit(self) -> tuple[str, ...]:
        """The columns that it learns from."""
        return self.inputs

    @property
    def limit(self) -> float | None:
        """The share of rows that it may count, where the definition says so."""
        return getattr(self, "max_rate", None)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:  # noqa: ARG002  # some learn nothing
        """Learn; return plain data."""
        return {}

    def change(self, state: State, kinds: Kinds) -> None:
        """Change the columns' types as `apply` will: what comes out is known before anything runs.

        Raises
        ------
        SchemaMismatchError
            When a column is not there, or of a type that the operation is not made for.
        """
        raise NotImplementedError

    def apply(self, state: State, columns: Columns) -> int:
        """Work on columns of one length; return how many rows are to be counted."""
        raise NotImplementedError

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:
        """Prepare the work on single rows: the same results to the bit."""
        raise NotImplementedError

    def probes(self, state: State) -> Sequence[Any]:  # noqa: ARG002
        """Return values of the column on which the kernels are most likely to differ."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data; what is as usual is left out."""
        fields = dataclasses.fields(self)
        given = {each.name: getattr(self, each.name) for each in fields if getattr(self, each.name) != each.default}
        return {"op": self.OP} | {name: _plain(value) for name, value in given.items()}


def read_operation(data: Any, known: Mapping[str, type[Operation]]) -> Operation:
    """Read what `Operation.to_dict` wrote, or a person did.

    Raises
    ------
    UsageError
        When there is no such operation, or it has no such parameter.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("op"), str):
        raise UsageError(f"{ascii(data)[:80]} is no operation.", hint='Write {"op": "zscore", "column": "delay"}.')
    kind = known.get(data["op"])
    if kind is None:
        raise UsageError(f"There is no operation {data['op'][:80]!r}.", hint=did_you_mean(data["op"][:80], list(known)))
    names = [each.name for each in dataclasses.fields(kind)]
    for name in data:
        if name != "op" and name not in names:
            raise UsageError(
                f"Operation {kind.OP!r} has no parameter {str(name)[:80]!r}.", hint=did_you_mean(str(name)[:80], names)
            )
    try:
        return kind(**{name: value for name, value in data.items() if name != "op"})
    except TypeError:
        raise UsageError(
            f"Operation {kind.OP!r} lacks a parameter.", hint=f"It takes {', '.join(names)}.", code="usage"
        ) from None


def refuse_parameter(operation: Operation, what: str, hint: str) -> UsageError:
    """Build the error for a parameter that means nothing."""
    return UsageError(f"{operation.OP} of {operation.column!r}: {what}.", hint=hint, column=operation.column)


def refuse_kind(operation: Operation, kind: pa.DataType, wanted: str) -> SchemaMismatchError:
    """Build the error for a column of a type that an operation is not made for."""
    return SchemaMismatchError(
        f"{operation.OP} of {operation.column!r} works on {wanted}; the column is {kind}.",
        hint="Name another column, or change its type in a view before.",
        code="transform-schema-mismatch",
        column=operation.column,
    )


def nothing_to_learn(operation: Operation, why: str) -> UsageError:
    """Build the error for rows that teach an operation nothing."""
    return UsageError(
        f"{operation.OP} of {operation.column!r} learns nothing: {why}.",
        hint="Fit on other rows, or give the parameter itself.",
        code="nothing-to-learn",
        column=operation.column,
    )


def find_kind(operation: Operation, kinds: Mapping[str, pa.DataType], column: str | None = None) -> pa.DataType:
    """Return the type of an operation's column.

    Raises
    ------
    SchemaMismatchError
        When it is not there.
    """
    name = operation.column if column is None else column
    if name not in kinds:
        raise SchemaMismatchError(
            f"{operation.OP} works on a column {name!r} that is not there.",
            hint=did_you_mean(name, list(kinds)),
            code="transform-schema-mismatch",
            column=name,
        )
    return kinds[name]


def add_kinds(operation: Operation, kinds: Kinds, new: Mapping[str, pa.DataType]) -> None:
    """Add columns that an operation makes; refuse names that are taken."""
    for name, kind in new.items():
        if name in kinds:
            raise SchemaMismatchError(
                f"{operation.OP} of {operation.column!r} would make a second column {name!r}.",
                hint="Drop or rename the other one first.",
                code="transform-schema-mismatch",
                column=name,
            )
        kinds[name] = kind


def subclasses(kind: type[Operation]) -> Iterator[type[Operation]]:
    """List the operations below a class."""
    for each in kind.__subclasses__():
        yield from ([each] if each.OP else [])
        yield from subclasses(each)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
