"""The reports that all forms are tried on."""

from tests.validation.reporting.hostile_reports import hostile, judged

__all__ = ["hostile", "judged"]
