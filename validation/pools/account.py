"""What a pool's ledger says, read in one go: charges with their answers, promotions, draws, retirement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A question that was paid for.

    Attributes
    ----------
    digest : str
        What was submitted.
    passed : bool or None
        The answer; None while there is none.
    fresh : bool
        Whether it was charged just now, and not found.
    log_level : float or None
        ln of the level that was charged for the answer; None where the plan's is meant.
    model, actor, charged_at : str
        What the submitter called the model, who it was, and when.
    baseline : int
        Which baseline it is compared with: 0 for the one that was sealed, n for the n-th promoted one.
    draw : int or None
        The number of the draw whose rows were asked; None for all rows.
    kept : str or None
        Where the sealed area keeps the predictions, for the report.
    """

    digest: str
    passed: bool | None = None
    fresh: bool = False
    log_level: float | None = None
    model: str = ""
    actor: str = ""
    charged_at: str = ""
    baseline: int = 0
    draw: int | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A candidate that passed and is the baseline of later questions."""

    digest: str
    model: str
    kept: str
    actor: str
    promoted_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRows:
    """Rows that were drawn at random: which, by number of the draw, how many and the seed."""

    number: int
    rows: int
    seed: int
    actor: str
    drawn_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """The end of a pool's questions; its labels may be read from then on."""

    reason: str
    successor: str | None
    confidence: float
    actor: str
    retired_at: str


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that a ledger says.

    Attributes
    ----------
    length : int
        How many entries there are.
    charges : tuple of Charge
        In the order in which they were charged.
    last_moment : str
        The time of the newest entry; a ledger's time never runs back, whatever the clock does.
    commitment : str or None
        A keyed hash of the labels that the pool was sealed with.
    """

    length: int
    charges: tuple[Charge, ...]
    promotions: tuple[Promotion, ...] = ()
    draws: tuple[DrawnRows, ...] = ()
    retirement: Retirement | None = None
    last_moment: str = ""
    commitment: str | None = None

    @classmethod
    def replay(cls, entries: Iterable[tuple[Mapping[str, Any], str, str]]) -> "Account":
        """Read entries, oldest first, each as (body, actor, moment)."""
        charges: dict[str, Charge] = {}
        promotions: list[Promotion] = []
        draws: list[DrawnRows] = []
        retirement = commitment = None
        length, last = 0, ""
        for body, actor, moment in entries:
            length, last = length + 1, max(last, moment)
            match body["kind"]:
                case "open":
                    commitment = body.get("commitment")
                case "charge":
                    charges[body["digest"]] = _read_charge(body, actor, moment)
                case "answer":
                    known = charges[body["digest"]]
                    charges[body["digest"]] = replace(known, passed=body["passed"], kept=body.get("kept"))
                case "promote":
                    named = {name: body[name] for name in ("digest", "model", "kept")}
                    promotions.append(Promotion(**named, actor=actor, promoted_at=moment))
                case "draw":
                    number = len(draws) + 1
                    drawn = DrawnRows(number=number, rows=body["rows"], seed=body["seed"], actor=actor, drawn_at=moment)
                    draws.append(drawn)
                case "retire":
                    named = {name: body[name] for name in ("reason", "successor", "confidence")}
                    retirement = Retirement(**named, actor=actor, retired_at=moment)
        return cls(length, tuple(charges.values()), tuple(promotions), tuple(draws), retirement, last, commitment)

    @property
    def answers(self) -> tuple[bool | None, ...]:
        """The answers in the order of the charges."""
        return tuple(charge.passed for charge in self.charges)

    @property
    def pending(self) -> int:
        """How many charges have no answer."""
        return sum(charge.passed is None for charge in self.charges)

    def find(self, digest: str) -> Charge | None:
        """Return the charge of a submission, or None."""
        return next((charge for charge in self.charges if charge.digest == digest), None)


def _read_charge(body: Mapping[str, Any], actor: str, moment: str) -> Charge:
    return Charge(
        digest=body["digest"],
        log_level=body.get("log_level"),
        model=body.get("model", ""),
        actor=actor,
        charged_at=moment,
        baseline=body.get("baseline", 0),
        draw=body.get("draw"),
    )
