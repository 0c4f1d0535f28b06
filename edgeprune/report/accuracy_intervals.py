"""Confidence intervals of accuracy drops on paired and on independent samples. Imports no numpy or scipy.

All intervals are two-sided, at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Interval = tuple[float, float]

_Z = 1.959964
"""97.5 % quantile of the normal distribution."""
_ALPHA = 0.05
_FEW_PAIRS = 25
"""Number of discordant pairs below which McNemar's exact (binomial) test is used."""
_DOUBLINGS = 30
"""Maximum number of doublings in the search for a number of samples that decides a comparison."""


def mcnemar(only_base: int, only_new: int) -> float:
    """Return the two-sided p-value of McNemar's test.

    It is the probability of a split at least this uneven if neither model is better. Given the number of discordant
    pairs, ``only_base`` is binomial with probability 1/2 under the hypothesis of no change. The test is exact below 25
    pairs, and the chi-squared test without continuity correction from there on. Source:
    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika
    12 (1947).

    Args:
        only_base: Number of samples that only the base classifies correctly.
        only_new: Number of samples that only the new model classifies correctly.
    """
    pairs, fewer = only_base + only_new, min(only_base, only_new)
    if pairs >= _FEW_PAIRS:
        return math.erfc(abs(only_base - only_new) / math.sqrt(2 * pairs))
    tail = sum(math.comb(pairs, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << pairs))


def paired_drop(only_base: float, only_new: float, samples: float) -> Interval:
    """Return the 95 % interval for the drop ``(only_base - only_new) / samples`` of two models on the same samples.

    This is Tango's score interval: all drops that a score test does not reject. For a drop of 0, the score test is
    McNemar's test. With fewer than 25 discordant pairs, the exact test replaces it: the interval then contains 0 unless
    ``mcnemar`` rejects 0. Sources: Tango, "Equivalence test and confidence interval for the difference in proportions
    for the paired-sample design", Statistics in Medicine 17 (1998); Fagerland, Lydersen and Laake, "Recommended tests
    and confidence intervals for paired binomial proportions", Statistics in Medicine 33 (2014). Each end is found by
    bisection, in constant time.

    Args:
        only_base: Number of samples that only the base classifies correctly; not an integer if it is extrapolated.
        only_new: Number of samples that only the new model classifies correctly.
        samples: Number of samples in the split, above 0.
    """
    drop = (only_base - only_new) / samples

    def score(hypothesis: float) -> float:
        variance = _paired_variance(only_base, only_new, samples, hypothesis)
        distance = drop - hypothesis
        return distance / math.sqrt(variance / samples) if variance > 0 else math.copysign(math.inf, distance)

    low = _bisect(lambda hypothesis: score(hypothesis) > _Z, -1.0, drop)
    high = _bisect(lambda hypothesis: score(hypothesis) >= -_Z, drop, 1.0)
    if only_base + only_new < _FEW_PAIRS and mcnemar(round(only_base), round(only_new)) >= _ALPHA:
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _paired_variance(only_base: float, only_new: float, samples: float, hypothesis: float) -> float:
    """Return the maximum-likelihood variance of the drop for one sample, if the true drop is ``hypothesis``."""
    a = 2 * samples
    b = -only_base - only_new + (2 * samples - only_base + only_new) * hypothesis
    c = -only_new * hypothesis * (1 - hypothesis)
    gains = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    return 2 * gains + hypothesis * (1 - hypothesis)


def independent_drop(base: float, base_samples: float, new: float, new_samples: float) -> Interval:
    """Return the 95 % interval for the drop ``base - new`` of two accuracies on independent samples.

    Source: Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17 (1998), method 10.

    Args:
        base: Fraction of correct samples, 0 to 1.
        base_samples: Number of samples of ``base``.
        new: Fraction of correct samples, 0 to 1.
        new_samples: Number of samples of ``new``.
    """
    (low_base, high_base), (low_new, high_new) = wilson(base, base_samples), wilson(new, new_samples)
    drop = base - new
    return (
        drop - math.hypot(high_new - new, base - low_base),
        drop + math.hypot(new - low_new, high_base - base),
    )


def wilson(fraction: float, samples: float) -> Interval:
    """Return Wilson's 95 % interval for a fraction (J. of the American Statistical Association 22, 1927)."""
    square = _Z * _Z / samples
    center = (fraction + square / 2) / (1 + square)
    half = _Z * math.sqrt(fraction * (1 - fraction) / samples + square / (4 * samples)) / (1 + square)
    return center - half, center + half


def samples_to_decide(interval: Callable[[float], Interval], samples: int, limit: float) -> int | None:
    """Return the smallest number of samples at which the whole interval lies on one side of ``limit``.

    The observed rates are assumed for any number of samples.

    Args:
        interval: Function that returns the interval for a number of samples at the observed rates.
        samples: Number of samples in the undecided comparison.
        limit: Limit of the drop.

    Returns:
        The number of samples; None if no number decides, because the observed drop equals the limit.
    """

    def decides(count: int) -> bool:
        low, high = interval(count)
        return high <= limit or low > limit

    enough = next((count for step in range(1, _DOUBLINGS) if decides(count := samples << step)), None)
    if enough is None:
        return None
    too_few = enough // 2
    while enough - too_few > max(1, enough // 100):
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if decides(middle) else (middle, enough)
    return enough


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Return the value between ``low`` and ``high`` where ``is_below`` becomes False, to within 1e-12."""
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2
