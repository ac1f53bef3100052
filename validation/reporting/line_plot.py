"""Lines over named places on a logarithmic scale, each with its own mark and dash: nothing hangs on colour alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foldstore.validation.reporting.markup import Markup, element
from foldstore.validation.reporting.wording import one_line

WIDTH: Final = 680
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 560, 34, 206
_DASHES: Final = (None, "7 4", "2 4")
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its name, and a positive value at each place, or None where there is none."""

    name: str
    values: Sequence[int | None]


def line_plot(ident: str, title: str, places: Sequence[str], lines: Sequence[Line], top: float = 0.0) -> Markup:
    """Draw at most three lines over places that follow each other, on a logarithmic scale.

    Parameters
    ----------
    ident, title : str
    places : sequence of str
        What stands below each place.
    lines : sequence of Line
        At least one of them has a value.
    top : float
        Where the drawing stands in one that holds several.
    """
    known = [value for line in lines for value in line.values if value]
    scale = _LogScale(min(known), max(known))
    wide = (_RIGHT - _LEFT) / len(places)
    xs = [_LEFT + (at + 0.5) * wide for at in range(len(places))]
    marks = [element("text", title, x=_LEFT, y=16), *_grid(scale)]
    ends: list[tuple[float, str]] = []
    for number, line in reversed(list(enumerate(lines))):
        points = [(x, scale(value)) if value else None for x, value in zip(xs, line.values, strict=True)]
        marks += _draw(number, points)
        shown = [point for point in points if point is not None]
        ends += [(shown[-1][1], line.name)] if shown else []
    marks += [element("text", name, x=_RIGHT + 6, y=y + 4) for y, name in _apart(ends)]
    marks += [
        element("text", one_line(place, 22), x=x, y=_BOTTOM + 18, class_="tick", text_anchor="middle")
        for x, place in zip(xs, places, strict=True)
    ]
    about = (
        element("title", title, id=f"{ident}-title"),
        element("desc", _describe(places, lines), id=f"{ident}-words"),
    )
    return element(
        "svg",
        *about,
        *marks,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_labelledby=f"{ident}-title {ident}-words",
        y=top or None,
        width=WIDTH,
        height=HEIGHT,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
    )


class _LogScale:
    """Places positive numbers between the two marks of the scale that enclose them."""

    def __init__(self, low: float, high: float) -> None:
        self.low = max(_mark(place) for place in _around(low) if _mark(place) <= low)
        self.high = min(_mark(place) for place in _around(high) if _mark(place) >= high)
        if self.low == self.high:
            self.high = self.low * 2

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    def marks(self) -> list[int]:
        """Return what is written beside the scale: 1, 2, 5, 10 and so on, or powers of ten where that is much."""
        first, last = _around(self.low)[0], _around(self.high)[-1]
        inside = [value for place in range(first, last + 1) if self.low <= (value := _mark(place)) <= self.high]
        return inside if len(inside) <= 8 else [each for each in inside if str(each).strip("0") == "1"]


def _mark(place: int) -> int:
    power, step = divmod(place, len(_STEPS))
    return int(_STEPS[step] * 10**power)


def _around(value: float) -> list[int]:
    near = len(_STEPS) * math.floor(math.log10(value))
    return list(range(max(0, near - 1), near + len(_STEPS) + 2))


def _grid(scale: _LogScale) -> list[Markup]:
    marks = []
    for value in scale.marks():
        y = scale(value)
        marks += [
            element("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="axis"),
            element("text", f"{value:,}", x=_LEFT - 6, y=y + 4, class_="tick", text_anchor="end"),
        ]
    return marks


def _draw(number: int, points: Sequence[tuple[float, float] | None]) -> list[Markup]:
    main = number == 0
    path, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        path.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    drawn = element("path", d=" ".join(path), class_="old" if main else "peer", stroke_dasharray=_DASHES[number])
    return [*([drawn] if path else []), *(_dot(number, *point) for point in points if point is not None)]


def _dot(number: int, x: float, y: float) -> Markup:
    if number == 0:
        return element("circle", cx=x, cy=y, r=4, class_="dot")
    if number == 1:
        return element("rect", x=x - 4, y=y - 4, width=8, height=8, class_="peer-dot")
    return element(
        "polygon", points=f"{x:.1f},{y - 5:.1f} {x - 5:.1f},{y + 4:.1f} {x + 5:.1f},{y + 4:.1f}", class_="peer-dot"
    )


def _apart(ends: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Move names that would lie over each other apart; lines that end alike share one."""
    together: dict[float, list[str]] = {}
    for y, name in sorted(ends):
        near = next((at for at in together if abs(at - y) < 1), y)
        together.setdefault(near, []).append(name)
    placed: list[tuple[float, str]] = []
    for y, names in together.items():
        placed.append((max(y, placed[-1][0] + 15) if placed else y, ", ".join(sorted(names))))
    return placed


def _describe(places: Sequence[str], lines: Sequence[Line]) -> str:
    told = []
    for line in lines:
        numbers = (
            f"{place}: {'none' if value is None else format(value, ',')}"
            for place, value in zip(places, line.values, strict=True)
        )
        told.append(f"{line.name}: {'; '.join(numbers)}.")
    return " ".join(told)
