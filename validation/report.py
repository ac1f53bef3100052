"""The outcome of a validation, as data: what was judged, by which schema, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from foldstore.datastore.statistics.profile import Profile
from foldstore.errors import ValidationFailedError
from foldstore.types import Severity
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.reporting.file import save
from foldstore.validation.reporting.github import report_github
from foldstore.validation.reporting.json_lines import report_json_lines
from foldstore.validation.reporting.junit import report_junit
from foldstore.validation.reporting.report_page import report_fragment, report_page
from foldstore.validation.reporting.sarif import report_sarif
from foldstore.validation.reporting.text import outcome, report_text
from foldstore.validation.reporting.wording import SEVERITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a validation.

    Attributes
    ----------
    subject : str
        The address that was judged.
    rows : int
    schema_id, schema_version : str
    profile : Profile or str
        That of the rows, or its id. That of a table which was judged before it is committed holds the table, and what
        nobody asked for is not in it yet.
    anomalies : tuple of Anomaly
        The gravest first.
    drift : DriftResult
    created_at : str or None
        An instant as text, when the caller gave one.
    environment : str or None
        Where the rows were said to be from, such as ``serving``.
    columns : tuple of str
        The columns that were looked at: those of the schema, then others that were found.
    """

    subject: str
    rows: int
    schema_id: str
    schema_version: str
    profile: Profile | str = field(repr=False, compare=False)
    anomalies: tuple[Anomaly, ...] = ()
    drift: DriftResult = DriftResult({})  # noqa: RUF009  (immutable)
    created_at: str | None = None
    environment: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def profile_id(self) -> str:
        """The id of the rows' profile; where only a part of that was made, the rest is."""
        return self.profile if isinstance(self.profile, str) else self.profile.id

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
        return f"Report({self.subject}: {outcome(self)})"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """Return the report for people, in plain text."""
        return report_text(self)

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page that needs nothing else: plots, evidence, examples and proposed fixes, the worst first.

        Parameters
        ----------
        file : str or path, optional
            Where to write it, too.

        Raises
        ------
        ExportError
            When the file cannot be written.

        Examples
        --------
        >>> report = Report(subject="t", rows=3, schema_id="5c", schema_version="1.0.0", profile="9a")
        >>> report.to_html().startswith("<!DOCTYPE html>")
        True
        """
        return save(report_page(self), file)

    def to_json_lines(self, file: str | PathLike[str] | None = None) -> str:
        """Return a line of JSON for the report, each anomaly, and each column that was compared.

        Examples
        --------
        >>> report = Report(subject="t", rows=3, schema_id="5c", schema_version="1.0.0", profile="9a")
        >>> report.to_json_lines()[:33]
        '{"kind": "report", "subject": "t"'
        """
        return save(report_json_lines(self), file)

    def to_junit(self, file: str | PathLike[str] | None = None) -> str:
        """Return JUnit XML: a test case for each column and check, failures for errors.

        Examples
        --------
        >>> report = Report(subject="t", rows=3, schema_id="5c", schema_version="1.0.0", profile="9a")
        >>> report.to_junit().splitlines()[1]
        '<testsuites name="foldstore validate" tests="1" failures="0" errors="0" time="0">'
        """
        return save(report_junit(self), file)

    def to_sarif(self, file: str | PathLike[str] | None = None, *, source: str | None = None) -> str:
        """Return SARIF 2.1.0, for code scanning.

        Parameters
        ----------
        file : str or path, optional
            Where to write it, too.
        source : str, optional
            The file that findings are shown beside: the data, or the schema. Code scanning of GitHub needs one.

        Examples
        --------
        >>> report = Report(subject="t", rows=3, schema_id="5c", schema_version="1.0.0", profile="9a")
        >>> '"version": "2.1.0"' in report.to_sarif()
        True
        """
        return save(report_sarif(self, source), file)

    def to_github(self, file: str | PathLike[str] | None = None, *, source: str | None = None) -> str:
        """Return annotations for GitHub Actions, to be printed by a step: errors, warnings, notices.

        Parameters
        ----------
        file : str or path, optional
            Where to write them, too.
        source : str, optional
            The file that they are shown beside.

        Examples
        --------
        >>> found = Anomaly(code="no_data", severity=Severity.ERROR, column=None, message="t has no rows")
        >>> report = Report(
        ...     subject="t", rows=0, schema_id="5c", schema_version="1.0.0", profile="9a", anomalies=(found,)
        ... )
        >>> print(report.to_github(), end="")
        ::error title=t (no_data)::t has no rows
        """
        return save(report_github(self, source), file)

    def fails_on(self, severity: Severity) -> bool:
        """Say whether there is an anomaly of this severity, or of a graver one.

        Examples
        --------
        >>> new = Anomaly(code="column_new", severity=Severity.WARN, column="x", message="new column")
        >>> report = Report(
        ...     subject="t", rows=3, schema_id="5c", schema_version="1.0.0", profile="9a", anomalies=(new,)
        ... )
        >>> report.passed, report.fails_on(Severity.WARN)
        (True, True)
        """
        grave = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return any(anomaly.severity in grave for anomaly in self.anomalies)

    def _repr_html_(self) -> str:
        return report_fragment(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("profile_id" if each == "profile" else each for each in self.__slots__)
        plain: dict[str, Any] = {each: getattr(self, each) for each in names}
        plain["columns"] = list(self.columns)
        plain["anomalies"] = [anomaly.to_dict() for anomaly in self.anomalies]
        return plain | {"drift": self.drift.to_dict(), "passed": self.passed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Report":
        """Read what `to_dict` gave."""
        made = {key: value for key, value in data.items() if key not in ("passed", "profile_id")}
        made["profile"] = data["profile_id"]
        made["columns"] = tuple(data.get("columns", ()))
        made["anomalies"] = tuple(Anomaly.from_dict(each) for each in data["anomalies"])
        return cls(**{**made, "drift": DriftResult.from_dict(data["drift"])})
