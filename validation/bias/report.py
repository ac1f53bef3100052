"""The outcome of measuring bias: a facet after the other, what was left out, and what is large."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from foldstore.errors import UsageError, did_you_mean
from foldstore.validation.anomaly import percent
from foldstore.validation.bias.association import Association
from foldstore.validation.bias.counts import LeftOut
from foldstore.validation.bias.facet import FacetBias, plain_number, show
from foldstore.validation.bias.metrics import METRICS
from foldstore.validation.bias.options import BiasOptions

_SENTENCES: Final = 12
_BINARY: Final = 2
_WIDEST: Final = 28
_HEADS: Final = (
    "facet", "rows", "positive", "CI", "DPL", "interval", "KL", "JS", "LP", "TVD", "KS", "DD", "CDDL", "p",
)  # fmt: skip
_COUNTS: Final = ("rows", "rows_others", "positive", "positive_others")
_SCHEMA: Final = pa.schema(
    [
        pa.field("facet", pa.string(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        *(pa.field(name, pa.float64()) for name in METRICS),
        *(pa.field(name, pa.float64()) for name in ("ci_low", "ci_high", "dpl_low", "dpl_high")),
        pa.field("most_imbalanced", pa.string()),
        pa.field("p_value", pa.float64()),
        pa.field("p_adjusted", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("too_few", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Excess:
    """A metric of a facet that lies beyond a limit.

    Attributes
    ----------
    facet, metric : str
    value, limit : float
        The magnitude of the value is above the limit.
    too_few : bool
        Whether the facet has few rows.
    """

    facet: str
    metric: str
    value: float
    limit: float
    too_few: bool

    def __str__(self) -> str:
        few = " (few rows)" if self.too_few else ""
        return f"{self.facet}: {self.metric} {show(self.value)} is beyond {self.limit:g}{few}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {**asdict(self), "value": plain_number(self.value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReport:
    """How a label is shared out over a sensitive column.

    Attributes
    ----------
    subject : str
        What was measured.
    label, positive, sensitive : str
        The columns, and which labels are positive.
    conditional_on : tuple of str
        The columns of the strata of ``cddl``.
    facets : Mapping[str, FacetBias]
        By name, in the order of the values.
    association : Association
        Whether the label and the sensitive column are independent, all groups at once.
    label_values : tuple of str
    rows : int
        All rows.
    left_out : LeftOut
    unlabelled : tuple of str
        Groups of which no row has a label.
    no_condition : int
        Measured rows that have no value to condition on; they make strata of their own.
    options : BiasOptions
        With the edges that ranges were cut at.
    """

    subject: str
    label: str
    positive: str
    sensitive: str
    conditional_on: tuple[str, ...] = ()
    facets: Mapping[str, FacetBias]
    association: Association
    label_values: tuple[str, ...]
    rows: int
    left_out: LeftOut
    unlabelled: tuple[str, ...] = ()
    no_condition: int = 0
    options: BiasOptions

    def __post_init__(self) -> None:
        object.__setattr__(self, "facets", MappingProxyType(dict(self.facets)))

    @property
    def measured(self) -> int:
        """How many rows have a label and a sensitive value."""
        return self.rows - self.left_out.rows

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float | None]]:
        """The metrics of each facet: ``report.metrics["F"]["dpl"]``."""
        return MappingProxyType({name: facet.metrics for name, facet in self.facets.items()})

    def above(self, limits: Mapping[str, float]) -> tuple[Excess, ...]:
        """Return what lies beyond limits: the metrics of any facet whose magnitude is greater.

        Facets with few rows count like others; the result says so of each.

        Parameters
        ----------
        limits : mapping of str to float
            By metric, such as ``{"dpl": 0.1, "ci": 0.8}``.

        Raises
        ------
        UsageError
            When there is no such metric, a limit is no number from 0, or ``cddl`` was not measured.
        """
        for key, limit in limits.items():
            _check_limit(key, limit, conditioned=bool(self.conditional_on))
        return tuple(
            Excess(facet.name, key, value, limit, facet.too_few)
            for facet in self.facets.values()
            for key, limit in limits.items()
            if (value := facet.metrics[key]) is not None and abs(value) > limit
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the whole before it is read, in words."""
        return tuple(_notes(self))

    def __repr__(self) -> str:
        return f"BiasReport({self.label} by {self.sensitive}: {len(self.facets)} facets, {self.measured:,} rows)"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """Return the report for people, in plain text."""
        lines = [self._title(), *(f"  {note}" for note in self.notes), "", *_aligned(_HEADS, self._cells())]
        if spoken := self._spoken():
            lines += ["", *(f"  {words}" for words in spoken)]
        return "\n".join(lines)

    def _title(self) -> str:
        within = f", conditional on {', '.join(self.conditional_on)}" if self.conditional_on else ""
        return f"{self.subject}: {self.label} ({self.positive} is positive) by {self.sensitive}{within}"

    def _spoken(self) -> list[str]:
        """Return what is said of the facets at the first look; that one is small comes after all else."""
        facets = self.facets.values()
        said = [words for facet in facets for words in _headlines(facet)]
        said += [facet.words["ci"] for facet in facets if "ci" in facet.words]
        more = len(said) - _SENTENCES
        return [*said[:_SENTENCES], f"… and {more} more."] if more > 0 else said

    def _cells(self) -> list[list[str]]:
        return [
            [
                _cut(facet.name) + (" *" if facet.too_few else ""),
                f"{facet.rows:,}",
                percent(facet.positive / facet.rows),
                show(facet.metrics["ci"]),
                show(facet.metrics["dpl"]),
                "[{}, {}]".format(*map(show, facet.dpl_interval)),
                *(show(facet.metrics[key]) for key in ("kl", "js", "lp", "tvd", "ks", "dd", "cddl")),
                _p(facet.p_adjusted),
            ]
            for facet in self.facets.values()
        ]

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(head)}</th>" for head in _HEADS)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self._cells())
        said = "".join(f"<li>{html.escape(words)}</li>" for words in (*self.notes, *self._spoken()))
        return f"<table><caption>{html.escape(self._title())}</caption><tr>{heads}</tr>{rows}</table><ul>{said}</ul>"

    def to_table(self) -> pa.Table:
        """Return a row for each facet, with all its metrics and intervals."""
        return pa.Table.from_pylist([_row(facet) for facet in self.facets.values()], schema=_SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {each: getattr(self, each) for each in self.__slots__}
        plain |= {key: list(plain[key]) for key in ("conditional_on", "label_values", "unlabelled")}
        plain["facets"] = {name: facet.to_dict() for name, facet in self.facets.items()}
        plain |= {"association": self.association.to_dict(), "left_out": asdict(self.left_out)}
        options = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.options).items()
        }
        plain["options"] = {**options, "p": plain_number(self.options.p)}
        return plain | {"measured": self.measured, "notes": list(self.notes)}


