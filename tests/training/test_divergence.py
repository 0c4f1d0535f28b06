"""When a loss has gone wrong, and when it has only gone up."""

from __future__ import annotations

import math
import random

import pytest

from edgeprune.training.divergence import Divergence


def _alarm(losses: list[float]) -> int | None:
    """The step at which it says so."""
    watch = Divergence()
    return next((step for step, loss in enumerate(losses) if watch.update(loss)), None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_seen_at_once(bad: float) -> None:
    assert _alarm([1.0, 1.0, bad]) == 2


def test_a_loss_that_explodes_is_seen_while_it_is_finite() -> None:
    assert _alarm([2.3] * 50 + [2.3 * 3**step for step in range(10)]) == 50 + 4


def test_divergence_in_the_first_steps_is_detected() -> None:
    assert _alarm([2.3, 40.0, 600.0, 9e3, 9e4, 9e5]) == 2
    assert _alarm([2.3] + [500.0] * 100) == 1


def test_single_outlier_batch_is_no_divergence() -> None:
    assert _alarm([2.0] * 30 + [150.0] + [2.0] * 30) is None


def test_a_well_trained_network_may_err_more_for_a_while() -> None:
    assert _alarm([0.01] * 100 + [0.5] * 100 + [2.0] * 20) is None


def test_noise_and_slow_growth_to_several_times_the_first_loss_are_no_alarm() -> None:
    rng = random.Random(0)
    assert _alarm([rng.lognormvariate(0, 0.7) * (1 + step / 200) for step in range(400)]) is None


def test_a_loss_below_zero_is_a_loss() -> None:
    assert _alarm([-5.0] * 20 + [-1e4] * 20 + [3.0] * 20) is None


def test_divergence_limit_follows_the_scale_of_a_custom_loss() -> None:
    assert _alarm([3e4] * 20 + [2e5] * 20) is None
    assert _alarm([3e4] * 20 + [9e5] * 20) == 23


def test_divergence_monitor_resumes_from_its_state() -> None:
    losses = [1.0 + step % 3 for step in range(7)] + [60.0] * 20
    for cut in range(1, len(losses)):
        first, second = Divergence(), Divergence()
        if any(first.update(loss) for loss in losses[:cut]):
            break
        second.load_state_dict(first.state_dict())
        assert [first.update(loss) for loss in losses[cut:]] == [second.update(loss) for loss in losses[cut:]]
