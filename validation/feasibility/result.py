"""What a study of feasibility found: bounds, the curve over rows, the verdict, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from html import escape
from typing import Any


class FeasibilityVerdict(StrEnum):
    """Whether a target error can be reached."""

    REALISTIC = "realistic"
    INFEASIBLE = "infeasible"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One embedding and number of neighbours.

    Attributes
    ----------
    embedding : str
    k : int
        How many neighbours vote.
    error : float
        The share of held-out rows that they get wrong.
    low, high : float
        The interval of that error, by Clopper and Pearson, at the confidence of all arms together.
    bound : float
        The least Bayes error that goes with `low`.
    curve : tuple of (int, float)
        Rows to be neighbours, and the error with so many.
    """

    embedding: str
    k: int
    error: float
    low: float
    high: float
    bound: float
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasibility:
    """Whether a label can be predicted as well as is wanted, before anybody trains a model.

    Attributes
    ----------
    verdict : FeasibilityVerdict
        ``realistic``: neighbours reach the target already. ``infeasible``: no model can reach it, from these features.
        ``inconclusive``: these rows do not say.
    target_error : float
    low, high : float
        Between these the Bayes error lies, at the confidence that was asked for: the least bound of the arms, and the
        least error that an arm is sure to have.
    rows, held_out, classes : int
        Rows to be neighbours, rows that were asked about, and different labels.
    majority_error : float
        The error of always saying the most frequent label.
    arms : tuple of Arm
        The one with the least error first.
    limit : float
        What the best arm's error would come to with rows without end, by its curve.
    more_rows : int or None
        About how many more rows with labels would settle the question; None where rows would not.
    tree_low, tree_high : float
        Bounds by the spanning tree of a sample (generalised Henze-Penrose divergence).
    density : float
        The plug-in estimate of kernel densities.
    dimension : float
        How many dimensions the rows fill in the best embedding.
    noise : tuple of (float, float, float)
        A share of labels replaced at random, the error then, and what it should be.
    seed : int
    reason : str
        Why the verdict is what it is.
    """

    verdict: FeasibilityVerdict
    target_error: float
    low: float
    high: float
    rows: int
    held_out: int
    classes: int
    majority_error: float
    arms: tuple[Arm, ...]
    limit: float
    more_rows: int | None
    tree_low: float
    tree_high: float
    density: float
    dimension: float
    noise: tuple[tuple[float, float, float], ...]
    seed: int
    reason: str

    @property
    def best(self) -> Arm:
        """The arm with the least error."""
        return self.arms[0]

    def __str__(self) -> str:
        best = self.best
        lines = [
            f"{self.verdict.upper()}: {self.reason}",
            *([] if self.more_rows is None else [f"  collect about {self.more_rows:,} more rows with labels"]),
            f"  target error {self.target_error:.3f}; the least possible lies in {self.low:.3f} to {self.high:.3f}",
            f"  best: {best.k} neighbours, {best.embedding}: {best.error:.3f} [{best.low:.3f}, {best.high:.3f}] of "
            f"{self.held_out:,} rows; with rows without end about {self.limit:.3f}",
            f"  always the most frequent label: {self.majority_error:.3f}; spanning tree {self.tree_low:.3f} to "
            f"{self.tree_high:.3f}; densities {self.density:.3f}; about {self.dimension:.0f} dimensions",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        arms = [{each.name: getattr(arm, each.name) for each in fields(arm)} for arm in self.arms]
        curves = [{**arm, "curve": [list(point) for point in arm["curve"]]} for arm in arms]
        return plain | {"verdict": str(self.verdict), "arms": curves, "noise": [list(each) for each in self.noise]}

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>{draw_curve(self)}"


_WIDTH, _HEIGHT, _EDGE = 520.0, 200.0, 40.0


def draw_curve(found: Feasibility) -> str:
    """Draw the error over the number of rows, the target, and the band where the Bayes error lies, as SVG."""
    most = max(found.rows, 2)
    top = max(0.05, found.majority_error, *(error for arm in found.arms for _, error in arm.curve)) * 1.1

    def x(rows: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * rows / most

    def y(error: float) -> float:
        return _HEIGHT - _EDGE + (2 * _EDGE - _HEIGHT) * min(error, top) / top

    def line(points: Sequence[tuple[float, float]], style: str) -> str:
        path = " ".join(f"{x(rows):.1f},{y(error):.1f}" for rows, error in points)
        return f'<polyline points="{path}" fill="none" {style}/>'

    best, others = found.best, found.arms[1:]
    marks = [
        f'<rect x="{x(0):.1f}" y="{y(found.high):.1f}" width="{x(most) - x(0):.1f}" '
        f'height="{max(1.0, y(found.low) - y(found.high)):.1f}" fill="#4878a8" fill-opacity="0.18"/>',
        *(line(arm.curve, 'stroke="currentColor" stroke-opacity="0.25"') for arm in others),
        line(best.curve, 'stroke="#4878a8" stroke-width="2"'),
        line([(0, found.target_error), (most, found.target_error)], 'stroke="#c04040" stroke-dasharray="5 4"'),
        f'<text x="{x(most):.1f}" y="{y(found.target_error) - 4:.1f}" text-anchor="end">target</text>',
        f'<text x="{x(0):.1f}" y="{_HEIGHT - 12:.1f}">0</text>',
        f'<text x="{x(most):.1f}" y="{_HEIGHT - 12:.1f}" text-anchor="end">{found.rows:,} rows</text>',
        f'<text x="4" y="{y(top) + 10:.1f}">{top:.2f}</text><text x="4" y="{y(0):.1f}">0</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" font-size="11" '
        f'fill="currentColor" style="max-width:{_WIDTH:g}px"><title>Error over rows</title>{"".join(marks)}</svg>'
    )