def _row(facet: FacetBias) -> dict[str, Any]:
    return {
        "facet": facet.name,
        **{name: getattr(facet, name) for name in (*_COUNTS, "most_imbalanced", "p_adjusted", "too_few")},
        **facet.metrics,
        **dict(zip(("ci_low", "ci_high"), facet.ci_interval, strict=True)),
        **dict(zip(("dpl_low", "dpl_high"), facet.dpl_interval, strict=True)),
        "p_value": facet.association.p_value,
        "method": facet.association.method,
    }


def _check_limit(key: str, limit: object, *, conditioned: bool) -> None:
    if key not in METRICS:
        raise UsageError(f"There is no measure {key!r}.", hint=did_you_mean(key, METRICS))
    if isinstance(limit, bool) or not isinstance(limit, int | float) or isnan(limit) or not 0 <= limit < inf:
        raise UsageError(f"{limit!r} is no limit for {key!r}.", hint="A limit is a number from 0.")
    if key == "cddl" and not conditioned:
        raise UsageError("cddl was not measured.", hint="Say what to condition on: conditional_on=['department'].")


def _notes(report: BiasReport) -> list[str]:
    out, tested = report.left_out, report.association
    nan = out.nan_label + out.nan_sensitive
    notes = [
        f"{report.measured:,} of {report.rows:,} rows measured; left out: {out.no_label:,} without a label, "
        f"{out.no_sensitive:,} without a value of {report.sensitive}"
        + (f" ({nan:,} of these are NaN)." if nan else ".")
    ]
    if out.no_label * 2 > report.rows:
        notes.append(
            f"Most rows have no label ({percent(out.no_label / report.rows)}): what is measured is the rest. "
            "Labels that a test pool has sealed read as null."
        )
    if report.unlabelled:
        notes.append(f"No row has a label in: {_list(report.unlabelled)}.")
    if len(report.label_values) == 1:
        notes.append(f"Every measured row has the label {report.label_values[0]!r}: there is nothing to differ.")
    elif not any(facet.positive_others or facet.positive for facet in report.facets.values()):
        notes.append("No measured row has a positive label.")
    elif all(facet.positive + facet.positive_others == report.measured for facet in report.facets.values()):
        notes.append("Every measured row has a positive label.")
    if report.no_condition:
        notes.append(f"{report.no_condition:,} rows have no value to condition on; they make strata of their own.")
    if few := [name for name, facet in report.facets.items() if facet.too_few]:
        notes.append(f"* fewer than {report.options.min_rows} rows on one side: {_list(few)}.")
    if tested.method != "none":
        verdict = "are associated" if tested.p_value < 1 - report.options.confidence else "may be independent"
        method = {"chi2": "chi-squared", "fisher": "Fisher's exact test"}.get(tested.method, tested.method)
        p = _p(tested.p_value)
        notes.append(f"{report.label} and {report.sensitive} {verdict}: p {p if p[0] == '<' else f'= {p}'} ({method}).")
    return notes


def _headlines(facet: FacetBias) -> list[str]:
    """Return what is said of a facet at the first look: of measures that say the same, one speaks for all."""
    words = facet.words
    keys = [key for key in ("dpl", "dd", "cddl") if key in words]
    if "dpl" not in words or len(facet.labels) > _BINARY:
        keys += [key for key in ("ks", "tvd", "lp", "js", "kl") if key in words][:1]
    return [words[key] for key in keys]


def _list(names: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table in columns: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]


def _cut(name: str) -> str:
    name = name.replace("\n", "\\n")
    return name if len(name) <= _WIDEST else name[: _WIDEST - 1] + "…"


def _p(value: float) -> str:
    return "< 1e-9" if value < 1e-9 else f"{value:.2g}"
