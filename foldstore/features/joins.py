"""Features joined to rows as they were known at each row's own time, and training sets made of that."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import UsageError
from foldstore.features.definitions import Definitions
from foldstore.features.sources import Pins, Rows, check_published, read_source
from foldstore.names import parse_address
from foldstore.split import SplitPart
from foldstore.training_set import Inputs, TrainingSet
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join


class HistoricalJoins:
    """Joins the features of applied services to rows.

    Parameters
    ----------
    rows : Rows
        How sources and labels are read.
    definitions : Definitions
        The services.
    """

    def __init__(self, rows: Rows, definitions: Definitions) -> None:
        self._rows = rows
        self._definitions = definitions

    def join(
        self,
        labels: Any,
        service: str,
        *,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        like: TrainingSet | None = None,
    ) -> pa.Table:
        """Join a service's features to rows; see `foldstore.features.handle.Features.get_historical_features`."""
        _, definition, _ = self._definitions.get(service)
        tables = self._feature_tables(definition, Pins(self._rows, given_pins(like)))
        return point_in_time_join(
            self._read_labels(labels), tables, event_timestamp=event_timestamp, full_feature_names=full_feature_names
        )

    def create_training_set(
        self,
        name: str,
        *,
        labels: str,
        features: str,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        message: str = "",
    ) -> TrainingSet:
        """Join and commit; see `foldstore.features.handle.Features.create_training_set`."""
        address, definition, version = self._definitions.get(features)
        asked = parse_address(labels)
        if asked.split is None or asked.part is not None:
            raise UsageError(f"{labels!r} is not the address of a split.", hint="Write name@version#split.")
        base = check_published(self._rows.version(f"{asked.name}@{asked.ref}"))
        split = base.find_split(asked.split)
        pins = Pins(self._rows)
        tables = self._feature_tables(definition, pins)
        parts = {part: split.part(part) for part in ("train", "validation", "test")}
        time = event_timestamp or base.dataset.event_time
        joined = {
            part: point_in_time_join(
                rows.to_arrow(), tables, event_timestamp=time, full_feature_names=full_feature_names
            )
            for part, rows in parts.items()
        }
        names = definition.output_names(full_feature_names=full_feature_names)
        inputs = Inputs(
            labels=f"{base.address}#{asked.split}",
            features=f"{address}@{version}",
            pins=dict(pins.used),
            views=dict(pins.views),
            names=tuple(names),
            sizes={part: rows.num_rows for part, rows in joined.items()},
        )
        return self._rows.create(name, base, joined, inputs, message)

    def _feature_tables(self, service: FeatureService, pins: Pins) -> list[FeatureTable]:
        indexes = {}
        for selection in service.selections:
            view = selection.view
            if view.name not in indexes:
                indexes[view.name] = index_view(view, read_source(self._rows, view, pins).table)
        return [FeatureTable(selection, indexes[selection.view.name]) for selection in service.selections]

    def _read_labels(self, labels: Any) -> pa.Table:
        if isinstance(labels, str):
            return self._rows.view_rows(labels)
        if isinstance(labels, SplitPart):
            return labels.to_arrow()
        source = open_source(labels)
        return pa.Table.from_batches(source.batches, source.schema)


def given_pins(like: TrainingSet | None) -> Mapping[str, str]:
    """Return what each address stood for when a training set was made; nothing for none."""
    if like is None:
        return {}
    if not isinstance(like, TrainingSet):
        raise UsageError(f"{type(like).__name__!r} is not a training set.", hint="Give what create_training_set gave.")
    return {**like.inputs.pins, **like.inputs.views}
