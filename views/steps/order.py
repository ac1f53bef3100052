"""Steps about which rows come when: `Sample`, `OrderBy`, `Shuffle`, `Sequences` and `Repeat`.

They are plain data; `foldstore.views.rows` carries them out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import UsageError, column_not_found
from foldstore.views.cost import Flow, Part
from foldstore.views.fraction import read_fraction
from foldstore.views.instant import format_duration, parse_duration
from foldstore.views.ordering.keys import ALGORITHM
from foldstore.views.steps.step import StreamStep, check_new_column

BUFFER_ROWS: Final = 65_536
BLOCKS: Final = 16
_RANK_BITS: Final = 64
_MOST_SEEDS: Final = 2**64


@dataclass(frozen=True, slots=True)
class Sample:
    """Keep some rows, chosen at random, in their order.

    Attributes
    ----------
    fraction : Fraction or None
        Which share of the rows, rounded to whole rows.
    rows : int or None
        How many rows; all of them where there are fewer.
    stratify : tuple of str
        Columns whose values keep their shares exactly.
    """

    fraction: Fraction | None
    rows: int | None
    seed: int
    stratify: tuple[str, ...]
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        fraction = None if self.fraction is None else str(self.fraction)
        said = {"fraction": fraction, "rows": self.rows, "seed": self.seed, "stratify": list(self.stratify)}
        return {"sample": {**said, "algorithm": ALGORITHM}}

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return self.stratify

    def count(self, rows: int) -> int:
        """Return how many of so many rows are kept."""
        if self.rows is not None:
            return min(rows, self.rows)
        return int(rows * (self.fraction or 0) + Fraction(1, 2))

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies the rows that it keeps; where they lie takes at most a bit a row."""
        after = Flow(self.rows if flow.rows is None else self.count(flow.rows), flow.widths)
        what = f"{self.rows:,} rows" if self.rows is not None else f"{float(self.fraction or 0):g} of the rows"
        strata = f" by {', '.join(self.stratify)}" if self.stratify else ""
        return Part("sample", f"{what}{strata}, seed {self.seed}", after.num_bytes(), flow.num_held(1)), after


@dataclass(frozen=True, slots=True)
class OrderBy:
    """Sort the rows; rows that are equal stay in their order."""

    columns: tuple[str, ...]
    descending: frozenset[str]
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"order_by": {"columns": list(self.columns), "descending": sorted(self.descending)}}

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return self.columns

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies all rows, and keeps their order."""
        shown = ", ".join(f"{name} (falling)" if name in self.descending else name for name in self.columns)
        return Part("order_by", shown, flow.num_bytes(), flow.num_held(_RANK_BITS)), flow


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Give every row once, in a random order that another epoch makes anew."""

    seed: int
    buffer_rows: int
    blocks: int
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        said = {"seed": self.seed, "buffer_rows": self.buffer_rows, "blocks": self.blocks}
        return {"shuffle": {**said, "algorithm": ALGORITHM}}

    @property
    def own_columns(self) -> tuple[str, ...]:
        """It reads none."""
        return ()

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies all rows, a buffer at a time."""
        return Part("shuffle", f"seed {self.seed}, {self.buffer_rows:,} rows at a time", flow.num_bytes()), flow


@dataclass(frozen=True, slots=True)
class Sequences:
    """Give the rows group by group, in the order of time, cut into sequences.

    Attributes
    ----------
    group_by : tuple of str
        What rows of one sequence have in common.
    order_by : str
        The column of time: an instant, a date or a number.
    length, jump : int, str or None
        How long a sequence is, and how much is left out behind it: rows, or a span of the time.
    max_gap : str, int, float or None
        A greater distance between two rows begins another sequence.
    min_length : int
        Sequences of fewer rows are left out.
    into : str or None
        A column that says which sequence a row is in, from 0.
    """

    group_by: tuple[str, ...]
    order_by: str
    length: int | str | None
    max_gap: str | float | None
    jump: int | str | None
    min_length: int
    into: str | None
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        said = {"group_by": list(self.group_by), "order_by": self.order_by, "length": self.length}
        rest = {"max_gap": self.max_gap, "jump": self.jump, "min_length": self.min_length, "into": self.into}
        return {"sequences": {**said, **rest}}

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (*self.group_by, self.order_by)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies the rows, and keeps their order."""
        shown = f"by {', '.join(self.group_by)}, in the order of {self.order_by}"
        widths = flow.widths if self.into is None else {**flow.widths, self.into: 8.125}
        return Part("sequences", shown, flow.num_bytes(), flow.num_held(_RANK_BITS)), Flow(flow.rows, widths)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Go through the rows again and again, an epoch each time; without end unless a number is given."""

    epochs: int | None
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"repeat": {"epochs": self.epochs}}

    @property
    def own_columns(self) -> tuple[str, ...]:
        """It reads none."""
        return ()

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies nothing of its own."""
        shown = "without end" if self.epochs is None else f"{self.epochs:,} times"
        rows = None if flow.rows is None or self.epochs is None else flow.rows * self.epochs
        return Part("repeat", shown, 0), Flow(rows, flow.widths)


