"""The outcome of a validation, as data: what was judged, by which schema, and what was found."""

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldstore.errors import ValidationFailedError
from foldstore.types import Severity
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.drift.comparison import DriftResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a validation.

    Attributes
    ----------
    subject : str
        The address that was judged.
    rows : int
    schema_id, schema_version : str
    profile_id : str
    anomalies : tuple of Anomaly
        The gravest first.
    drift : DriftResult
    created_at : str or None
        An instant as text, when the caller gave one.
    """

    subject: str
    rows: int
    schema_id: str
    schema_version: str
    profile_id: str
    anomalies: tuple[Anomaly, ...] = ()
    drift: DriftResult = DriftResult({})  # noqa: RUF009  (immutable)
    created_at: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no anomaly is an error."""
        return not any(anomaly.severity is Severity.ERROR for anomaly in self.anomalies)

    def by_code(self) -> dict[str, tuple[Anomaly, ...]]:
        """Return the anomalies by code."""
        codes = dict.fromkeys(anomaly.code for anomaly in self.anomalies)
        return {code: tuple(each for each in self.anomalies if each.code == code) for code in codes}

    def raise_for_failures(self) -> None:
        """Raise when the report did not pass.

        Raises
        ------
        ValidationFailedError
        """
        if self.passed:
            return
        errors = [str(each) for each in self.anomalies if each.severity is Severity.ERROR]
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise ValidationFailedError(
            f"{self.subject} did not pass: {errors[0]}{more}.",
            hint="See report.anomalies; schema.accept(anomalies) makes a schema that allows what is right after all.",
            subject=self.subject,
            anomalies=errors,
        )

    def __repr__(self) -> str:
        return f"Report({self.subject}: {self._outcome()})"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """Return the report for people, in plain text."""
        lines = [f"{self.subject}: {self._outcome()}", f"  {self.rows} rows, schema {self.schema_version}"]
        for anomaly in self.anomalies:
            lines.append(f"  {anomaly.severity!s:5}  {anomaly.column or '(dataset)'}: {anomaly.message}")
            if anomaly.example_rows:
                shown = [f"{each['row']} ({each['value']})" for each in anomaly.example_rows[:3] if "row" in each]
                lines += [f"         rows {', '.join(shown)}"] if shown else []
        return "\n".join(lines)

    def _outcome(self) -> str:
        counts = Counter(anomaly.severity for anomaly in self.anomalies)
        found = [f"{counts[each]} {each}" for each in (Severity.ERROR, Severity.WARN, Severity.INFO) if counts[each]]
        return f"{'passed' if self.passed else 'failed'} ({', '.join(found) or 'no anomalies'})"

    def _repr_html_(self) -> str:
        cells = (
            (each.severity, each.column or "", each.code, each.message, "" if each.count is None else each.count)
            for each in self.anomalies
        )
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in cells)
        caption = html.escape(f"{self.subject}: {self._outcome()}")
        heads = "".join(f"<th>{head}</th>" for head in ("severity", "column", "code", "message", "rows"))
        return f"<table><caption>{caption}</caption><tr>{heads}</tr>{rows}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {each: getattr(self, each) for each in self.__slots__}
        plain["anomalies"] = [anomaly.to_dict() for anomaly in self.anomalies]
        return plain | {"drift": self.drift.to_dict(), "passed": self.passed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        """Read what `to_dict` gave."""
        made = {key: value for key, value in data.items() if key != "passed"}
        made["anomalies"] = tuple(Anomaly.from_dict(each) for each in data["anomalies"])
        return cls(**{**made, "drift": DriftResult.from_dict(data["drift"])})
