"""From counts to facets: the metrics, intervals and tests of each group against all other rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from foldstore.validation.bias.association import Association, associate
from foldstore.validation.bias.counts import BiasCounts, Counts
from foldstore.validation.bias.facet import FacetBias, StratumBias
from foldstore.validation.bias.metrics import (
    class_imbalance,
    conditional_disparity,
    demographic_disparity,
    difference_in_proportions,
    is_large,
    jensen_shannon,
    kolmogorov_smirnov,
    kullback_leibler,
    lp_norm,
    most_imbalanced,
    total_variation,
)
from foldstore.validation.bias.options import BiasOptions
from foldstore.validation.bias.words import interpret
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.intervals import newcombe, two_sided, wilson


def judge_facets(
    counts: BiasCounts, facets: Mapping[str, Sequence[int]], options: BiasOptions, *, within: str = ""
) -> dict[str, FacetBias]:
    """Measure facets against all other rows.

    Parameters
    ----------
    counts : BiasCounts
    facets : Mapping[str, sequence of int]
        The groups that make each facet, by its name; never all of them.
    options : BiasOptions
    within : str
        What the strata are made by, in words; empty without conditions.
    """
    sides = {name: _Sides(counts, groups) for name, groups in facets.items()}
    tests = [associate([side.labels_d, side.labels_a]) for side in sides.values()]
    adjusted = adjust([test.p_value for test in tests])
    judged = {}
    for (name, side), test, p in zip(sides.items(), tests, adjusted, strict=True):
        facet = side.judge(name, test, p, options, conditioned=bool(within))
        judged[name] = replace(facet, words=interpret(facet, within=within, alpha=1 - options.confidence))
    return judged


class _Sides:
    """The counts of a facet (d) and of the others (a)."""

    def __init__(self, counts: BiasCounts, groups: Sequence[int]) -> None:
        chosen = list(groups)
        self._label_names, self._strata_names = counts.labels, counts.strata
        self.labels_d: Counts = counts.by_label[chosen].sum(axis=0)
        self.labels_a: Counts = counts.by_label.sum(axis=0) - self.labels_d
        self._outcomes_d: Counts = counts.by_outcome[chosen].sum(axis=0)
        self._outcomes_a: Counts = counts.by_outcome.sum(axis=0) - self._outcomes_d
        self._n_d, self._n_a = int(self.labels_d.sum()), int(self.labels_a.sum())
        self._positive_d, self._positive_a = int(self._outcomes_d[1].sum()), int(self._outcomes_a[1].sum())

    def judge(
        self, name: str, test: Association, p_adjusted: float, options: BiasOptions, *, conditioned: bool
    ) -> FacetBias:
        z = two_sided(options.confidence)
        low, high = wilson(self._n_d, self._n_d + self._n_a, z)
        metrics = self._metrics(options, conditioned=conditioned)
        by_label = zip(self.labels_d.tolist(), self.labels_a.tolist(), strict=True)
        return FacetBias(
            name=name,
            rows=self._n_d,
            rows_others=self._n_a,
            positive=self._positive_d,
            positive_others=self._positive_a,
            metrics=metrics,
            ci_interval=(1 - 2 * high, 1 - 2 * low),
            dpl_interval=newcombe(self._positive_a, self._n_a, self._positive_d, self._n_d, z),
            most_imbalanced=most_imbalanced(self.labels_a, self.labels_d, self._label_names),
            association=test,
            p_adjusted=p_adjusted,
            too_few=min(self._n_d, self._n_a) < options.min_rows,
            labels=dict(zip(self._label_names, by_label, strict=True)),
            strata=tuple(self._strata()) if conditioned else (),
            large=tuple(key for key, value in metrics.items() if is_large(key, value, options.p)),
        )

    def _metrics(self, options: BiasOptions, *, conditioned: bool) -> dict[str, float | None]:
        a, d = self.labels_a, self.labels_d
        return {
            "ci": class_imbalance(self._n_a, self._n_d),
            "dpl": difference_in_proportions(self._positive_a, self._n_a, self._positive_d, self._n_d),
            "kl": kullback_leibler(a, d, smoothing=options.smoothing),
            "js": jensen_shannon(a, d),
            "lp": lp_norm(a, d, options.p),
            "tvd": total_variation(a, d),
            "ks": kolmogorov_smirnov(a, d),
            "dd": float(demographic_disparity(*(part.sum() for part in self._parts()))),
            "cddl": conditional_disparity(*self._parts()) if conditioned else None,
        }

    def _parts(self) -> tuple[Counts, Counts, Counts, Counts]:
        """Return, by stratum, the negative labels of d and of all, and the positive ones."""
        d, both = self._outcomes_d, self._outcomes_d + self._outcomes_a
        return d[0], both[0], d[1], both[1]

    def _strata(self) -> list[StratumBias]:
        columns = (
            self._strata_names,
            self._outcomes_d.sum(axis=0).tolist(),
            self._outcomes_a.sum(axis=0).tolist(),
            self._outcomes_d[1].tolist(),
            self._outcomes_a[1].tolist(),
            demographic_disparity(*self._parts()).tolist(),
        )
        return [
            StratumBias(
                name=name,
                rows=n_d,
                rows_others=n_a,
                positive=positive_d,
                positive_others=positive_a,
                dpl=difference_in_proportions(positive_a, n_a, positive_d, n_d) if n_a and n_d else None,
                dd=disparity,
            )
            for name, n_d, n_a, positive_d, positive_a, disparity in zip(*columns, strict=True)
        ]
