"""Training sets made again from their definition and pinned inputs, and compared with what was kept, to the bit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.content_digest import digest_column, digest_table
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UnreadableError
from foldstore.features.bit_equality import find_different
from foldstore.features.joins import HistoricalJoins, given_pins
from foldstore.features.training_sets import list_erased, list_inputs
from foldstore.training_set import TrainingSet
from foldstore.version import Version
from foldstore.views.features.join import JoinOptions
from foldstore.views.values import value_reader

_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a training set that was made again is not what was kept.

    Attributes
    ----------
    column : str
        The column; empty where it is about all rows.
    what : str
        In words.
    rows : int
        In how many rows.
    examples : tuple of dict
        The first few: ``row``, ``kept``, ``made``.
    """

    column: str
    what: str
    rows: int = 0
    examples: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        shown = "; ".join(f"row {e['row']:,}: kept {e['kept']!r}, made {e['made']!r}" for e in self.examples)
        return f"{self.column + ': ' if self.column else ''}{self.what}{f' ({shown})' if shown else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        examples = [{"row": e["row"], "kept": _plain(e["kept"]), "made": _plain(e["made"])} for e in self.examples]
        return {"column": self.column, "what": self.what, "rows": self.rows, "examples": examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A training set, and what came out when it was made again.

    Attributes
    ----------
    address : str
        The training set.
    labels, features : str
        The split and the service that it is made of.
    versions : tuple of str
        The versions that the features were read from.
    kept, made : str
        The digests of what was kept and of what was made now: of names, types, nulls and values, in order.
    num_rows : int
    differences : tuple of Difference
    """

    address: str
    labels: str
    features: str
    versions: tuple[str, ...]
    kept: str
    made: str
    num_rows: int
    differences: tuple[Difference, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether what was made now is what was kept, to the bit."""
        return self.kept == self.made

    def __str__(self) -> str:
        of = f"{self.features} at {self.labels}, from {', '.join(self.versions) or 'no dataset'}"
        if self.equal:
            return f"{self.address}: {self.num_rows:,} rows made again of {of}: equal, {self.kept[:19]}"
        return "\n".join([f"{self.address} made again of {of}: NOT equal", *(f"  {e}" for e in self.differences)])

    def __repr__(self) -> str:
        return f"<Reproduction of {self.address}: {'equal' if self.equal else 'not equal'}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("address", "labels", "features", "kept", "made", "num_rows", "equal")
        plain = {name: getattr(self, name) for name in names}
        shown = [each.to_dict() for each in self.differences]
        return plain | {"versions": list(self.versions), "differences": shown}


def reproduce(
    storage: Storage, joins: HistoricalJoins, training: TrainingSet, find_version: Callable[[str], Version]
) -> Reproduction:
    """Make a training set again; see `foldstore.features.handle.Features.reproduce`."""
    inputs = training.inputs
    kept = training.to_arrow()
    with unrecorded():  # to look again is not to use
        try:
            again = joins.join_split(
                inputs.labels, inputs.features, JoinOptions(**inputs.options), given_pins(training)
            )
        except NotFoundError as error:
            raise _gone(training, error) from error
    made = pa.concat_tables(again.parts.values())
    made = made.cast(kept.schema) if made.column_names == kept.column_names else made
    found = Reproduction(
        address=training.address,
        labels=inputs.labels,
        features=inputs.features,
        versions=inputs.versions,
        kept=digest_table(kept),
        made=digest_table(made),
        num_rows=kept.num_rows,
    )
    if found.equal:
        return found
    with unrecorded():
        _refuse_erased(storage, training, find_version)
    sizes = _sizes(inputs.sizes, again.inputs.sizes)
    return Reproduction(
        **{name: getattr(found, name) for name in Reproduction.__slots__ if name != "differences"},
        differences=(*sizes, *_compare(kept, made)),
    )


def _sizes(kept: Mapping[str, int], made: Mapping[str, int]) -> Iterator[Difference]:
    for part in kept:
        if kept[part] != made.get(part):
            what = f"the {part} part has {made.get(part, 0):,} rows, and had {kept[part]:,}"
            yield Difference(column="", what=what, rows=abs(made.get(part, 0) - kept[part]))


def _compare(kept: pa.Table, made: pa.Table) -> Iterator[Difference]:
    for name in [name for name in kept.column_names if name not in made.column_names]:
        yield Difference(column=name, what="is not made any more")
    for name in [name for name in made.column_names if name not in kept.column_names]:
        yield Difference(column=name, what="was not there")
    if kept.num_rows != made.num_rows:
        yield Difference(column="", what=f"{made.num_rows:,} rows instead of {kept.num_rows:,}")
        return
    for name in kept.column_names:
        if name not in made.column_names:
            continue
        one, other = kept.column(name), made.column(name)
        if one.type != other.type:
            yield Difference(column=name, what=f"is of type {other.type}, and was {one.type}")
        elif digest_column(one) != digest_column(other):
            yield _different_cells(name, one.combine_chunks(), other.combine_chunks())


def _different_cells(name: str, kept: pa.Array, made: pa.Array) -> Difference:
    places = np.flatnonzero(find_different(made, kept))
    read = value_reader(kept.type)
    examples = tuple(
        {"row": place, "kept": read(kept[place]), "made": read(made[place])} for place in places[:_EXAMPLES].tolist()
    )
    return Difference(column=name, what=f"{len(places):,} rows differ", rows=len(places), examples=examples)


def _gone(training: TrainingSet, error: NotFoundError) -> Exception:
    """Say of what is missing that it was an input."""
    if error.code != "version-expired":
        return error
    return UnreadableError(
        f"{training.address} cannot be made again: {error.message}",
        hint="What was kept of it is as it was. A pin keeps inputs: see `foldstore retain`.",
        code="inputs-expired",
        **dict(error.facts),
    )


def _refuse_erased(storage: Storage, training: TrainingSet, find_version: Callable[[str], Version]) -> None:
    """Say that rows were erased since, from what it was made of or from itself: it cannot be as it was.

    Raises
    ------
    UnreadableError
        With the code ``inputs-erased``.
    """
    addresses = [*list_inputs(training.inputs), training.address]
    erased = list(list_erased(storage, addresses, training.version.record.created_at, find_version))
    if erased:
        raise UnreadableError(
            f"{training.address} cannot be made as it was: rows were erased from {', '.join(erased)}.",
            hint="Erase them from the training set too, or make another one of what is left.",
            code="inputs-erased",
            erased=erased,
        )


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
