"""Windows over a feature table: what an entity's rows add up to before an instant, for training and for serving.

The training join asks at the times of its rows. `WindowIndex.to_steps` asks at every instant at which an answer
changes, and lays the answers out as a table of plain features: the last row at or before an instant holds what the
join gives for it, so that a lookup at any instant is a lookup as of then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.asked_entities import AskedEntities
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import KeyEncoder, key_column
from foldstore.views.features.key_parts import number_parts
from foldstore.views.features.sorted_index import Integers
from foldstore.views.features.tile_parts import TileParts, count_parts
from foldstore.views.features.window import Window, output_type, window_of
from foldstore.views.features.window_spans import Span, WindowSpans
from foldstore.views.features.window_tiles import Tile, may_be_cut
from foldstore.views.instant import LIMIT
from foldstore.views.time_column import Instants, to_nanoseconds

_NANOSECONDS = pa.timestamp("ns", "UTC")
_SEARCHED: Final = 6  # words for who asks: order, instant, codes
_RANGES: Final = 4  # and for each window: where it begins and ends in a tile
_WORD: Final = 16  # a value, and what it is computed of
_MOST_KNOWN: Final = 0.5  # of those who ask: a tile that knows of no more is asked for these alone
_MOST_GATHERED: Final = 0.5  # of a larger share of the rows a tile of all is worth keeping
_Searched: TypeAlias = tuple[Sequence[Tile], Sequence[Integers]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks when, in the order in which tiles are searched.

    Attributes
    ----------
    keys : sequence of ChunkedArray
        As they were given, in the order in which they were.
    count : int
        How many were given.
    order : ndarray of int64
        Which of these stands where in the order of the search.
    tiles : sequence of Tile
        The tiles that may have rows of them.
    codes : list of ndarray of int64
        The code of each key, tile by tile, -1 where it is not known or who asks says no instant.
    """

    keys: Sequence[pa.ChunkedArray]
    count: int
    order: Integers
    at: Integers
    nulls: NDArray[np.bool_] | None
    tiles: Sequence[Tile]
    codes: list[Integers]

    def find(self, tile: Tile) -> Integers:
        """Return the code of each key in another tile."""
        codes = tile.encode(self.keys, self.count)
        return (codes if self.nulls is None else np.where(self.nulls, -1, codes))[self.order]

    def split(self) -> list["_Asked"]:
        """Tell those of whom tiles know that know of few from the others, which need not ask these tiles."""
        known = [codes >= 0 for codes in self.codes]
        many = _MOST_KNOWN * len(self.order)
        usual = [number for number, each in enumerate(known) if np.count_nonzero(each) > many]
        if not usual or len(usual) == len(known):
            return [self]
        few = np.logical_or.reduce([each for number, each in enumerate(known) if number not in usual])
        if np.count_nonzero(few) > many:
            return [self]
        parts = [self._choose(np.flatnonzero(~few), usual)]
        return [*parts, self._choose(np.flatnonzero(few), range(len(known)))] if few.any() else parts

    def _choose(self, places: Integers, tiles: Sequence[int]) -> "_Asked":
        return replace(
            self,
            order=self.order[places],
            at=self.at[places],
            tiles=[self.tiles[number] for number in tiles],
            codes=[self.codes[number][places] for number in tiles],
        )


