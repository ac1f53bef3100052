"""A feature view as it is served: the file of a version, files of changes over it, and what was pushed since.

A lookup takes the row with the greatest event time among them; where two have the same, the layer that lies above
counts. A pushed row that the version already knew of when it was laid out counts only where it is newer than all that
the version has of the entity: what a version says later is never undone by an earlier push.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.cells import FeatureCells, RowCells
from foldstore.views.online.pushed_rows import PushedRow, PushedRows
from foldstore.views.online.reader import (
    NOWHERE,
    Found,
    FoundMany,
    FoundRow,
    Layer,
    OnlineReader,
    RowLookup,
    read_key,
    read_one,
)
from foldstore.views.online.status import FeatureStatus
from foldstore.views.online.store import FoundPushed, PushedQuestion

_PRESENT, _NOT_FOUND, _EXPIRED = FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND, FeatureStatus.OUTSIDE_MAX_AGE
_PUSHED: Final = -2  # the place of what was pushed, until its layer is known
Key = tuple[Any, ...]


class Located(NamedTuple):
    """A row of a file: which file, which row, since when it is true."""

    layer: int
    row: int
    event: int


@dataclass(frozen=True, slots=True)
class LayeredReader:
    """Files over one another, and pushed rows over them all; what `OnlineReader` answers for one file.

    Attributes
    ----------
    files : tuple of OnlineReader
        The version's first, then the changes, oldest first.
    pushed : PushedRows or None
        What was pushed.
    """

    files: tuple[OnlineReader, ...]
    pushed: PushedRows | None = None

    @property
    def view(self) -> FeatureView:
        """The definition."""
        return self.files[0].view

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses of the versions that the rows come from."""
        return self.files[-1].sources

    @property
    def num_rows(self) -> int:
        """How many rows the files have."""
        return sum(file.num_rows for file in self.files)

    @property
    def schema(self) -> pa.Schema:
        """The features and their types."""
        return self.files[0].schema

    @property
    def num_bytes(self) -> int:
        """How large the files are."""
        return sum(file.num_bytes for file in self.files)

    @property
    def num_changes(self) -> int:
        """How many files lie over the first one."""
        return len(self.files) - 1

    def over(self, pushed: PushedRows) -> "LayeredReader":
        """Return the same files below what was pushed."""
        return LayeredReader(self.files, pushed)

    @property
    def cells(self) -> FeatureCells:
        """Each feature's values in the first file."""
        return self.files[0].cells

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values in the first file."""
        return self.files[0].column(feature)

    def locate(self, key: Key, at: int) -> Located | None:
        """Return the row of the files that counts for a checked key at an instant, whatever its age."""
        while True:
            best: Located | None = None
            for layer, file in enumerate(self.files):
                row, event = file.locate(key, at)
                if row >= 0 and (best is None or event >= best.event):
                    best = Located(layer, row, event)
            if best is None or not self.files[best.layer].is_gone(best.row):
                return best
            at = best.event - 1

    def latest(self, key: Key) -> tuple[int, int] | None:
        """Return the event and created time of the newest row that the files have of a checked key."""
        found = self.locate(key, 2**63 - 1)
        return None if found is None else (found.event, self.created(found))

    def created(self, found: Located) -> int:
        """Return when a row was written down."""
        return self.files[found.layer].created(found.row)

    @property
    def asks_server(self) -> bool:
        """Whether what was pushed is on a server: then several views are better asked for together."""
        return self.pushed is not None and self.pushed.store.base is not None

    def search(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> FoundMany:
        """Look several entities up, in their order; see `OnlineReader.search`."""
        if self.asks_server:
            return search_layers([(self, keys)], at, count)[0]
        checked = self.check(keys, at, count)
        pushed = self.pushed
        if pushed is None or not pushed.may_have_any():
            return self.answer(checked, at, None)
        return self.answer(checked, at, pushed.store.find_all([self.question(checked, at)])[0])

    def find_in_files(self, key: Sequence[Any], at: int) -> tuple[int, Found] | None:
        """Look one entity up in the files; return which one has it, too. None where something may lie over them.

        Raises
        ------
        SchemaMismatchError
            When a value is not of the key's type.
        """
        pushed = self.pushed
        if pushed is not None and (pushed.store.base is not None or pushed.may_have_any()):
            return None
        if len(self.files) == 1:
            return 0, self.files[0].find(key, at)
        self.files[0].check_reach(at)
        checked = self.files[0].hasher.check(key)
        found = None if checked is None else self.locate(checked, at)
        if found is None:
            return 0, Found(NOWHERE, None, _NOT_FOUND)
        ttl = self.view.ttl_nanoseconds
        if ttl and found.event < at - ttl:
            return 0, Found(NOWHERE, found.event, _EXPIRED)
        return found.layer, Found(found.row, found.event, _PRESENT)

    def columns_of(self, features: tuple[str, ...]) -> tuple[RowCells, ...]:
        """Return columns of each file."""
        return tuple([file.cells.choose(features) for file in self.files])

    def check(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> Sequence[Key | None]:
        """Return the keys that a lookup asks for, None for one that nothing can have."""
        self.files[0].check_reach(at)
        return self.files[0].check_keys(keys, count)

    def has_pushed(self, found: FoundPushed) -> bool:
        """Say whether the store found any row, or raise for one that has caught up; see `PushedRows.check`."""
        assert self.pushed is not None  # noqa: S101  # it was asked
        self.pushed.check(found.state)
        return any(row is not None for row in found.rows)

    def question(self, checked: Sequence[Key | None], at: int) -> PushedQuestion:
        """Return what the store of what was pushed is asked, for `answer`."""
        assert self.pushed is not None  # noqa: S101  # the caller asked
        return self.pushed.question([key for key in checked if key is not None], at)

    def answer(self, checked: Sequence[Key | None], at: int, pushed: FoundPushed | None) -> FoundMany:
        """Return what a lookup finds, from what the store of what was pushed answered; None when it has nothing."""
        if len(self.files) == 1 and pushed is None:
            return self.files[0].search_checked(checked, at)
        if len(self.files) > 1:
            found = [None if key is None else self.locate(key, at) for key in checked]
        else:
            found = self._locate_in_first(checked, at)
        return self._answer(found, {} if pushed is None else self._newer(checked, found, pushed), at)

    def _locate_in_first(self, checked: Sequence[Key | None], at: int) -> list[Located | None]:
        raw = self.files[0].search_checked(checked, at)
        return [
            None if time is None else Located(0, row if row >= 0 else _PUSHED, time)
            for row, time in zip(raw.rows, raw.event_times, strict=True)
        ]

    def _newer(
        self, checked: Sequence[Key | None], found: Sequence[Located | None], stored: FoundPushed
    ) -> Mapping[int, PushedRow]:
        """Return the pushed rows that count, by the place in the request."""
        assert self.pushed is not None  # noqa: S101  # the caller asked
        asked = [(place, key) for place, key in enumerate(checked) if key is not None]
        rows = self.pushed.choose([key for _, key in asked], stored, self.latest)
        return {
            place: row
            for (place, key), row in zip(asked, rows, strict=True)
            if row is not None and self._counts(row, key, found[place])
        }

    def _counts(self, row: PushedRow, key: Key, found: Located | None) -> bool:
        if found is None or row.event > found.event:
            return True
        if row.event < found.event:
            return False
        here = self.locate(key, found.event)
        return here is None or row.created >= self.created(here)

    def _answer(self, found: Sequence[Located | None], newer: Mapping[int, PushedRow], at: int) -> FoundMany:
        ttl = self.view.ttl_nanoseconds
        values = [place for place, row in newer.items() if not row.is_delete]
        batch = None if self.pushed is None or not values else self.pushed.batch([newer[place] for place in values])
        row_in_batch = {place: number for number, place in enumerate(values)}
        last = len(self.files)
        rows, times, statuses, layer_of = [], [], [], []
        for place, located in enumerate(found):
            pushed = newer.get(place)
            if pushed is not None and pushed.is_delete:
                event, row, layer = None, NOWHERE, 0
            elif pushed is not None:
                event, row, layer = pushed.event, row_in_batch[place], last
            elif located is not None:
                event, row, layer = located.event, located.row, located.layer
            else:
                event, row, layer = None, NOWHERE, 0
            expired = event is not None and bool(ttl) and event < at - ttl
            rows.append(NOWHERE if expired else row)
            layer_of.append(0 if expired else layer)
            times.append(event)
            statuses.append(_NOT_FOUND if event is None else _EXPIRED if expired else _PRESENT)
        layers: tuple[Layer, ...] = (*self.files, batch) if batch is not None else self.files
        return FoundMany(rows, times, statuses, layers, layer_of, frozenset(newer))

    def prepare_row(self, columns: Sequence[str], features: Sequence[str]) -> RowLookup:
        """Return a lookup of the values of one entity, by the named entries of a mapping."""
        alone = self.files[0].prepare_row(columns, features) if len(self.files) == 1 else None
        pushed = self.pushed

        def get(entity: Mapping[str, Any], at: int) -> FoundRow:
            if alone is not None and (pushed is None or (not self.asks_server and not pushed.may_have_any())):
                return alone(entity, at)
            found = self.search([[read_key(entity, column)] for column in columns], at, count=1)
            return read_one(self, found, features)

        return get


def search_layers(
    lookups: Sequence[tuple[LayeredReader, Sequence[Sequence[Any]]]], at: int, count: int | None
) -> list[FoundMany]:
    """Look entities up in several views whose pushed rows are on one server, in one round trip, as a rule."""
    checked = [reader.check(keys, at, count) for reader, keys in lookups]
    asked = [reader.question(each, at) for (reader, _), each in zip(lookups, checked, strict=True)]
    pushed = lookups[0][0].pushed
    assert pushed is not None  # noqa: S101  # it is on the server
    found = pushed.store.find_all(asked)
    return [
        reader.answer(keys, at, each if reader.has_pushed(each) else None)
        for (reader, _), keys, each in zip(lookups, checked, found, strict=True)
    ]
