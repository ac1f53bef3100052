"""A feature service over materialized views: lookups for many entities, and a prepared handle for one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.types import utc_now
from foldstore.views.features.feature_service import check_collisions
from foldstore.views.features.feature_view import FeatureSelection
from foldstore.views.instant import parse_instant
from foldstore.views.online.entities import Entities, count_entities, read_entities
from foldstore.views.online.layered import LayeredReader, search_layers
from foldstore.views.online.reader import FoundMany, ViewReader, read_key, read_one
from foldstore.views.online.result import FoundGroup, OnlineResult, OnlineRow
from foldstore.views.online.status import FeatureStatus
from foldstore.views.online.stored_reader import StoredReader, search_together

Together = Callable[[Sequence[tuple[Any, Sequence[Sequence[Any]]]], int, int], Sequence[FoundMany]]
Instant = Any  # what parse_instant reads: text, a datetime, nanoseconds


@dataclass(frozen=True, slots=True)
class _Part:
    """One selection of the service, and where its values are."""

    reader: ViewReader
    selection: FeatureSelection
    names: tuple[str, ...]
    keys: tuple[str, ...]


class OnlineService:
    """Answers for the features of a service, or any others.

    Parameters
    ----------
    selections : sequence of FeatureSelection
        The features, in the order of the answer.
    readers : mapping of str to ViewReader
        The materialized views by name.
    address : str, optional
        What the service is called in answers, such as ``arrival@1``.
    full_feature_names : bool
        Name the features ``view__feature``.
    materialization : int, optional
        Which laying out of the service the views are of.

    Raises
    ------
    NotFoundError
        When a view of the service is not materialized, or was with another definition.
    UsageError
        When two features have one name.
    """

    __slots__ = ("_parts", "address", "join_keys", "materialization")

    def __init__(
        self,
        selections: Sequence[FeatureSelection],
        readers: Mapping[str, ViewReader],
        *,
        address: str | None = None,
        full_feature_names: bool = False,
        materialization: int | None = None,
    ) -> None:
        self.address = address
        self.materialization = materialization
        self._parts = tuple(
            _Part(
                _reader(selection, readers),
                selection,
                tuple(selection.output_names(full_feature_names=full_feature_names)),
                selection.label_keys,
            )
            for selection in selections
        )
        check_collisions([name for part in self._parts for name in part.names])
        keys = dict.fromkeys(chain.from_iterable(part.keys for part in self._parts))
        self.join_keys: tuple[str, ...] = tuple(keys)

    def get(self, entities: Entities, at: Instant = None) -> OnlineResult:
        """Look entities up.

        Parameters
        ----------
        entities : list of dict, or dict of list
            The keys, row by row or column by column.
        at : str, datetime or int, optional
            The instant; now unless given.
        """
        columns = read_entities(entities, self.join_keys)
        count = count_entities(entities, columns)
        moment = _now() if at is None else parse_instant(at)
        asks = [(part.reader, [columns[key] for key in part.keys]) for part in self._parts]
        groups = tuple(
            FoundGroup(part.reader, part.selection.features, part.names, found)
            for part, found in zip(self._parts, _search(asks, moment, count), strict=True)
        )
        return OnlineResult(self.address, moment, columns, groups, self.materialization)

    def parts(self) -> Iterator[tuple[ViewReader, FeatureSelection, tuple[str, ...]]]:
        """Yield the selections: where their values are, what is chosen, and what that is called in answers."""
        for part in self._parts:
            yield part.reader, part.selection, part.names

    def prepare(self, now: Callable[[], int] | None = None) -> "OnlineHandle":
        """Return a handle for lookups of one entity in a hot loop."""
        return OnlineHandle(list(self.parts()), now or _now)


class OnlineHandle:
    """Looks up one entity at a time, everything that can be prepared prepared.

    Parameters
    ----------
    parts : sequence
        From `OnlineService.prepare`.
    now : callable
        What time it is in nanoseconds, for lookups that do not say.
    """

    __slots__ = ("_names", "_now", "_parts")

    def __init__(
        self, parts: Sequence[tuple[ViewReader, FeatureSelection, tuple[str, ...]]], now: Callable[[], int]
    ) -> None:
        self._now = now
        self._names = tuple(chain.from_iterable(names for _, _, names in parts))
        if len(parts) > 1 and all(_asked_together(reader) for reader, _, _ in parts):
            self._parts = [_prepare_together([(reader, selection) for reader, selection, _ in parts])]
        else:
            self._parts = [_prepare(reader, selection) for reader, selection, _ in parts]

    def get(self, entity: Mapping[str, Any], at: Instant = None) -> OnlineRow:
        """Look one entity up.

        Parameters
        ----------
        entity : mapping
            A value for each key.
        at : str, datetime or int, optional
            The instant (an int is nanoseconds since 1970); now unless given.
        """
        if type(entity) is not dict and not isinstance(entity, Mapping):
            raise UsageError(f"{ascii(entity)[:80]} is not one entity.", hint='Write {"carrier": "UA"}.')
        moment = at if type(at) is int else self._now() if at is None else parse_instant(at)
        if len(self._parts) == 1:
            values, statuses, times = self._parts[0](entity, moment)
            return OnlineRow(dict(zip(self._names, values, strict=True)), statuses, times)
        found = [part(entity, moment) for part in self._parts]
        return OnlineRow(
            dict(zip(self._names, chain.from_iterable(part[0] for part in found), strict=True)),
            tuple(chain.from_iterable(part[1] for part in found)),
            tuple(chain.from_iterable(part[2] for part in found)),
        )


def _search(asks: Sequence[tuple[ViewReader, Sequence[Sequence[Any]]]], at: int, count: int) -> Sequence[FoundMany]:
    """Look entities up in several views; those whose rows are on a server are asked for together."""
    groups: dict[Together, list[int]] = {}
    found: dict[int, FoundMany] = {}
    for place, (reader, keys) in enumerate(asks):
        together = _asked_together(reader)
        if together is None:
            found[place] = reader.search(keys, at, count)
        else:
            groups.setdefault(together, []).append(place)
    for together, places in groups.items():
        found |= zip(places, together([asks[place] for place in places], at, count), strict=True)
    return [found[place] for place in range(len(asks))]


def _asked_together(reader: ViewReader) -> Together | None:
    """Return how several views such as this one are asked for at once; None for one that asks no server."""
    if isinstance(reader, StoredReader):
        return search_together
    return search_layers if isinstance(reader, LayeredReader) and reader.asks_server else None


_Values = tuple[list[Any], tuple[FeatureStatus, ...], tuple[int | None, ...]]


def _prepare(reader: ViewReader, selection: FeatureSelection) -> Callable[[Mapping[str, Any], int], _Values]:
    look = reader.prepare_row(selection.label_keys, selection.features)
    count = len(selection.features)
    uniform = {status: (status,) * count for status in FeatureStatus}
    present = FeatureStatus.PRESENT

    def get(entity: Mapping[str, Any], at: int) -> _Values:
        values, event, status = look(entity, at)
        statuses = _with_nulls(values) if status is present and None in values else uniform[status]
        return values, statuses, (event,) * count

    return get


def _prepare_together(
    parts: Sequence[tuple[ViewReader, FeatureSelection]],
) -> Callable[[Mapping[str, Any], int], _Values]:
    def get(entity: Mapping[str, Any], at: int) -> _Values:
        asks = [(reader, [[read_key(entity, column)] for column in each.label_keys]) for reader, each in parts]
        values, statuses, times = list[Any](), list[FeatureStatus](), list[int | None]()
        for found, (reader, selection) in zip(_search(asks, at, 1), parts, strict=True):
            own, event, status = read_one(reader, found, selection.features)
            values += own
            statuses += _with_nulls(own) if status is FeatureStatus.PRESENT else [status] * len(own)
            times += [event] * len(own)
        return values, tuple(statuses), tuple(times)

    return get


def _with_nulls(values: Sequence[Any]) -> tuple[FeatureStatus, ...]:
    present, null = FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE
    return tuple([null if value is None else present for value in values])


def _reader(selection: FeatureSelection, readers: Mapping[str, ViewReader]) -> ViewReader:
    name = selection.view.name
    found = readers.get(name)
    if found is None:
        raise NotFoundError(
            f"Feature view {name!r} is not materialized.", hint="Materialize the feature service.", view=name
        )
    if found.view != selection.view:
        raise UsageError(
            f"Feature view {name!r} was materialized with another definition.",
            hint="Materialize the feature service again.",
            view=name,
        )
    return found


def _now() -> int:
    return parse_instant(utc_now())


def unknown_service(name: str, known: Sequence[str]) -> NotFoundError:
    """Build the error for a feature service that is not there."""
    return NotFoundError(
        f"There is no feature service {name!r} to serve.", hint=did_you_mean(name, known), service=name
    )