class WindowIndex:
    """Answers for a windowed feature view.

    Parameters
    ----------
    view : FeatureView
        The definition, with aggregations.
    table : pyarrow.Table or callable
        The view's source in write order, or what gives it when it is needed.
    tiles : sequence of TileParts
        Made of the table's rows, those of earlier rows first.
    whole : callable, optional
        Gives a tile of all rows, for functions that are not put together of several when most of the rows are asked
        about; else the rows of who asks are gathered.

    Examples
    --------
    >>> import datetime as dt
    >>> from foldstore.views.features.aggregation import Aggregation
    >>> from foldstore.views.features.entity import Entity
    >>> hours = [dt.datetime(2024, 1, 1, hour) for hour in (1, 2, 3)]
    >>> table = pa.table({"id": [7, 7, 7], "ts": hours, "x": [1, 2, 4]})
    >>> view = FeatureView(
    ...     "v", entity=Entity("e", keys={"id": "int64"}), source="s", event_time="ts",
    ...     aggregations=[Aggregation("sum", "x", time_window="2h")])
    >>> index = WindowIndex(view, table, [TileParts.of(table, view)])
    >>> asked = to_nanoseconds(pa.array([dt.datetime(2024, 1, 1, hour) for hour in (3, 4, 9)]))
    >>> index.aggregate([pa.chunked_array([[7, 7, 7]])], asked, ["x_sum_2h"])[0].to_pylist()
    [3, 6, None]
    >>> index.to_steps()["x_sum_2h"].to_pylist()
    [1, 3, 6, 4, None]
    """

    def __init__(
        self,
        view: FeatureView,
        table: pa.Table | Callable[[], pa.Table],
        tiles: Sequence[TileParts],
        whole: Callable[[], TileParts] | None = None,
    ) -> None:
        self.view = view
        self._given = table
        self._tiles = tuple(tiles)
        self._whole = whole

    @cached_property
    def table(self) -> pa.Table:
        """The view's source in write order."""
        return self._given if isinstance(self._given, pa.Table) else self._given()

    @property
    def num_tiles(self) -> int:
        """Of how many tiles the answers are put together."""
        return len(self._tiles)

    def aggregate(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, features: Sequence[str]
    ) -> list[pa.ChunkedArray]:
        """Return features of keys at instants: null for an entity without a row before the window's end.

        Parameters
        ----------
        columns : sequence of ChunkedArray
            The entity's keys.
        at : Instants
            When each asks.
        features : sequence of str
            Which, in the order of the answer.

        Raises
        ------
        UsageError
            When a sum of integers is beyond 64 bits.
        """
        asking = len(at.values)
        named = {each.name: each for each in self.view.aggregations}
        wanted = [named[name] for name in features]
        count = max(
            count_parts(_weigh_asking(wanted, asking), self.view.keys), *(len(each.parts) for each in self._tiles)
        )
        if count == 1 or not asking:
            return self._aggregate(0, columns, at, wanted)
        numbers = number_parts(columns, self.view.keys, count)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers.astype(np.int64), minlength=count)).tolist()
        answers: list[list[pa.Array]] = [[] for _ in wanted]
        for number, (start, end) in enumerate(pairwise([0, *ends])):
            if start == end:
                continue
            own = order[start:end]
            keys = [column.take(pa.array(own)) for column in columns]
            for answer, values in zip(answers, self._aggregate(number, keys, at.take(own), wanted), strict=True):
                answer.extend(values.iterchunks())
        back = _turn_back(order)
        return [pa.chunked_array(answer).take(back) for answer in answers]

    def _aggregate(
        self, number: int, columns: Sequence[pa.ChunkedArray], at: Instants, wanted: Sequence[Aggregation]
    ) -> list[pa.ChunkedArray]:
        """Answer those whose keys are in one part."""
        groups = _order([each.part(number) for each in self._tiles], columns, at).split()
        answers = [self._answer(number, group, wanted) for group in groups]
        back = _turn_back(np.concatenate([group.order for group in groups]))
        return [pa.chunked_array(list(parts)).take(back) for parts in zip(*answers, strict=True)]

    def _answer(self, number: int, asked: _Asked, wanted: Sequence[Aggregation]) -> list[pa.Array]:
        """Answer in the order of the search."""
        tiles: dict[bool, _Searched] = {True: (asked.tiles, asked.codes)}
        together = [each for each in wanted if not may_be_cut([each])]
        if together:
            tiles[False] = self._find_together(number, asked, together)
        spans: dict[tuple[Window, bool], WindowSpans] = {}
        answers = []
        for aggregation in wanted:
            window, apart = window_of(aggregation), may_be_cut([aggregation])
            if (window, apart) not in spans:
                spans[window, apart] = _look(*tiles[apart], window, asked.at)
            answers.append(spans[window, apart].compute(aggregation))
        return answers

    def types(self) -> dict[str, pa.DataType]:
        """Return the type of each feature."""
        return find_types(self.view, self.table.schema)

    def to_steps(self) -> pa.Table:
        """Return what changes when: keys, instants as the event time, and the features from then on.

        An entity's first row stands right after its first event; before it there is nothing.
        """
        changes, features = self.list_changes(), self.view.features
        instants = Instants(changes.column(self.view.event_time).cast(pa.int64()).to_numpy(), None)
        keys = [changes.column(name) for name in self.view.join_keys]
        for name, values in zip(features, self.aggregate(keys, instants, features), strict=True):
            changes = changes.append_column(name, values)
        return changes

    def _find_together(self, number: int, asked: _Asked, aggregations: Sequence[Aggregation]) -> _Searched:
        """Return one tile that has all rows of every entity that asks, and the codes in it."""
        tiles = asked.tiles
        entities = AskedEntities.of(tiles, asked.codes)
        many = entities.num_rows > _MOST_GATHERED * sum(tile.index.num_rows for tile in tiles)
        if many and len(tiles) == 1:
            return tiles, asked.codes
        if many and self._whole is not None:
            tile = self._whole().part(number)
            return (tile,), [asked.find(tile)]
        tile, codes = entities.gather(aggregations)
        return (tile,), [codes]

    def list_changes(self) -> pa.Table:
        """Return each entity and instant at which a row enters or leaves one of its windows, once, in order."""
        view, table = self.view, self.table
        events = to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}")
        columns = [table.column(name) for name in view.join_keys]
        codes = KeyEncoder(columns, view.keys, table.num_rows).codes
        usable = codes >= 0
        if events.nulls is not None:
            usable &= ~events.nulls
        rows = np.flatnonzero(usable)
        rows = rows[np.lexsort((events.values[rows], codes[rows]))]
        windows = list(dict.fromkeys(window_of(each) for each in view.aggregations))
        moments = [moment for window in windows for moment in window.changes(events.values[rows])]
        kept = _each_once(codes[rows], moments)
        take = pa.array(rows[kept[0]])
        keys = {
            name: key_column(column, name, kind).cast(pa.type_for_alias(kind)).take(take)
            for column, (name, kind) in zip(columns, view.keys.items(), strict=True)
        }
        return pa.table({**keys, view.event_time: pa.array(kept[1]).view(_NANOSECONDS)})


