"""A split suggested from the data: the arguments, the reasons with figures, what else could be done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Protocol

from foldstore.errors import UsageError
from foldstore.split_evidence import EntityEvidence, LabelEvidence, SplitEvidence, TimeEvidence
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.power import interval_half_width, smallest_difference
from foldstore.views.instant import UNITS, format_instant

_FEWEST_TIMES: Final = 20
_FEW_ROWS: Final = 2_000
_VERY_FEW_ROWS: Final = 200
_TEST_ROWS: Final = 10_000
_RARE_ROWS: Final = 30
_LARGEST: Final = 0.1
_REPEATED: Final = 0.001
_MANY_FEATURES: Final = 12
_DISAGREEMENT: Final = 0.1


class Sharing(Protocol):
    """The version that a suggestion is made for."""

    @property
    def address(self) -> str:
        """Its address."""

    def split(self, name: str, **how: Any) -> Any:
        """Make a split."""

    def folds(self, name: str, k: int | None = None, **how: Any) -> Any:
        """Make folds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A way to share rows out.

    Attributes
    ----------
    verb : str
        ``split`` or ``folds``.
    arguments : mapping
        What to call it with, but for the name.
    reason : str
        When it is the right one.
    """

    version: Sharing
    verb: str
    arguments: Mapping[str, Any]
    reason: str

    def __repr__(self) -> str:
        return f"<Proposal {self.code()}>"

    def code(self, name: str = "name") -> str:
        """Return the call as it would be typed."""
        given = [repr(name), *(f"{role}={value!r}" for role, value in self.arguments.items())]
        return f"version.{self.verb}({', '.join(given)})"

    def make(self, name: str) -> Any:
        """Make the split, or the folds, for good.

        Parameters
        ----------
        name : str
            The name; it belongs to the dataset.

        Returns
        -------
        Split or Folds
        """
        return getattr(self.version, self.verb)(name, **self.arguments)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"verb": self.verb, "arguments": dict(self.arguments), "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SplitSuggestion(Proposal):
    """What the data suggests.

    Attributes
    ----------
    reasons : tuple of str
        Why, with figures.
    warnings : tuple of str
        What to look out for when it is made.
    alternatives : tuple of Proposal
        What else could be done, and when; each can be made, too.
    """

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    alternatives: tuple[Proposal, ...]

    def __repr__(self) -> str:
        return f"<SplitSuggestion {self.code()}>"

    def __str__(self) -> str:
        lines = [f"{self.version.address}: {self.code()}"]
        for title, items in self._sections():
            lines += [title, *(f"  {item}" for item in items)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = []
        for title, items in self._sections():
            shown = "".join(f"<li>{escape(item)}</li>" for item in items)
            parts.append(f"<dt><b>{escape(title)}</b></dt><dd><ul>{shown}</ul></dd>")
        return f"<div><code>{escape(self.code())}</code><dl>{''.join(parts)}</dl></div>"

    def _sections(self) -> Iterator[tuple[str, Sequence[str]]]:
        yield "Because", self.reasons
        if self.warnings:
            yield "Look out for", self.warnings
        if self.alternatives:
            yield "Or", [f"{each.code()}: {each.reason}" for each in self.alternatives]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "address": self.version.address,
            "verb": self.verb,
            "arguments": dict(self.arguments),
            "code": self.code(),
            "reason": self.reason,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "alternatives": [each.to_dict() for each in self.alternatives],
        }


def suggest_split(version: Sharing, evidence: SplitEvidence) -> SplitSuggestion:
    """Suggest a split: by time where rows have an event time, by entity where some repeat, by row else.

    Raises
    ------
    UsageError
        When there are too few rows to share out.
    """
    if evidence.rows < 10:
        raise UsageError(
            f"{version.address} has {evidence.rows} rows: nothing can be said of how to split it.",
            hint="Append more rows first.",
        )
    if not (evidence.key or evidence.has_key):
        raise UsageError(
            f"{version.address} has no column that tells rows apart: lists and the like cannot.",
            hint="Add a column with a number for each row, and make it the dataset's key.",
        )
    by_time = None if evidence.time is None else _by_time(version, evidence, evidence.time)
    by_row = _by_row(version, evidence)
    first = by_time if by_time is not None and evidence.has_event_time else by_row
    others = [each for each in (by_time, by_row) if each is not None and each is not first]
    few = [_as_folds(version, evidence, first)] if first.verb == "split" else []
    return SplitSuggestion(
        version=version,
        verb=first.verb,
        arguments=first.arguments,
        reason=first.reason,
        reasons=(first.reason, *_reasons(evidence, first)),
        warnings=tuple(_warnings(evidence, first)),
        alternatives=(*others, *few),
    )


def _by_time(version: Sharing, evidence: SplitEvidence, time: TimeEvidence) -> Proposal | None:
    boundaries = _boundaries(time)
    if len(set(boundaries)) < 2 or time.values < _FEWEST_TIMES:
        return None
    if evidence.rows < _FEW_ROWS:
        arguments: dict[str, Any] = {"k": 5, "by_time": time.name, "past_only": True}
        reason = f"a model is asked about rows later than those it learned from, and {evidence.rows:,} rows are few"
        return Proposal(version=version, verb="folds", arguments=arguments, reason=reason)
    named = "is the event time" if evidence.has_event_time else "could be the event time"
    return Proposal(
        version=version,
        verb="split",
        arguments={"by_time": time.name, "boundaries": boundaries},
        reason=f"{time.name} {named}: a model that is used later is best judged on later rows",
    )


def _by_row(version: Sharing, evidence: SplitEvidence) -> Proposal:
    entity = _deciding(evidence)
    how: dict[str, Any] = {}
    if entity is not None:
        how["group_by"] = [entity.name]
    if evidence.label is not None and evidence.label.is_class and len(evidence.label.classes) > 1:
        how["stratify"] = evidence.label.name
    if entity is None and evidence.features and (evidence.repeated > _REPEATED or evidence.key == evidence.features):
        how["duplicates"] = list(evidence.features)
    elif evidence.key:
        how["key"] = list(evidence.key)
    reason = "rows do not hang together, as far as the data says: each may go anywhere"
    if entity is not None:
        reason = f"rows of one {entity.name} are alike: a model that is used on new ones must be judged on new ones"
    elif evidence.repeated > _REPEATED and "duplicates" in how:
        reason = f"{evidence.repeated:.1%} of the rows agree with another in all features: they stay together"
    if evidence.rows < _FEW_ROWS:
        k = 10 if evidence.rows < _VERY_FEW_ROWS else 5
        return Proposal(version=version, verb="folds", arguments={"k": k, **how}, reason=reason)
    train, validation, test = _shares(evidence)
    shares = {"train": train, "validation": validation, "test": test}
    return Proposal(version=version, verb="split", arguments={**shares, **how}, reason=reason)


def _as_folds(version: Sharing, evidence: SplitEvidence, first: Proposal) -> Proposal:
    kept = {role: value for role, value in first.arguments.items() if role not in ("train", "validation", "test")}
    if "by_time" in kept:
        arguments = {"k": 5, "by_time": kept["by_time"], "past_only": True}
        reason = "to choose between models on several periods: each fold is judged by what lies before it"
    else:
        arguments = {"k": 5, **kept}
        reason = f"to use all {evidence.rows:,} rows for judging, at five times the cost"
    return Proposal(version=version, verb="folds", arguments=arguments, reason=reason)


def _deciding(evidence: SplitEvidence) -> EntityEvidence | None:
    """Return the entity that rows hang together by: the one that the label depends on most, if it does."""
    known = [
        each
        for each in evidence.entities
        if (each.dispersion is None or each.decides) and each.largest_rows <= _LARGEST * evidence.rows
    ]
    return max(known, key=lambda each: (each.correlation or 0.0, -each.values), default=None)


def _shares(evidence: SplitEvidence) -> tuple[float, float, float]:
    """Choose the least of the usual shares whose test part has 10,000 rows."""
    for test in (0.05, 0.1):
        if test * evidence.rows >= _TEST_ROWS:
            return round(1 - 2 * test, 2), test, test
    return 0.7, 0.15, 0.15


def _boundaries(time: TimeEvidence) -> list[str]:
    """Round the instants before which 70 % and 85 % of the rows lie to days, hours or minutes, by their range."""
    span = time.last - time.first
    unit = next((UNITS[name] for name in ("d", "h", "m", "s") if span >= 20 * UNITS[name]), 1)
    instants = [format_instant((each + unit // 2) // unit * unit) for each in time.quantiles]
    return [each.removesuffix("T00:00:00Z") for each in instants]


def _reasons(evidence: SplitEvidence, first: Proposal) -> Iterator[str]:
    time, label = evidence.time, evidence.label
    if time is not None:
        yield f"{time.name} runs from {format_instant(time.first)} to {format_instant(time.last)}"
        yield from _say_change(time, label)
    for entity in evidence.entities:
        yield _say_entity(entity, label)
    if label is not None and label.is_class and len(label.classes) > 1:
        rare = min(label.classes.items(), key=lambda item: item[1])
        yield f"{label.name}: {len(label.classes)} classes; {rare[0]} has {rare[1]:,} of {label.rows:,} rows"
    yield f"{evidence.repeated:.2%} of the rows agree with another in all columns but the key and the label"
    yield from _say_power(evidence, first)


def _say_change(time: TimeEvidence, label: LabelEvidence | None) -> Iterator[str]:
    if label is None or not time.rates or time.change is None:
        return
    change, low, high = time.change, min(time.rates), max(time.rates)
    flagged = change.verdict in (DriftVerdict.WARN, DriftVerdict.ERROR)
    told = "it changes" if flagged else "it does not change by more than chance and 0.1"
    yield (
        f"the share of {label.name}={label.positive} lies between {low:.1%} and {high:.1%} over time; from the first "
        f"70 % to the last 15 % of rows {told} (effect {change.effect:.2f}, p {change.p_value:.1g})"
    )


def _say_entity(entity: EntityEvidence, label: LabelEvidence | None) -> str:
    said = f"{entity.name} has {entity.values:,} values, {entity.rows / max(1, entity.values):.1f} rows each"
    if entity.dispersion is None or label is None:
        return said
    depends = "more than chance would make it" if entity.decides else "about as chance would make it"
    figures = (
        f"chi-squared by its degrees of freedom {entity.dispersion:.2f}, correlation {entity.correlation or 0:.3f}"
    )
    return f"{said}; {label.name} differs between them {depends} ({figures})"


def _say_power(evidence: SplitEvidence, first: Proposal) -> Iterator[str]:
    rows = evidence.rows if evidence.label is None else evidence.label.rows
    if first.verb != "split":
        return
    share = first.arguments.get("test", 0.15)
    test = int(rows * share)
    width, difference = interval_half_width(test, 0.9), smallest_difference(test, _DISAGREEMENT)
    if width is not None:
        shown = "no difference" if difference is None else f"a difference of {difference:.2%}"
        yield (
            f"a test part of {test:,} rows tells an accuracy of 90 % to +- {width:.2%}, and of two models that "
            f"disagree on 10 % of rows {shown}"
        )


def _warnings(evidence: SplitEvidence, first: Proposal) -> Iterator[str]:
    label = evidence.label
    share = float(first.arguments.get("test", 1 / first.arguments.get("k", 1 / 0.15)))
    if "by_time" in first.arguments:
        yield "a label that is known only later: purge='...' leaves out rows before a boundary that reach over it"
        for entity in evidence.entities:
            yield f"{entity.name} may be in several parts: a model meets values in test that it has learned"
        if evidence.repeated > _REPEATED:
            yield f"repeated rows ({evidence.repeated:.2%}) may be in several parts; the report counts them"
    for entity in evidence.entities:
        if entity.largest_rows > share * evidence.rows and entity.name in first.arguments.get("group_by", ()):
            yield (
                f"{entity.name}={ascii(entity.largest)[:40]} has {entity.largest_rows / evidence.rows:.1%} of the "
                f"rows, more than a part's share of {share:.0%}"
            )
    if label is not None and label.is_class:
        rare = {name: rows for name, rows in label.classes.items() if rows * share < _RARE_ROWS}
        if rare:
            named = ", ".join(f"{name} ({rows:,})" for name, rows in sorted(rare.items(), key=lambda item: item[1])[:5])
            yield f"classes with less than {_RARE_ROWS} rows in a part: {named}"
    if len(first.arguments.get("duplicates", ())) > _MANY_FEATURES:
        yield "duplicates= names all features: leave out those that only tell rows apart"
