"""Plots as SVG: two distributions over each other, bands of quantiles and shares of nulls over versions.

Each has a title and a description for those who do not see it; what a reference says is an outline, what is judged is
filled.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from foldstore.validation.anomaly import percent
from foldstore.validation.distribution import Distribution
from foldstore.validation.reporting.markup import Markup, element
from foldstore.validation.reporting.wording import one_line

Quantiles: TypeAlias = tuple[float, float, float, float, float]

_WIDTH: Final = 680
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 672, 26, 176
_ROW: Final = 22
_LABELS: Final = 250
_TICKS: Final = 5
_CUT: Final = 34
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:")


def distribution_plot(ident: str, title: str, distribution: Distribution) -> Markup:
    """Draw the shares of the cells, before as an outline, after as bars."""
    draw = _columns if distribution.ordered else _bars
    height, marks = draw(distribution.labels, distribution.shares)
    return _svg(ident, title, _describe(distribution), height, [*_legend(), *marks])


def share_plot(ident: str, title: str, label: str, before: float, after: float) -> Markup:
    """Draw one share, before as an outline, after as a bar, on a scale up to 100 %."""
    height, marks = _bars([label], [(before, after)], top=1.0)
    described = f"{label}: {percent(before)} in the reference, {percent(after)} in what is judged."
    return _svg(ident, title, described, height, marks)


def band_plot(
    ident: str, title: str, labels: Sequence[str], points: Sequence[Quantiles | None], ends: tuple[str, str]
) -> Markup:
    """Draw the median and bands of 50 and 90 % of the values over versions; where there is no value is a gap.

    Parameters
    ----------
    ident, title : str
    labels : sequence of str
        The versions, oldest first.
    points : sequence
        The quantiles 5, 25, 50, 75 and 95 % of each.
    ends : pair of str
        What the least and the greatest of them are called.
    """
    known = [point for point in points if point is not None]
    place = _Scale(min(point[0] for point in known), max(point[4] for point in known))
    xs = _spread(len(points))
    marks = _frame(*_brief(ends))
    for start, stop in _runs(points):
        run = [(xs[at], point) for at in range(start, stop) if (point := points[at]) is not None]
        marks += [_band(run, place, 0, 4, "outer"), _band(run, place, 1, 3, "inner")]
        line = " ".join(f"{'M' if at == 0 else 'L'}{x:.1f} {place(point[2]):.1f}" for at, (x, point) in enumerate(run))
        marks += [element("path", d=line, class_="old")]
        marks += [element("circle", cx=x, cy=place(point[2]), r=3, class_="dot") for x, point in run]
    marks += _version_ticks(labels, xs)
    words = "median (line with dots), half of the values (dark band), nine tenths (light band)"
    described = f"Over {len(points)} versions, from {ends[0]} to {ends[1]}: {words}."
    return _svg(ident, title, described, _BOTTOM + 24, [element("text", words, x=_LEFT, y=14), *marks])


def null_plot(ident: str, title: str, labels: Sequence[str], shares: Sequence[float | None]) -> Markup:
    """Draw the share of nulls over versions, on a scale up to the greatest."""
    most = max((share for share in shares if share is not None), default=0.0)
    top = most or 1.0
    xs, floor, height = _spread(len(shares)), 70.0, 50.0
    wide = min(24.0, (_RIGHT - _LEFT) / max(1, len(shares)) * 0.7)
    marks = [
        element("text", percent(top), x=_LEFT - 6, y=floor - height + 4, class_="tick", text_anchor="end"),
        element("text", "0", x=_LEFT - 6, y=floor + 2, class_="tick", text_anchor="end"),
        element("line", x1=_LEFT, x2=_RIGHT, y1=floor, y2=floor, class_="axis"),
    ]
    for x, share in zip(xs, shares, strict=True):
        if share is None:
            marks.append(element("text", "none", x=x, y=floor - 3, class_="tick", text_anchor="middle"))
        elif share:
            tall = max(1.0, share / top * height)
            marks.append(element("rect", x=x - wide / 2, y=floor - tall, width=wide, height=tall, class_="new"))
    described = f"Share of nulls in {len(shares)} versions, at most {percent(most)}."
    return _svg(ident, title, described, 94, [*marks, *_version_ticks(labels, xs, floor + 16)])


def _svg(ident: str, title: str, described: str, height: float, marks: Sequence[Markup]) -> Markup:
    about = (element("title", title, id=f"{ident}-title"), element("desc", described, id=f"{ident}-words"))
    return element(
        "svg",
        *about,
        *marks,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_labelledby=f"{ident}-title {ident}-words",
        width=_WIDTH,
        height=height,
        viewBox=f"0 0 {_WIDTH} {height:g}",
    )


def _legend() -> list[Markup]:
    return [
        element("rect", x=_LEFT, y=4, width=16, height=11, class_="old"),
        element("text", "reference (outline)", x=_LEFT + 22, y=14),
        element("rect", x=_LEFT + 160, y=4, width=16, height=11, class_="new"),
        element("text", "judged (filled)", x=_LEFT + 182, y=14),
    ]


def _describe(distribution: Distribution) -> str:
    moved = sorted(
        zip(distribution.labels, distribution.shares, strict=True), key=lambda each: -abs(each[1][0] - each[1][1])
    )
    told = (f"{one_line(label, 60)}: {percent(p)} before, {percent(q)} after" for label, (p, q) in moved[:3])
    return f"{len(moved)} cells. The largest changes: {'; '.join(told)}."


def _columns(labels: Sequence[str], shares: Sequence[tuple[float, float]]) -> tuple[float, list[Markup]]:
    """Draw cells that follow each other side by side; each is as wide as the others, whatever it spans."""
    top = max((max(pair) for pair in shares), default=0.0) or 1.0
    wide = (_RIGHT - _LEFT) / len(shares)
    marks, outline = _frame("0 %", percent(top)), [f"M{_LEFT} {_BOTTOM}"]
    for at, (p, q) in enumerate(shares):
        x, tall = _LEFT + at * wide, q / top * (_BOTTOM - _TOP)
        if q:
            marks.append(
                element("rect", x=x + wide * 0.1, y=_BOTTOM - tall, width=wide * 0.8, height=tall, class_="new")
            )
        y = _BOTTOM - p / top * (_BOTTOM - _TOP)
        outline += [f"L{x:.1f} {y:.1f}", f"L{x + wide:.1f} {y:.1f}"]
    marks.append(element("path", d=" ".join([*outline, f"L{_RIGHT} {_BOTTOM}"]), class_="old"))
    for at in _ticks(len(labels)):
        text = one_line(labels[at], 26)
        marks.append(
            element("text", text, x=_LEFT + (at + 0.5) * wide, y=_BOTTOM + 16, class_="tick", text_anchor="middle")
        )
    return _BOTTOM + 24, marks


def _bars(
    labels: Sequence[str], shares: Sequence[tuple[float, float]], top: float | None = None
) -> tuple[float, list[Markup]]:
    """Draw categories below each other, with their names and shares in words."""
    most = top or max((max(pair) for pair in shares), default=0.0) or 1.0
    room, marks = _WIDTH - _LABELS - 150, []
    for at, (label, (p, q)) in enumerate(zip(labels, shares, strict=True)):
        y = _TOP + at * _ROW
        marks += [
            element("text", one_line(label, _CUT), x=_LABELS - 8, y=y + 14, text_anchor="end"),
            element("rect", x=_LABELS, y=y + 5, width=q / most * room, height=10, class_="new"),
            element("rect", x=_LABELS, y=y + 2, width=p / most * room, height=16, class_="old"),
            element("text", f"{percent(p)} → {percent(q)}", x=_LABELS + room + 8, y=y + 14, class_="tick"),
        ]
    return _TOP + len(labels) * _ROW + 6, marks


def _frame(low: str, high: str) -> list[Markup]:
    return [
        element("path", d=f"M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}", class_="axis"),
        element("text", one_line(high, 12), x=_LEFT - 6, y=_TOP + 6, class_="tick", text_anchor="end"),
        element("text", one_line(low, 12), x=_LEFT - 6, y=_BOTTOM, class_="tick", text_anchor="end"),
    ]


def _brief(ends: tuple[str, str]) -> tuple[str, str]:
    """Return two times as days where these differ, else as times of the day; other texts as they are."""
    if not all(_TIME.match(end) for end in ends):
        return ends
    return (ends[0][:10], ends[1][:10]) if ends[0][:10] != ends[1][:10] else (ends[0][11:19], ends[1][11:19])


def _ticks(count: int) -> list[int]:
    """Return which of so many places get a label: the first, the last, and a few between."""
    if count <= _TICKS:
        return list(range(count))
    return [round(each * (count - 1) / (_TICKS - 1)) for each in range(_TICKS)]


def _version_ticks(labels: Sequence[str], xs: Sequence[float], y: float = _BOTTOM + 16.0) -> list[Markup]:
    return [
        element("text", one_line(labels[at], 20), x=xs[at], y=y, class_="tick", text_anchor="middle")
        for at in _ticks(len(labels))
    ]


def _spread(count: int) -> list[float]:
    slot = (_RIGHT - _LEFT) / max(1, count)
    return [_LEFT + (at + 0.5) * slot for at in range(count)]


class _Scale:
    """Places numbers on the height of the plot; a span beyond a double's is no trouble."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._span = low / 4, high / 4 - low / 4

    def __call__(self, value: float) -> float:
        share = (value / 4 - self._low) / self._span if self._span > 0 else 0.5
        share = share if math.isfinite(share) else 0.5
        return _BOTTOM - share * (_BOTTOM - _TOP)


def _runs(points: Sequence[Quantiles | None]) -> list[tuple[int, int]]:
    """Return the stretches without a gap."""
    known = [point is not None for point in points]
    edges = [at for at, (a, b) in enumerate(pairwise([False, *known, False])) if a != b]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _band(run: Sequence[tuple[float, Quantiles]], place: _Scale, low: int, high: int, name: str) -> Markup:
    """Draw what lies between two quantiles; a single version gets a bar."""
    if len(run) == 1:
        x, point = run[0]
        run = [(x - 6, point), (x + 6, point)]
    upper = [f"{x:.1f},{place(point[high]):.1f}" for x, point in run]
    lower = [f"{x:.1f},{place(point[low]):.1f}" for x, point in reversed(run)]
    return element("polygon", points=" ".join([*upper, *lower]), class_=name)