OrderStep: TypeAlias = Sample | OrderBy | Shuffle | Sequences | Repeat
AnyStep: TypeAlias = StreamStep | OrderStep


def make_sample(
    fraction: object, rows: object, seed: object, stratify: object, schema: pa.Schema, address: str
) -> Sample:
    """Check how much is sampled, and by what."""
    if (fraction is None) == (rows is None):
        raise UsageError("sample() takes a fraction or a number of rows.", hint="sample(0.1) or sample(rows=1000)")
    share = None if fraction is None else _read_share(fraction)
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or not 0 <= rows < 2**63):
        raise UsageError(f"sample() takes a number of rows from 0, not {ascii(rows)[:40]}.", hint="sample(rows=1000)")
    columns = [stratify] if isinstance(stratify, str) else stratify
    names = _check_names(() if columns is None else columns, schema, f"sample() of the view of {address}", "stratify")
    return Sample(share, rows, check_seed(seed), names, schema)


def make_order_by(columns: Sequence[object], descending: object, schema: pa.Schema, address: str) -> OrderBy:
    """Check what rows are sorted by."""
    names = _check_names(columns, schema, f"order_by() of the view of {address}", "columns")
    if not names:
        raise UsageError("order_by() needs at least one column.", hint="order_by('departs', descending=['departs'])")
    if isinstance(descending, bool):
        falling = frozenset(names if descending else ())
    else:
        given = [descending] if isinstance(descending, str) else descending
        falling = frozenset(_check_names(given, schema, f"order_by() of the view of {address}", "descending"))
    if not falling <= set(names):
        raise UsageError("descending= names a column that rows are not sorted by.", hint="Name it before, too.")
    for name in names:
        kind = schema.field(name).type
        types = pa.types
        if types.is_nested(kind) or types.is_null(kind) or types.is_interval(kind):
            raise UsageError(
                f"Rows cannot be sorted by {name!r} ({kind}).", hint="Sort by a value of it: select(x=...)."
            )
    return OrderBy(names, falling, schema)


