"""Intervals of accuracy drops, against published examples and independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from edgeprune.report.accuracy_intervals import independent_drop, mcnemar, paired_drop, samples_to_decide, wilson

_Z = stats.norm.ppf(0.975)


def test_newcombes_example_of_independent_samples() -> None:
    """56/70 and 48/80: 0.0524 to 0.3339 (Newcombe, 1998, table II, (a), method 10)."""
    low, high = independent_drop(56 / 70, 70, 48 / 80, 80)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert independent_drop(1.0, 10, 1.0, 10)[0] < 0 < independent_drop(1.0, 10, 1.0, 10)[1]


def test_wilson_matches_scipy() -> None:
    for correct, samples in ((0, 10), (355, 355), (388, 400)):
        expected = stats.binomtest(correct, samples).proportion_ci(0.95, method="wilson")
        assert wilson(correct / samples, samples) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize(("losses", "gained"), [(0, 0), (1, 0), (5, 0), (6, 0), (3, 9), (12, 12), (4, 20)])
def test_mcnemar_with_few_pairs_is_the_binomial_test(losses: int, gained: int) -> None:
    expected = stats.binomtest(losses, losses + gained, 0.5).pvalue if losses + gained else 1.0
    assert mcnemar(losses, gained) == mcnemar(gained, losses) == pytest.approx(expected)


@pytest.mark.parametrize(("losses", "gained"), [(13, 12), (40, 12), (900, 1000)])
def test_mcnemar_with_many_pairs_is_the_chi_squared_test(losses: int, gained: int) -> None:
    assert mcnemar(losses, gained) == pytest.approx(stats.chi2.sf((losses - gained) ** 2 / (losses + gained), 1))


@pytest.mark.parametrize(
    ("losses", "gained", "samples"), [(18, 0, 400), (30, 12, 400), (12, 30, 400), (0, 40, 90), (25, 25, 60)]
)
def test_paired_interval_holds_the_drops_that_a_score_test_accepts(losses: int, gained: int, samples: int) -> None:
    """The constrained maximum likelihood is found numerically here, in closed form there."""

    def score(drop: float) -> float:
        def negative_likelihood(gains: float) -> float:
            cells = (gains + drop, gains, 1 - 2 * gains - drop)
            return -sum(
                count * math.log(max(cell, 1e-300))
                for count, cell in zip((losses, gained, samples - losses - gained), cells, strict=True)
                if count
            )

        bounds = (max(0.0, -drop), (1 - drop) / 2)
        gains = optimize.minimize_scalar(
            negative_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        variance = 2 * gains + drop - drop * drop
        return float(((losses - gained) / samples - drop) / math.sqrt(variance / samples))

    low, high = paired_drop(losses, gained, samples)
    assert score(low) == pytest.approx(_Z, abs=1e-3)
    assert score(high) == pytest.approx(-_Z, abs=1e-3)
    assert paired_drop(gained, losses, samples) == pytest.approx((-high, -low), abs=1e-9)


def test_paired_interval_excludes_zero_only_if_mcnemar_rejects_it() -> None:
    for losses in range(40):
        for gained in range(losses + 1):
            low, high = paired_drop(losses, gained, 400)
            assert low <= (losses - gained) / 400 <= high
            if abs(mcnemar(losses, gained) - 0.05) > 1e-6:
                assert (low > 0) == (mcnemar(losses, gained) < 0.05), (losses, gained)


def test_paired_interval_covers_the_true_drop() -> None:
    rng = np.random.default_rng(0)
    for samples, losses, gained in ((400, 0.05, 0.005), (100, 0.1, 0.05), (355, 0.02, 0.01), (400, 0.005, 0.0)):
        page = rng.multinomial(samples, [losses, gained, 1 - losses - gained], size=600)
        ends = [paired_drop(int(one), int(other), samples) for one, other, _ in page]
        assert np.mean([low <= losses - gained <= high for low, high in ends]) > 0.925


def test_interval_of_identical_results_depends_on_the_number_of_samples() -> None:
    """Without a discordant pair the ends are z²/(n + z²)."""
    expected = _Z**2 / (400 + _Z**2)
    assert paired_drop(0, 0, 400) == pytest.approx((-expected, expected), rel=1e-5)


def test_samples_to_decide_is_where_the_interval_leaves_the_limit() -> None:
    def identical(count: float) -> tuple[float, float]:
        return paired_drop(0, 0, count)

    needed = samples_to_decide(identical, 400, 0.005)
    assert needed is not None
    assert identical(needed)[1] <= 0.005 < identical(0.98 * needed)[1]
    # A drop of exactly the limit is decided by no number of samples.
    assert samples_to_decide(lambda count: paired_drop(0.005 * count, 0, count), 400, 0.005) is None
