"""What a shadow found, to be read before traffic is moved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from foldstore.features.shadow_tally import FeatureTally, ShadowTally


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A version of a service that is asked beside the one that answers.

    Attributes
    ----------
    live, candidate : str
        The version that answers, and the one that is asked too.
    share : float
        Of the requests to the first, which share.
    seed : int
        Which ones: a request is chosen by a hash of its entities under the seed.
    run : int
        Which shadow of the live version it is, from 1 on.
    running : bool
    """

    live: str
    candidate: str
    share: float
    seed: int
    run: int
    running: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Shadow":
        """Read what `to_dict` gave."""
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """The answers of a live version beside those of a candidate.

    Attributes
    ----------
    shadow : Shadow
    tally : ShadowTally
        What was counted, by feature.
    """

    shadow: Shadow
    tally: ShadowTally

    @property
    def features(self) -> Mapping[str, FeatureTally]:
        """What was counted of each feature that both have."""
        return self.tally.features

    @property
    def unequal_share(self) -> float:
        """The largest share of values of one feature that differ."""
        return max((each.unequal / each.compared for each in self.features.values() if each.compared), default=0.0)

    @property
    def error_share(self) -> float:
        """Of the requests that the candidate was asked, the share that it did not answer."""
        failed = sum(self.tally.errors.values())
        return failed / (failed + self.tally.requests) if failed else 0.0

    @property
    def equal(self) -> bool:
        """Whether the candidate answered every request that it was asked, and as the live version did."""
        changed = any(each.status_changes for each in self.features.values())
        return not (self.unequal_share or self.tally.errors or changed)

    def __str__(self) -> str:
        tally, shadow = self.tally, self.shadow
        state = "running" if shadow.running else "stopped"
        lines = [
            f"{shadow.candidate} beside {shadow.live}, {shadow.share:.2%} of the requests, seed {shadow.seed}, {state}",
            f"  {tally.requests:,} requests with {tally.entities:,} entities compared: "
            f"{'equal' if self.equal else 'NOT equal'}",
        ]
        lines += [f"  {name}: {_words(each)}" for name, each in self.features.items()]
        lines += [f"  only in {shadow.live}: {', '.join(tally.only_live)}"] if tally.only_live else []
        lines += [f"  only in {shadow.candidate}: {', '.join(tally.only_candidate)}"] if tally.only_candidate else []
        lines += [f"  {count:,} requests were not answered: {code}" for code, count in tally.errors.items()]
        lines += [f"  {tally.left_out:,} requests left out: the candidate did not keep up"] if tally.left_out else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        said = "equal" if self.equal else "not equal"
        return f"<ShadowReport of {self.shadow.candidate} beside {self.shadow.live}: {said}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        features = [
            {"feature": name, **asdict(each), "mean_difference": _mean(each.sum_difference, each)}
            for name, each in self.features.items()
        ]
        more = {"equal": self.equal, "unequal_share": self.unequal_share, "error_share": self.error_share}
        return {**self.shadow.to_dict(), **more, **self.tally.to_dict(), "features": features}


def _words(tally: FeatureTally) -> str:
    words = [f"{tally.unequal:,} of {tally.compared:,} differ"]
    if tally.numbers and tally.unequal:
        mean, absolute = _mean(tally.sum_difference, tally), _mean(tally.sum_absolute, tally)
        words.append(f"by {mean:+.4g} in the mean, {absolute:.4g} absolute, {tally.max_absolute:.4g} at most")
    words += [f"{count:,} x {change}" for change, count in sorted(tally.status_changes.items())]
    return "; ".join(words)


def _mean(total: float, tally: FeatureTally) -> float:
    return total / tally.numbers if tally.numbers else 0.0
