"""The demo's models: logistic regression in numpy on columns of the flights, fitted on the train part alone."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "visib")
DELAYS = ("carrier_delay_3h", "origin_delay_3h")
_CATEGORIES = ("hour", "carrier", "origin")
# Where the effect of a mean delay (minutes) may bend.
_BENDS = (-10, 0, 10, 20, 30, 45, 60, 90)


@dataclass(slots=True)
class FlightModel:
    """Predicts whether a flight will be late, from what is known at its scheduled departure.

    Parameters
    ----------
    schedule_only : bool
        Look at hour, carrier, origin and distance alone; else at the weather and the delays before it, too.
    """

    schedule_only: bool
    levels: dict[str, list[Any]] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    weights: Matrix = field(default_factory=lambda: np.empty(0))

    def fit(self, rows: pa.Table) -> "FlightModel":
        """Fit to rows with the column ``late``; ridge-penalised maximum likelihood by Newton's method."""
        self.levels = {name: sorted(rows[name].unique().to_pylist()) for name in _CATEGORIES}
        for name in ("distance",) if self.schedule_only else ("distance", *WEATHER):
            values = _numbers(rows, name)
            self.scales[name] = float(np.nanmean(values)), float(np.nanstd(values))
        self.weights = _newton(self._matrix(rows), rows["late"].to_numpy().astype(np.float64))
        return self

    def chances(self, rows: pa.Table) -> Matrix:
        """Return the chance of being late of each row."""
        return _logistic(self._matrix(rows) @ self.weights)

    def predict(self, rows: pa.Table, *, threshold: float = 0.5) -> pa.Array:
        """Return which rows are predicted late."""
        return pa.array(self.chances(rows) > threshold)

    def _matrix(self, rows: pa.Table) -> Matrix:
        columns: list[Any] = [np.ones(rows.num_rows), self._scaled(rows, "distance")]
        for name, levels in self.levels.items():
            codes = rows[name].combine_chunks().dictionary_encode()
            known = {value: code for code, value in enumerate(codes.dictionary.to_pylist())}
            found = codes.indices.to_numpy()
            columns += [found == known.get(level, -1) for level in levels[1:]]
        if not self.schedule_only:
            for name in WEATHER:
                scaled = self._scaled(rows, name)
                columns += [scaled, scaled**2]
            columns += self._delays(rows)
        return np.column_stack(columns).astype(np.float64)

    def _scaled(self, rows: pa.Table, name: str) -> Matrix:
        mean, scale = self.scales[name]
        scaled = (_numbers(rows, name) - mean) / scale
        return np.clip(np.where(np.isnan(scaled), 0.0, scaled), -3.0, 3.0)

    def _delays(self, rows: pa.Table) -> list[Any]:
        columns: list[Any] = []
        known = {name: _numbers(rows, name) for name in DELAYS}
        for values in known.values():
            delay = np.where(np.isnan(values), 0.0, values)
            columns += [np.isnan(values), np.clip(delay, -30, 0) / 30]
            columns += [np.maximum(delay - bend, 0) / 30 for bend in _BENDS]
        carrier, origin = (np.clip(np.nan_to_num(values), 0, 60) / 30 for values in known.values())
        return [*columns, carrier * origin, origin * (_numbers(rows, "hour") - 12) / 10]


def _numbers(rows: pa.Table, name: str) -> Matrix:
    return rows[name].cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]  # pyarrow is untyped


def _newton(x: Matrix, y: Matrix, *, ridge: float = 1.0, rounds: int = 7) -> Matrix:
    weights = np.zeros(x.shape[1])
    for _ in range(rounds):
        chance = _logistic(x @ weights)
        gradient = x.T @ (y - chance) - ridge * weights
        curvature = (x.T * (chance * (1 - chance))) @ x + ridge * np.eye(x.shape[1])
        weights += np.linalg.solve(curvature, gradient)
    return weights


def _logistic(score: Matrix) -> Matrix:
    return 1.0 / (1.0 + np.exp(-np.clip(score, -30, 30)))
