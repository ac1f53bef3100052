"""The study: neighbours in several embeddings, a curve over rows, and a verdict with intervals behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import optimize, special

from foldstore.datastore.statistics.reading import kind_of
from foldstore.errors import UsageError
from foldstore.validation.arrow_rows import Rows, open_rows
from foldstore.validation.feasibility.bounds import neighbours_bound, noisy, tree_bounds
from foldstore.validation.feasibility.density import estimate_density
from foldstore.validation.feasibility.dimension import intrinsic_dimension
from foldstore.validation.feasibility.embedding import (
    READ_KINDS,
    Encoder,
    embed_by_user,
    learn_embedding,
    user_columns,
)
from foldstore.validation.feasibility.neighbours import find_neighbours, vote
from foldstore.validation.feasibility.options import LEAST_ROWS, FeasibilityOptions, check_share
from foldstore.validation.feasibility.result import Arm, Feasibility, FeasibilityVerdict
from foldstore.validation.feasibility.spanning_tree import count_crossing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_CLASSES: Final = 50
_VOTERS: Final = (1, 21)
_STEPS: Final = 5
_TREE_ROWS: Final = 2_000
_NOISE: Final = (0.1, 0.2)
_WHOLE: Final = ("standardised", "raw")
# More than so many times the rows that there are nobody collects.
_MOST_GROWTH: Final = 1_000.0
# In more dimensions a bound by neighbours may lie above the truth however many rows there are.
_MOST_DIMENSIONS: Final = 12.0


@dataclass(frozen=True, slots=True)
class _Sample:
    features: pa.Table
    labels: Ints
    classes: int


@dataclass(frozen=True, slots=True)
class _Embedded:
    """Rows to be neighbours, and rows to ask about, in one embedding."""

    name: str
    reference: Floats
    labels: Ints
    asked: Floats
    wanted: Ints


def study_feasibility(data: Any, *, label: str, target_error: float, how: Mapping[str, Any]) -> Feasibility:
    """Estimate the least error at which a label can be predicted; `foldstore.feasibility` says more.

    Raises
    ------
    UsageError
        When there are too few rows, one class or too many, or no feature.
    """
    target = check_share("target_error", target_error, 0.0, 1.0)
    options = FeasibilityOptions.of(how)
    sample = _draw(open_rows(data, lambda schema: _choose(schema, label, options), asker="feasibility"), label, options)
    embedded = _embed(sample, options)
    level = (1 - options.confidence) / (len(embedded) * len(_VOTERS))
    arms = sorted(
        (_measure(each, k, level, sample.classes) for each in embedded for k in _VOTERS), key=lambda a: a.error
    )
    best = next(each for each in embedded if each.name == arms[0].embedding)
    # Neighbours in one dimension of many say nothing of how many there are.
    plain = next((each for each in embedded if each.name in _WHOLE), best)
    return _conclude(target, arms, (best, plain), level, sample, options.seed)


def _choose(schema: pa.Schema, label: str, options: FeasibilityOptions) -> list[str]:
    readable = [field.name for field in schema if kind_of(field.type) in READ_KINDS]
    features = list(options.features) if options.features is not None else [n for n in readable if n != label]
    features = [name for name in features if name not in options.leave_out]
    for name in features:
        if name in schema.names and name not in readable:
            raise UsageError(f"{name!r} is {schema.field(name).type}, which is no feature.", hint="Name others.")
    if label in features:
        raise UsageError(f"The label {label!r} is among the features.", hint="Leave it out.")
    more = [name for name in user_columns(options.own_embeddings) if name not in features]
    if not features and not more:
        raise UsageError("There is no column to predict from.", hint="Name features=[...].")
    return [label, *features, *more]


def _draw(rows: Rows, label: str, options: FeasibilityOptions) -> _Sample:
    """Return rows with a label, so many at most, each as likely as any other (reservoir sampling by random keys)."""
    random = np.random.default_rng(options.seed)
    kept, keys = rows.arrow_schema.empty_table(), np.empty(0)
    for batch in rows.batches():
        known = batch.filter(batch.column(label).is_valid())
        kept = pa.concat_tables([kept, pa.Table.from_batches([known])])
        keys = np.concatenate([keys, random.random(known.num_rows)])
        if len(keys) > options.max_rows:
            chosen = np.sort(np.argpartition(keys, options.max_rows)[: options.max_rows])
            kept, keys = kept.take(pa.array(chosen)).combine_chunks(), keys[chosen]
    if kept.num_rows < LEAST_ROWS:
        raise UsageError(
            f"{rows.subject} has {kept.num_rows} rows with a label.", hint=f"A study needs {LEAST_ROWS} or more."
        )
    kept = kept.take(pa.array(random.permutation(kept.num_rows))).combine_chunks()
    encoded = pa.concat_arrays(kept.column(label).chunks).dictionary_encode()
    classes = len(encoded.dictionary)
    if not 1 < classes <= _MOST_CLASSES:
        raise UsageError(
            f"The label {label!r} has {classes:,} different values in the sample.",
            hint=f"A study is of 2 to {_MOST_CLASSES} classes; select(late='arr_delay > 15') makes two of numbers.",
        )
    return _Sample(kept.drop_columns([label]), encoded.indices.to_numpy().astype(np.int64), classes)


def _embed(sample: _Sample, options: FeasibilityOptions) -> list[_Embedded]:
    """Embed two thirds of the rows as neighbours, half of which teach what labels teach, and ask about the rest."""
    size = len(sample.labels)
    cut = 2 * size // 3
    own = user_columns(options.own_embeddings)
    plain = sample.features.drop_columns(
        [n for n in own if n in sample.features.column_names and not _is_feature(n, options)]
    )
    encoder = Encoder(plain.slice(0, cut))
    vectors = encoder.encode(plain)
    found = []
    for name in options.embeddings if vectors.shape[1] else ():
        # What labels taught must not be judged by the rows that taught it.
        first = cut // 2 if name == "lda" else 0
        taught = slice(0, first) if first else slice(0, cut)
        apply = learn_embedding(name, vectors[taught], sample.labels[taught], options.seed)
        found.append(_part(name, apply(vectors), sample.labels, first, cut))
    for name, made in options.own_embeddings.items():
        found.append(_part(name, embed_by_user(name, made, sample.features), sample.labels, 0, cut))
    return found


def _is_feature(name: str, options: FeasibilityOptions) -> bool:
    return options.features is not None and name in options.features


def _part(name: str, vectors: Floats, labels: Ints, first: int, cut: int) -> _Embedded:
    return _Embedded(name, vectors[first:cut], labels[first:cut], vectors[cut:], labels[cut:])


def _measure(each: _Embedded, k: int, level: float, classes: int) -> Arm:
    sizes = _sizes(len(each.reference), k)
    near = find_neighbours(each.reference, each.asked, [(0, size) for size in sizes], k)
    wrong = [int((vote(found, each.labels, classes) != each.wanted).sum()) for found in near]
    count = len(each.asked)
    low, high = clopper_pearson(wrong[-1], count, level)
    return Arm(
        embedding=each.name,
        k=k,
        error=wrong[-1] / count,
        low=low,
        high=high,
        bound=neighbours_bound(low, k, classes),
        curve=tuple((size, errors / count) for size, errors in zip(sizes, wrong, strict=True)),
    )


def _sizes(rows: int, k: int) -> list[int]:
    return sorted({max(k, rows >> step) for step in range(_STEPS)} | {rows})


def clopper_pearson(count: int, of: int, level: float) -> tuple[float, float]:
    """Return the interval of a share at which it is wrong with at most this probability (Clopper and Pearson 1934).

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(5, 50, 0.05)]
    [0.0333, 0.2181]
    """
    low = 0.0 if count == 0 else float(special.betaincinv(count, of - count + 1, level / 2))
    high = 1.0 if count == of else float(special.betaincinv(count + 1, of - count, 1 - level / 2))
    return low, high


def _conclude(
    target: float,
    arms: Sequence[Arm],
    embedded: tuple[_Embedded, _Embedded],
    level: float,
    sample: _Sample,
    seed: int,
) -> Feasibility:
    best, plain = embedded
    low, high = min(arm.bound for arm in arms), min(arm.high for arm in arms)
    limit, power = extrapolate(arms[0].curve)
    dimension = intrinsic_dimension(plain.reference, plain.asked, _near(plain))
    verdict, reason = _judge(target, low, high, arms[0], limit, dimension)
    sizes = len(sample.labels) - len(best.asked), len(best.asked)
    more = _more_rows(target, arms[0], limit, power, sizes, level)
    counts = np.bincount(sample.labels)
    few = slice(0, _TREE_ROWS)
    tree_low, tree_high = tree_bounds(
        count_crossing(plain.reference[few], plain.labels[few]), len(plain.labels[few]), sample.classes
    )
    density = estimate_density(
        plain.reference[few], plain.labels[few], plain.asked[few], plain.wanted[few], sample.classes
    )
    return Feasibility(
        verdict=verdict,
        target_error=target,
        low=low,
        high=high,
        rows=sizes[0],
        held_out=sizes[1],
        classes=sample.classes,
        majority_error=float(1 - counts.max() / counts.sum()),
        arms=tuple(arms),
        limit=limit,
        more_rows=None if verdict is not FeasibilityVerdict.INCONCLUSIVE else more,
        tree_low=tree_low,
        tree_high=tree_high,
        density=density.plug_in,
        dimension=dimension,
        noise=tuple(_with_noise(best, rho, arms[0], sample.classes, seed) for rho in _NOISE),
        seed=seed,
        reason=reason,
    )


def extrapolate(curve: Sequence[tuple[int, float]]) -> tuple[float, tuple[float, float]]:
    """Fit ``e(n) = limit + a n^-b`` to a curve and return the limit, and a and b.

    Examples
    --------
    >>> limit, (a, b) = extrapolate([(n, 0.1 + 2 * n**-0.5) for n in (100, 200, 400, 800, 1600)])
    >>> round(limit, 3), round(a, 2), round(b, 2)
    (0.1, 2.0, 0.5)
    """
    sizes, errors = (np.array(each, np.float64) for each in zip(*curve, strict=True))

    def residuals(parameters: Floats) -> Floats:
        limit, log_a, b = parameters
        return np.asarray(limit + np.exp(log_a) * sizes**-b - errors)

    start = [max(0.0, errors.min() - 0.01), np.log(max(1e-3, errors[0] - errors.min() + 1e-3) * sizes[0] ** 0.5), 0.5]
    bounds = ([0.0, -30.0, 0.05], [max(1e-9, errors.min()) + 1e-9, 30.0, 2.0])
    start[0] = min(start[0], bounds[1][0])
    found = optimize.least_squares(residuals, start, bounds=bounds)
    return float(found.x[0]), (float(np.exp(found.x[1])), float(found.x[2]))


def _judge(
    target: float, low: float, high: float, best: Arm, limit: float, dimension: float
) -> tuple[FeasibilityVerdict, str]:
    if target > high:
        why = f"{best.k} neighbours of {best.embedding} rows reach it already, at most {high:.3f}"
        return FeasibilityVerdict.REALISTIC, why
    if target >= low:
        return FeasibilityVerdict.INCONCLUSIVE, "the target lies within what these rows leave open"
    spread = best.high - best.error
    if best.error - limit > spread:
        why = f"below the bound {low:.3f}, but the error still falls with more rows"
        return FeasibilityVerdict.INCONCLUSIVE, why
    if dimension > _MOST_DIMENSIONS:
        why = f"below the bound {low:.3f}, which may be too high in some {dimension:.0f} dimensions"
        return FeasibilityVerdict.INCONCLUSIVE, why
    return FeasibilityVerdict.INFEASIBLE, f"no model of these features errs less than {low:.3f}"


def _more_rows(
    target: float, best: Arm, limit: float, power: tuple[float, float], sizes: tuple[int, int], level: float
) -> int | None:
    """Return about how many more rows would bring the best arm's interval below the target; None where none would."""
    if target <= limit:
        return None
    (a, b), (rows, held_out) = power, sizes
    z, size = float(special.ndtri(1 - level / 2)), best.curve[-1][0]
    grown = 1.0
    while grown < _MOST_GROWTH:
        grown *= 1.1
        expected = limit + a * (size * grown) ** -b
        if expected + z * (expected * (1 - expected) / (held_out * grown)) ** 0.5 < target:
            return ceil((grown - 1) * (rows + held_out))
    return None


def _near(each: _Embedded) -> Ints:
    return find_neighbours(each.reference, each.asked, [(0, len(each.reference))], _VOTERS[-1])[0]


def _with_noise(each: _Embedded, rho: float, best: Arm, classes: int, seed: int) -> tuple[float, float, float]:
    """Replace a share of all labels at random, and return it, the error then, and what it should be."""
    random = np.random.default_rng([seed, int(1000 * rho)])

    def spoilt(labels: Ints) -> Ints:
        return np.where(random.random(len(labels)) < rho, random.integers(0, classes, len(labels)), labels)

    voted = vote(_near(each)[:, : best.k], spoilt(each.labels), classes)
    error = float((voted != spoilt(each.wanted)).mean())
    return rho, error, noisy(best.error, rho, classes)
