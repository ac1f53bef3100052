"""Why a column moved: because other segments have other shares now (the mix), or because it moved within them.

All rows together may move although no segment does, and may stay although every segment moves (Simpson 1951). Both
parts are read from one table of counts for each column, segments x cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foldstore.validation.drift.concept import FeatureConcept, PairCounts, detect_concept_drift
from foldstore.validation.drift.measures import LN2, Counts, divergence
from foldstore.validation.drift.verdict import FLAGS, DriftVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentShift:
    """What one segment adds to the change of a column within segments.

    Attributes
    ----------
    segment : str
    share : float
        Of the values on both sides together.
    distance : float
        The Jensen-Shannon distance of the column in it, as it is.
    cell : str
        The cell whose share moved most, from `before` to `after`.
    before, after : float
    """

    segment: str
    share: float
    distance: float
    cell: str
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnParts:
    """How much of a column's change is due to the mix of segments, and how much happened within them.

    Attributes
    ----------
    column : str
    by_mix : float
        The distance that the new shares of the segments alone make: from the reference to the reference weighted by
        these; debiased. Segments that the reference lacks count as mix.
    within : float
        The debiased mean over the segments of the divergence within, as a distance: changes that cancel out in all
        rows do not cancel out here.
    within_noise : float
        What chance alone would give.
    within_p_value, within_p_adjusted : float
        Of the hypothesis that no segment changed; adjusted over the columns.
    within_verdict : DriftVerdict
    mix_nats, within_nats : float
        The parts of ``KL(current || reference)`` of segment and column together, which sum to it exactly.
    worst : tuple of SegmentShift
        The segments that add most to the change within.
    """

    column: str
    by_mix: float
    within: float
    within_noise: float
    within_p_value: float
    within_p_adjusted: float
    within_verdict: DriftVerdict
    mix_nats: float
    within_nats: float
    worst: tuple[SegmentShift, ...] = field(default=())

    def because(self, limit: float) -> str:
        """Say in a word why the column moved by a limit: ``mix``, ``within``, ``both``, or nothing."""
        by_mix, within = self.by_mix >= limit, self.within_verdict in FLAGS
        return "both" if by_mix and within else "mix" if by_mix else "within" if within else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        worst = [{name: getattr(each, name) for name in SegmentShift.__slots__} for each in self.worst]
        return plain | {"within_verdict": str(self.within_verdict), "worst": worst}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColumnParts":
        """Read what `to_dict` gave."""
        worst = tuple(SegmentShift(**each) for each in data["worst"])
        return cls(**{**data, "within_verdict": DriftVerdict(data["within_verdict"]), "worst": worst})


def split_changes(
    tables: Sequence[PairCounts], *, seed: str, limits: tuple[float, float], alpha: float
) -> dict[str, ColumnParts]:
    """Split the change of columns into the part of the mix and the part within segments.

    Parameters
    ----------
    tables : sequence of PairCounts
        One for each column, which is its `feature`: a row for each segment, a cell of the column in each place.
    seed : str
        Any text that names the comparison; the same text gives the same p-values.
    limits : pair of float
        The least effects within segments that warn and fail.
    alpha : float
        The level, after adjustment over the columns.

    Examples
    --------
    >>> import numpy as np
    >>> before, after = np.array([[90, 10], [10, 90]]) * 10, np.array([[27, 3], [17, 153]]) * 10
    >>> table = PairCounts(feature="x", labels=("a", "b"), classes=("0", "1"), reference=before, current=after)
    >>> found = split_changes([table], seed="", limits=(0.1, 0.2), alpha=0.01)["x"]
    >>> round(found.by_mix, 2), found.within, found.because(0.1)
    (0.25, 0.0, 'mix')
    """
    found = detect_concept_drift(
        tables, "segment", seed=seed, tau_warn=limits[0], tau_error=limits[1], alpha=alpha
    ).features
    return {table.feature: _parts(table, found[table.feature]) for table in tables}


def _parts(table: PairCounts, within: FeatureConcept) -> ColumnParts:
    f, g = table.reference, table.current
    worst = tuple(
        SegmentShift(
            segment=each.cell,
            share=each.share,
            distance=each.distance,
            cell=each.label,
            before=each.before,
            after=each.after,
        )
        for each in within.worst
        if each.distance > 0
    )
    return ColumnParts(
        column=table.feature,
        by_mix=_distance(*_mix(f, g)),
        within=within.effect,
        within_noise=within.noise,
        within_p_value=within.p_value,
        within_p_adjusted=within.p_adjusted,
        within_verdict=within.verdict,
        mix_nats=within.covariate_part,
        within_nats=within.concept_part,
        worst=worst,
    )


def _distance(raw: float, noise: float) -> float:
    return float(np.sqrt(max(0.0, raw - noise) / LN2))


def _mix(f: Counts, g: Counts) -> tuple[float, float]:
    """Return the divergence that the shares of the segments alone make, and what chance alone would give of it.

    With shares w of the segments and p_k within them, ``sum_k (v_k - w_k) p_k`` has the covariance ``s sum_k w_k
    (p_k - p)(p_k - p)'`` when the shares did not change, since only these are drawn anew; and ``J`` is about
    ``sum d^2 / p / 8``. Its mean is ``s phi^2 / 8`` with ``phi^2 = sum_k w_k sum (p_k - p)^2 / p``, the mean square
    contingency of segments and cells (Pearson).
    """
    n, m = int(f.sum()), int(g.sum())
    if not n or not m:
        return 0.0, 0.0
    held = np.where((f.sum(axis=1) > 0)[:, None], f, g)  # a segment that the reference lacks comes with the mix
    sizes = held.sum(axis=1)
    within = held / np.where(sizes, sizes, 1)[:, None]
    reference = f.sum(axis=0) / n
    weighted = (g.sum(axis=1) / m) @ within
    pooled = (f + g).sum(axis=1) / (n + m)
    centre = pooled @ within
    spread = pooled @ ((within - centre) ** 2 / np.where(centre > 0, centre, 1.0)).sum(axis=1)
    return float(divergence(reference, weighted)), float((1 / n + 1 / m) * spread / 8)
