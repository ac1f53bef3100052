"""Features joined to rows as they were known at each row's own time."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.errors import UsageError
from foldstore.features.definitions import Definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.features.sources import Pins, Rows, check_published, read_source
from foldstore.names import parse_address
from foldstore.split import SplitPart
from foldstore.training_set import Inputs, TrainingSet
from foldstore.version import Version
from foldstore.views.features.entity_history import list_entity_history
from foldstore.views.features.feature_service import FeatureService, refuse_full_names
from foldstore.views.features.feature_view import SqlSource
from foldstore.views.features.index_file import AsOfIndex
from foldstore.views.features.join import FeatureTable, JoinOptions, point_in_time_join
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.instant import parse_instant

_SPACE: Final = re.compile(r"\s")
_PANDAS_INDEX: Final = re.compile(r"__index_level_\d+__", re.ASCII)


@dataclass(frozen=True, slots=True)
class JoinedSplit:
    """The rows of a split with a service's features, part by part, and what they were made of."""

    base: Version
    parts: Mapping[str, pa.Table]
    inputs: Inputs


class HistoricalJoins:
    """Joins the features of applied services to rows.

    Parameters
    ----------
    rows : Rows
        How sources and labels are read.
    definitions : Definitions
        The services.
    indexes : FeatureIndexes
        Where sources are sorted.
    """

    def __init__(self, rows: Rows, definitions: Definitions, indexes: FeatureIndexes) -> None:
        self._rows = rows
        self._indexes = indexes
        self._definitions = definitions

    def join(
        self,
        labels: Any,
        service: str,
        options: JoinOptions,
        *,
        start: Any = None,
        end: Any = None,
        like: TrainingSet | None = None,
    ) -> pa.Table:
        """Join a service's features to rows; see `foldstore.features.handle.Features.get_historical_features`."""
        _, definition, _ = self._definitions.get(service)
        given = given_pins(like)
        if labels is None:
            tables = self._feature_tables(definition, Pins(self._rows, given))
            bounds = [None if each is None else parse_instant(each) for each in (start, end)]
            asking = list_entity_history(tables, bounds[0], bounds[1])
        elif start is not None or end is not None:
            raise UsageError(
                "start and end stand in place of rows that ask.", hint="Leave labels out, or both of them."
            )
        else:
            asking = self._read_labels(labels)
        return self.join_pinned(asking, definition, options, given)

    def join_pinned(
        self, asking: pa.Table, definition: FeatureService, options: JoinOptions, given: Mapping[str, str]
    ) -> pa.Table:
        """Join a service's features to rows, from what each address stood for then."""
        refuse_full_names(definition, full_feature_names=options.full_feature_names)
        tables = self._feature_tables(definition, Pins(self._rows, given))
        joined = point_in_time_join(asking, tables, **asdict(options))
        transform = self._definitions.find_transform(definition)
        return joined if transform is None else transform.apply(joined)

    def pin_split(self, labels: str, features: str, options: JoinOptions) -> Inputs:
        """Say what joining a service's features to the rows of a split would be made of; no row is read."""
        base, split = self._find_split(labels)
        address, definition, version = self._definitions.get(features)
        pins = Pins(self._rows)
        with unrecorded():  # they are noted when they are read
            for selection in definition.selections:
                self._definitions.pin_source(selection.view, pins)
        return Inputs(
            labels=f"{base.address}#{split}",
            features=f"{address}@{version}",
            pins=dict(pins.used),
            views=dict(pins.views),
            options=options.to_dict(),
            names=(),
            sizes={},
        )

    def join_split(
        self, labels: str, features: str, options: JoinOptions, given: Mapping[str, str] | None = None
    ) -> JoinedSplit:
        """Join a service's features to the rows of a split, from what each address stands for, or stood for then."""
        base, name = self._find_split(labels)
        address, definition, version = self._definitions.get(features)
        refuse_full_names(definition, full_feature_names=options.full_feature_names)
        split = base.find_split(name)
        pins = Pins(self._rows, given or {})
        tables = self._feature_tables(definition, pins)
        parts = {part: split.part(part) for part in ("train", "validation", "test")}
        timed = replace(options, event_timestamp=options.event_timestamp or base.dataset.event_time)
        joined = {part: point_in_time_join(rows.to_arrow(), tables, **asdict(timed)) for part, rows in parts.items()}
        names = definition.output_names(full_feature_names=options.full_feature_names)
        transform = self._definitions.find_transform(definition)
        if transform is not None:
            joined = {part: transform.apply(rows, out_of_fold=part == "train") for part, rows in joined.items()}
            names = transform.output_names(names)
        inputs = Inputs(
            labels=f"{base.address}#{name}",
            features=f"{address}@{version}",
            pins=dict(pins.used),
            views=dict(pins.views),
            options=options.to_dict(),
            names=tuple(names),
            sizes={part: rows.num_rows for part, rows in joined.items()},
        )
        return JoinedSplit(base, joined, inputs)

    def _find_split(self, labels: str) -> tuple[Version, str]:
        """Return the version that an address of a split names, and the split's name."""
        asked = parse_address(labels)
        if asked.split is None or asked.part is not None:
            raise UsageError(f"{labels!r} is not the address of a split.", hint="Write name@version#split.")
        return check_published(self._rows.version(f"{asked.name}@{asked.ref}")), asked.split

    def _feature_tables(self, service: FeatureService, pins: Pins) -> list[FeatureTable]:
        indexes: dict[str, AsOfIndex | WindowIndex] = {}
        for selection in service.selections:
            view = selection.view
            if view.name not in indexes:
                if view.aggregations:
                    indexes[view.name] = self._indexes.windows_of(view, pins)
                else:
                    indexes[view.name] = self._indexes.index(view, read_source(self._rows, view, pins))
        return [FeatureTable(selection, indexes[selection.view.name]) for selection in service.selections]

    def _read_labels(self, labels: Any) -> pa.Table:
        if isinstance(labels, SqlSource):
            return self._rows.query(labels.query)
        if isinstance(labels, str):
            # No address holds a space, and every query does.
            return self._rows.query(labels) if _SPACE.search(labels.strip()) else self._rows.view_rows(labels)
        if isinstance(labels, SplitPart):
            return labels.to_arrow()
        source = open_source(labels)
        table = pa.Table.from_batches(source.batches, source.schema)
        # pandas keeps an index without a name as a column; in the frame it is none.
        unnamed = [name for name in table.column_names if _PANDAS_INDEX.fullmatch(name)]
        return table.drop_columns(unnamed) if b"pandas" in (table.schema.metadata or {}) else table


def given_pins(like: TrainingSet | None) -> Mapping[str, str]:
    """Return what each address stood for when a training set was made; nothing for none."""
    if like is None:
        return {}
    if not isinstance(like, TrainingSet):
        raise UsageError(f"{type(like).__name__!r} is not a training set.", hint="Give what create_training_set gave.")
    return {**like.inputs.pins, **like.inputs.views}