def compute_steps(view: FeatureView, rows: pa.Table) -> pa.Table:
    """Return what changes when for the entities whose rows are given, all of them; see `WindowIndex.to_steps`."""
    find_types(view, rows.schema)
    return WindowIndex(view, rows, [TileParts.of(rows, view)]).to_steps()


def weigh_steps(view: FeatureView, rows: pa.Table) -> int:
    """Return about how many bytes it takes to compute the steps that rows of a view's source make."""
    windows = {window_of(each) for each in view.aggregations}
    return int(rows.num_rows * (len(windows) + 1) * (len(view.columns()) + len(view.features) + 1) * _WORD)


def _weigh_asking(wanted: Sequence[Aggregation], asking: int) -> int:
    """Return about how many bytes it takes to answer so many."""
    windows = {window_of(each) for each in wanted}
    return asking * (_SEARCHED + len(windows) * _RANGES + len(wanted)) * _WORD


def _order(tiles: Sequence[Tile], columns: Sequence[pa.ChunkedArray], at: Instants) -> _Asked:
    count = len(at.values)
    codes = [tile.encode(columns, count) for tile in tiles]
    largest = max(range(len(codes)), key=lambda number: tiles[number].index.num_rows)
    # Searches in the order of the index walk through it once.
    order = tiles[largest].index.order_of_search(codes[largest], at.values)
    if at.nulls is not None:
        codes = [np.where(at.nulls, -1, each) for each in codes]
    return _Asked(columns, count, order, at.values[order], at.nulls, tiles, [each[order] for each in codes])


def _turn_back(order: Integers) -> pa.Array:
    """Return where each stands in an order."""
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(places))
    return pa.array(places)


def _look(tiles: Sequence[Tile], codes: Sequence[Integers], window: Window, at: Integers) -> WindowSpans:
    found = [Span(tile, *tile.ranges(each, window, at)) for tile, each in zip(tiles, codes, strict=True)]
    return WindowSpans(window, found)


def find_types(view: FeatureView, schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the type of each windowed feature over a source of a schema.

    Raises
    ------
    SchemaMismatchError
        When a function means nothing for the column.
    """
    found = {}
    for each in view.aggregations:
        kind = None if each.column is None else schema.field(each.column).type
        if kind is not None and pa.types.is_dictionary(kind):
            kind = kind.value_type
        found[each.name] = output_type(each, kind)
    return found


def _each_once(codes: Integers, moments: Sequence[Integers]) -> tuple[Integers, Integers]:
    """Return pairs of an entity and a moment, each once and in order, with a place of the entity's."""
    places = np.tile(np.arange(len(codes)), len(moments))
    instants = np.concatenate(moments) if len(codes) else np.zeros(0, dtype=np.int64)
    inside = instants < LIMIT
    if not inside.all():
        places, instants = places[inside], instants[inside]
    entities = codes[places] if len(places) else places
    order = np.lexsort((instants, entities))
    places, instants, entities = places[order], instants[order], entities[order]
    new: NDArray[np.bool_] = np.ones(len(places), dtype=np.bool_)
    new[1:] = (instants[1:] != instants[:-1]) | (entities[1:] != entities[:-1])
    return places[new], instants[new]
