"""What the large metrics of a facet mean, in sentences."""

from math import copysign, inf
from typing import Final

from foldstore.validation.anomaly import percent
from foldstore.validation.bias.facet import FacetBias, show
from foldstore.validation.bias.metrics import METRICS

_NAMED: Final = 5


def interpret(facet: FacetBias, *, within: str, alpha: float) -> dict[str, str]:
    """Say what each large metric of a facet means, and that conditions explain a disparity where they do.

    Parameters
    ----------
    facet : FacetBias
    within : str
        What the strata are made by; empty without conditions.
    alpha : float
        From which p-value on a sentence says that chance explains the value.
    """
    spoken = list(facet.large)
    dd, cddl = facet.metrics["dd"] or 0.0, facet.metrics["cddl"]
    if cddl is not None and "dd" in spoken and "cddl" not in spoken and copysign(cddl, cddl * dd) < abs(dd) / 2:
        spoken.append("cddl")
    p = facet.p_adjusted
    chance = f" Chance alone gives that with p = {p:.2g}." if p >= alpha else ""
    few = " The rows are few." if facet.too_few else ""
    return {key: _sentence(facet, key, within) + ("" if key == "ci" else chance) + few for key in spoken}


def _sentence(facet: FacetBias, key: str, within: str) -> str:
    name, value = repr(facet.name), facet.metrics[key] or 0.0
    if key == "ci":
        share = percent(facet.rows / (facet.rows + facet.rows_others))
        return f"{name} is {share} of the rows: {facet.rows:,}, and {facet.rows_others:,} others."
    if key == "dpl":
        q_d, q_a = percent(facet.positive / facet.rows), percent(facet.positive_others / facet.rows_others)
        return f"The label is positive in {q_d} of the rows of {name}, in {q_a} of the others: {_points(-value)}."
    if key == "dd":
        negative, negative_others = facet.rows - facet.positive, facet.rows_others - facet.positive_others
        rejected = percent(negative / (negative + negative_others))
        accepted = percent(facet.positive / (facet.positive + facet.positive_others))
        return f"{name} is {rejected} of the rows with a negative label, {accepted} of those with a positive one."
    return _within(facet, value, within) if key == "cddl" else _diverging(facet, key, value)


def _within(facet: FacetBias, value: float, within: str) -> str:
    if "cddl" in facet.large:
        part = _points(value)
        return f"Within {within}, {facet.name!r} is {part} of the negative labels than of the positive ones."
    dd = facet.metrics["dd"] or 0.0
    turned = "it turns round" if value * dd < 0 else "little of the disparity is left"
    return f"Within {within} {turned}: {show(value)} on average, {show(dd)} over all rows."


def _diverging(facet: FacetBias, key: str, value: float) -> str:
    name = repr(facet.name)
    if value == inf:
        lacked = [repr(label) for label, (d, a) in facet.labels.items() if a and not d]
        more = f" and {len(lacked) - _NAMED} more" if len(lacked) > _NAMED else ""
        return f"No row of {name} has the label {', '.join(lacked[:_NAMED])}{more}, which others have."
    if key == "tvd":
        return f"{percent(value)} of the rows of {name} would need another label to be shared out as the others."
    if key == "ks":
        place = facet.most_imbalanced
        q_d, q_a = facet.labels[place][0] / facet.rows, facet.labels[place][1] / facet.rows_others
        return f"The label {place!r} differs most: {percent(q_d)} of {name}, {percent(q_a)} of the others."
    unit = " nats" if key in ("kl", "js") else ""
    return f"The labels of {name} are shared out otherwise: {METRICS[key].name} {show(value)}{unit}."


def _points(difference: float) -> str:
    return f"{abs(difference) * 100:.1f} points {'more' if difference > 0 else 'less'}"
