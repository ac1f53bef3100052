"""What a view reads: one pinned source, all rows of several views, or their rows in given proportions."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.views.arguments import check_choice, check_list, is_choice
from foldstore.views.fraction import read_fraction
from foldstore.views.ordering.schedule import share_out
from foldstore.views.source import Source

if TYPE_CHECKING:
    from foldstore.views.view import View

MAX_INPUTS: Final = 1_000
MAX_LEVELS: Final = 16
# How fine weights may be: what is written of them can be read again.
_MOST_PARTS: Final = 10**40
COLUMN_RULES: Final = ("same", "common", "all")
ROW_RULES: Final = ("all", "once", "largest")


@dataclass(frozen=True, slots=True)
class Pinned:
    """One source.

    Attributes
    ----------
    source : Source
        The version, or the part of one.
    asked : str or None
        The address that it was asked for by, where that may stand for another version one day: ``flights@champion``.
    """

    source: Source
    asked: str | None = None

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        schema: pa.Schema = self.source.arrow_schema
        return schema

    @property
    def views(self) -> tuple["View", ...]:
        """No views."""
        return ()

    @property
    def level(self) -> int:
        """It reads no views."""
        return 0

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return self.source.address


@dataclass(frozen=True, slots=True)
class Union:
    """All rows of several views, one view after the other.

    Attributes
    ----------
    columns : {'same', 'common', 'all'}
        Whether all views have the same columns, or those that all have are taken, or all with nulls where one is
        missing.
    level : int
        How deep views of views lie in it.
    """

    views: tuple["View", ...]
    columns: str
    arrow_schema: pa.Schema
    level: int

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return " and ".join(dict.fromkeys(view.shown_inputs for view in self.views))


@dataclass(frozen=True, slots=True)
class Blend:
    """Rows of several views in given proportions.

    Attributes
    ----------
    weights : tuple of Fraction
        The share of each view; they add up to one.
    rows : str or int
        How many rows an epoch has: a number; ``all``: so many that every row comes at least once; ``once``: that none
        comes twice; ``largest``: that every row of the largest view comes once.
    level : int
        How deep views of views lie in it.
    """

    views: tuple["View", ...]
    weights: tuple[Fraction, ...]
    rows: str | int
    arrow_schema: pa.Schema
    level: int

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return "a blend of " + " and ".join(dict.fromkeys(view.shown_inputs for view in self.views))

    def count(self, sizes: Sequence[int]) -> list[int]:
        """Return how many rows of each view an epoch has, given how many there are.

        A view without rows is left out, and the others share its part.
        """
        weights = [weight if size else Fraction(0) for weight, size in zip(self.weights, sizes, strict=True)]
        total = sum(weights)
        if not total:
            return [0] * len(weights)
        shares = [weight / total for weight in weights]
        pairs = [(size, share) for size, share in zip(sizes, shares, strict=True) if share]
        if isinstance(self.rows, int):
            rows = self.rows
        elif self.rows == "all":
            rows = max(-(-size // share) for size, share in pairs)
        elif self.rows == "once":
            rows = min(size // share for size, share in pairs)
        else:
            size, share = max(pairs, key=lambda pair: pair[0])
            rows = -(-size // share)
        return share_out(int(rows), shares)


Inputs: TypeAlias = Pinned | Union | Blend


def make_union(views: Sequence["View"], columns: object) -> Union:
    """Check that views can be put one after the other.

    Raises
    ------
    UsageError
        When their columns do not fit.
    """
    level = _check_inputs(views, "A union")
    rule = check_choice(columns, COLUMN_RULES, "columns")
    return Union(tuple(views), rule, _join_schemas(views, rule), level)


def select_common(views: Sequence["View"]) -> list["View"]:
    """Return the views with the columns that all of them have, in the order of the first.

    Raises
    ------
    UsageError
        When there is none, or one has several types.
    """
    shared = _join_schemas(views, "common").names
    return [view if view.arrow_schema.names == shared else view.select(*shared) for view in views]


def make_blend(views: Sequence["View"], weights: Sequence[object] | None, rows: object) -> Blend:
    """Check that views can be blended, and the proportions.

    Raises
    ------
    UsageError
        When a weight is negative, zero or no number, or the columns of the views are not the same.
    """
    level = _check_inputs(views, "A blend")
    is_number = isinstance(rows, int) and not isinstance(rows, bool) and 0 < rows < 2**53
    if not is_number and not is_choice(rows, ROW_RULES):
        raise UsageError(
            f"rows={ascii(rows)[:40]} does not say how many rows a blend has.",
            hint=f"Give a number, or one of {', '.join(ROW_RULES)}.",
        )
    for view in views:
        if view.is_endless:
            raise UsageError("A view that never ends cannot be blended.", hint="Blend first, then repeat().")
    hint = "Give each view one weight."
    given = [1] * len(views) if weights is None else check_list(weights, "Weights are a list of numbers", hint)
    if len(given) != len(views):
        raise UsageError(f"There are {len(views)} views and {len(given)} weights.", hint=hint)
    exact = [_read_weight(weight) for weight in given]
    total = sum(exact)
    shares = tuple(weight / total for weight in exact)
    if any(share.denominator > _MOST_PARTS for share in shares):
        raise UsageError(
            "The weights have too many digits together to be kept exactly.", hint="Round them: 0.3333 says enough."
        )
    assert isinstance(rows, int | str)  # noqa: S101  # just looked at
    return Blend(tuple(views), shares, rows, _join_schemas(views, "same"), level)


def _check_inputs(views: Sequence[Any], what: str) -> int:
    """Return how deep views of views lie in a combination of some."""
    for view in views:
        if not isinstance(getattr(view, "inputs", None), Pinned | Union | Blend):
            raise UsageError(f"{ascii(view)[:40]} is not a view.", hint="store.view('flights@3') gives one.")
    if not views:
        raise UsageError(f"{what} needs at least one view.", hint="Name addresses or give views.")
    if len(views) > MAX_INPUTS:
        raise UsageError(f"{what} has at most {MAX_INPUTS:,} views.", hint="Put them together in several steps.")
    level: int = 1 + max(view.inputs.level for view in views)
    if level > MAX_LEVELS:
        raise UsageError(
            f"Views of views are at most {MAX_LEVELS} deep.",
            hint="Put more together at once: store.view([a, b, c]), a.union(b, c).",
        )
    return level


def _read_weight(weight: object) -> Fraction:
    exact = read_fraction(weight)
    if exact is None or not Fraction(1, 10**12) <= exact <= 10**12 or exact.denominator > _MOST_PARTS:
        raise UsageError(
            f"{ascii(weight)[:40]} is no weight.", hint="Weights are numbers above 0, such as 1 and 5; 0.5 or '1/3'."
        )
    return exact


def _join_schemas(views: Sequence["View"], columns: str) -> pa.Schema:
    first = views[0].arrow_schema
    for view in views[1:]:
        _check_fit(views[0], view, columns)
    if columns == "common":
        shared = [field for field in first if all(field.name in view.arrow_schema.names for view in views)]
        if not shared:
            raise UsageError("The views have no column in common.", hint="columns='all' fills with nulls.")
        return pa.schema(shared)
    fields = {field.name: field for view in views for field in view.arrow_schema}
    return pa.schema(list(fields.values()))


def _check_fit(first: "View", other: "View", columns: str) -> None:
    one, two = first.arrow_schema, other.arrow_schema
    missing = sorted(set(one.names) ^ set(two.names))
    if missing and columns == "same":
        raise UsageError(
            f"{first.shown_inputs} and {other.shown_inputs} have different columns: {', '.join(missing[:5])}.",
            hint="select() what they share, or say columns='common'; a union takes columns='all', too.",
            code="columns-differ",
            columns=missing,
        )
    for name in set(one.names) & set(two.names):
        if one.field(name).type != two.field(name).type:
            raise UsageError(
                f"{name!r} is {one.field(name).type} in {first.shown_inputs} and {two.field(name).type} in "
                f"{other.shown_inputs}.",
                hint=f"Cast it in one of them: select(..., {name}='{name}::DOUBLE').",
                code="columns-differ",
                columns=[name],
            )
