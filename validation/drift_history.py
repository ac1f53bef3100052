"""Limits of drift, learnt from how far earlier versions lie from the rows that a schema was inferred from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.drift.trend import WARM_UP, noise_floor
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.drift.windows import list_windows, rows_added
from foldstore.validation.drift_checks import drift_from_schema
from foldstore.validation.nested_paths import with_nested
from foldstore.validation.schema import DataSchema
from foldstore.validation.type_checks import type_fits

# By column, the effects of earlier versions against the reference counts, and those of their shares of nulls.
Effects: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]
History: TypeAlias = Callable[[Mapping[str, ColumnSchema]], Effects]

MOST_VERSIONS: Final = 50
# Below it a change is too small to matter, however quiet the versions were.
LEAST_LIMIT: Final = 0.02


def past_effects(
    storage: Storage, record: VersionRecord, name: str, columns: Mapping[str, ColumnSchema], *, own: bool
) -> Effects:
    """Return how far the rows that each published version added lie from the columns' reference counts.

    Parameters
    ----------
    record : VersionRecord
        The version that the columns were inferred from.
    name : str
        The dataset.
    own : bool
        Whether the rows that the version itself added are one of them.
    """
    judged = {each: column for each, column in columns.items() if column.drift is not None}
    found: dict[str, list[tuple[float, float]]] = {each: [] for each in judged}
    for version in list_windows(storage, record, MOST_VERSIONS, own=own):
        rows = with_nested(rows_added(storage, version, name), list(judged))
        profile = rows.profile()
        fitting = {each: column for each, column in judged.items() if type_fits(profile, each, column)}
        grids = {each: column.grid for each, column in fitting.items() if column.grid is not None}
        if not grids or not profile.rows:
            continue
        drift = drift_from_schema(rows.grid_counts(grids), fitting, profile, seed=profile.id)
        for each, result in drift.columns.items():
            if result.part and result.verdict is DriftVerdict.UNTESTABLE:
                continue  # what could not be told is no small effect
            found[each].append((result.effect, result.null_effect))
    return found


def learn_limits(schema: DataSchema, effects: Effects) -> DataSchema:
    """Return an inferred schema whose limits of drift lie where ordinary versions stay below, from eight versions on.

    The limit that warns is the median of the effects and three robust standard deviations (see
    `foldstore.validation.drift.trend.noise_floor`), the one that fails is twice that.
    """
    return replace(schema, columns={name: _learn(each, effects.get(name, ())) for name, each in schema.columns.items()})


def _learn(column: ColumnSchema, effects: Sequence[tuple[float, float]]) -> ColumnSchema:
    if column.drift is None or len(effects) < WARM_UP:
        return column
    usual = DriftPolicy()
    tau = _limit([effect for effect, _ in effects], usual.tau_warn)
    null = _limit([effect for _, effect in effects], usual.null_warn)
    policy = replace(
        column.drift, tau_warn=tau, tau_error=min(1.0, 2 * tau), null_warn=null, null_error=round(2 * null, 4)
    )
    why = f"median and 3 * 1.4826 median deviations of {len(effects)} versions: {tau:g}; of their nulls {null:g}"
    evidence = {**column.evidence, "why": {**column.evidence.get("why", {}), "drift": why}}
    return replace(column, drift=policy, evidence=evidence)


def _limit(effects: Sequence[float], usual: float) -> float:
    found = noise_floor(effects)
    return usual if found is None else round(min(1.0, max(found, LEAST_LIMIT)), 4)
