"""What a verification finds: faults, the versions that they reach, and files that nothing needs."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a thing is not as it was written."""

    MISSING = "missing"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    ZERO_FILLED = "zero-filled"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is not as it was written.

    Attributes
    ----------
    what : str
        What it is: object, page, deletion, version, arrow schema, document, journal, seal, dataset, catalog.
    name : str
        Which one: the object's id, the version's address.
    kind : Kind
        Missing, cut short, filled with zeros, other bytes, or at odds with the rest.
    columns : tuple of (str, int)
        The damaged columns of an object with their record batches, when they can be told.
    versions : tuple of str
        The addresses of the versions that do not read whole because of it.
    repaired : str or None
        What was done about it.
    """

    what: str
    name: str
    message: str
    kind: Kind = Kind.CORRUPT
    columns: tuple[tuple[str, int], ...] = ()
    versions: tuple[str, ...] = ()
    repaired: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fault as plain data."""
        return {
            "what": self.what,
            "name": self.name,
            "kind": str(self.kind),
            "message": self.message,
            "columns": [{"column": column, "batch": batch} for column, batch in self.columns],
            "versions": list(self.versions),
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreferenced:
    """Something that no version needs: it is reported, and never removed for being found.

    Attributes
    ----------
    what : str
        object, staging, commit, online, sealed, file.
    name : str
        Its path in the store's folder.
    num_rows : int or None
        The rows in an object.
    known : bool
        Whether the catalog knows it: the collector removes what it knows, people what it does not.
    """

    what: str
    name: str
    num_bytes: int
    num_rows: int | None = None
    known: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "what": self.what,
            "name": self.name,
            "bytes": self.num_bytes,
            "rows": self.num_rows,
            "known": self.known,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a verification found.

    Attributes
    ----------
    objects, versions, journals : int
        How many were checked.
    num_bytes : int
        How many bytes were read.
    faults : tuple of Fault
        What is not as it was written; empty when all is well.
    unreferenced : tuple of Unreferenced
        What no version needs; it does no harm.
    whole : tuple of str
        The addresses of the versions that read whole.
    repairs : tuple of str
        What was done, in words.
    """

    objects: int
    versions: int
    journals: int
    num_bytes: int
    faults: tuple[Fault, ...] = field(default=())
    unreferenced: tuple[Unreferenced, ...] = field(default=())
    whole: tuple[str, ...] = field(default=())
    repairs: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether everything is as it was written, or is again."""
        return all(fault.repaired for fault in self.faults)

    @property
    def damaged(self) -> tuple[str, ...]:
        """The addresses of the versions that do not read whole."""
        return tuple(sorted({address for fault in self.faults if not fault.repaired for address in fault.versions}))

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {
            "passed": self.passed,
            "objects": self.objects,
            "versions": self.versions,
            "journals": self.journals,
            "bytes": self.num_bytes,
            "faults": [fault.to_dict() for fault in self.faults],
            "damaged_versions": list(self.damaged),
            "whole_versions": list(self.whole),
            "unreferenced": [item.to_dict() for item in self.unreferenced],
            "repairs": list(self.repairs),
        }