def make_shuffle(seed: object, buffer_rows: object, blocks: object, schema: pa.Schema) -> Shuffle:
    """Check how rows are shuffled."""
    for name, value, most in (("buffer_rows", buffer_rows, 2**24), ("blocks", blocks, 2**16)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise UsageError(
                f"{name}={ascii(value)[:40]} is no number from 1 to {most:,}.", hint=f"{name}={BUFFER_ROWS}"
            )
    assert isinstance(buffer_rows, int)  # noqa: S101  # just looked at
    assert isinstance(blocks, int)  # noqa: S101
    return Shuffle(check_seed(seed), buffer_rows, blocks, schema)


def make_repeat(epochs: object, schema: pa.Schema) -> Repeat:
    """Check how often rows are gone through."""
    if epochs is not None and (not isinstance(epochs, int) or isinstance(epochs, bool) or not 1 <= epochs < 2**31):
        raise UsageError(f"repeat() takes a number of epochs from 1, not {ascii(epochs)[:40]}.", hint="repeat(3)")
    return Repeat(epochs, schema)


@dataclass(frozen=True, slots=True)
class SequenceRules:
    """What `make_sequences` checks: see `Sequences`."""

    group_by: object
    order_by: object
    length: object = None
    max_gap: object = None
    jump: object = None
    min_length: object = 1
    into: object = None


def make_sequences(rules: SequenceRules, schema: pa.Schema, address: str) -> Sequences:
    """Check how rows are cut into sequences."""
    where = f"sequences() of the view of {address}"
    given = [rules.group_by] if isinstance(rules.group_by, str) else rules.group_by
    group_by = _check_names(given, schema, where, "group_by")
    if not group_by:
        raise UsageError("sequences() needs what a sequence has in common.", hint="group_by=['tailnum']")
    (order_by,) = _check_names([rules.order_by], schema, where, "order_by")
    kind = schema.field(order_by).type
    types = pa.types
    is_time = types.is_timestamp(kind) or types.is_date(kind)
    if not is_time and not types.is_integer(kind) and not types.is_floating(kind):
        raise UsageError(f"{order_by!r} is {kind}: no order of time.", hint="Give an instant, a date or a number.")
    least = rules.min_length
    if not isinstance(least, int) or isinstance(least, bool) or least < 1:
        raise UsageError(f"min_length={ascii(least)[:40]} is no number from 1.", hint="min_length=2")
    length = _check_extent(rules.length, "length", is_time=is_time)
    jump = _check_extent(rules.jump, "jump", is_time=is_time)
    if length is not None and jump is not None and isinstance(length, str) is not isinstance(jump, str):
        raise UsageError("length= and jump= are both rows, or both spans of time.", hint="length='10m', jump='5m'")
    into = rules.into if rules.into is None else check_new_column(rules.into, schema, where="sequences")
    after = schema if into is None else schema.append(pa.field(into, pa.int64()))
    return Sequences(
        group_by=group_by,
        order_by=order_by,
        length=length,
        max_gap=_check_gap(rules.max_gap, is_time=is_time),
        jump=jump,
        min_length=least,
        into=into,
        arrow_schema=after,
    )


def check_seed(seed: object) -> int:
    """Return a seed.

    Raises
    ------
    UsageError
        When it is no whole number from 0 to 2**64 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _MOST_SEEDS:
        raise UsageError(f"{ascii(seed)[:40]} is not a seed.", hint="Give a whole number from 0 to 2**64 - 1.")
    return seed


def _read_share(fraction: object) -> Fraction:
    share = read_fraction(fraction)
    if share is None or not 0 <= share <= 1:
        raise UsageError(f"{ascii(fraction)[:40]} is no fraction from 0 to 1.", hint="sample(0.1), sample(rows=1000)")
    return share


def _check_extent(value: object, name: str, *, is_time: bool) -> int | str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str) and is_time and parse_duration(value) > 0:
        return format_duration(parse_duration(value))
    span = ", or a span of time such as '10m'" if is_time else ""
    raise UsageError(f"{name}={ascii(value)[:40]} is no number of rows{span}.", hint=f"{name}=10")


def _check_gap(value: object, *, is_time: bool) -> str | float | None:
    if value is None:
        return None
    if is_time and isinstance(value, str) and parse_duration(value) > 0:
        return format_duration(parse_duration(value))
    if not is_time and isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return value
    hint = "max_gap='6h'" if is_time else "max_gap=10"
    raise UsageError(f"max_gap={ascii(value)[:40]} is no distance of the order's column.", hint=hint)


def _check_names(names: object, schema: pa.Schema, where: str, role: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence | frozenset | set):
        raise UsageError(f"{where}: {role}= takes a list of columns.", hint=f'{role}=["a"]')
    found = tuple(names)
    for name in found:
        if not isinstance(name, str) or name not in schema.names:
            raise column_not_found(name if isinstance(name, str) else ascii(name)[:40], schema.names, where=where)
        if found.count(name) > 1:
            raise UsageError(f"{where}: {role}= names {name!r} twice.", hint="Name each column once.")
    return found
