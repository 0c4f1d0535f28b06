"""Selection of the fastest precision of a network on this board by interleaved measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

ROUNDS = 7
# 97.5 % quantile of Student's t distribution with ROUNDS - 1 degrees of freedom.
_STUDENT_T = 2.446912
# edgeprune.profile.latency_noise.PROCESS_NOISE
_PROCESS_NOISE = 0.03


class Choice(NamedTuple):
    """Selected precision.

    Attributes:
        precision: Precision to run.
        reason: Readable summary of the comparisons, with their values.
        rounds_ms: Median latency of every round in milliseconds, by precision; empty if only one precision exists.
    """

    precision: str
    reason: str
    rounds_ms: Mapping[str, Sequence[float]]


def choose(measures: Mapping[str, Callable[[], float]]) -> Choice:
    """Measure all precisions interleaved (A B C A B C ...) and select the fastest. Drift then affects all equally.

    Args:
        measures: Function for each precision, the most precise first. It measures one round and returns its median
            in milliseconds.
    """
    if len(measures) == 1:
        (only,) = measures
        return Choice(only, "there is no other to choose from", {})
    rounds: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            rounds[name].append(measure())
    return fastest(rounds)


def fastest(rounds_ms: Mapping[str, Sequence[float]]) -> Choice:
    """Select a lower precision if it is significantly faster: the whole 95 % interval of the ratio is below 1.

    Args:
        rounds_ms: Median latency of each of ``ROUNDS`` rounds, by precision, the most precise first.
    """
    choice, *lower = rounds_ms
    comparisons = []
    for name in lower:
        value, low, high = ratio(rounds_ms[choice], rounds_ms[name])
        result = "faster" if high < 1 else "not significantly faster"
        comparisons.append(
            f"{name} is {result} than {choice} (ratio {value:.2f}, 95 % interval {low:.2f} to {high:.2f})"
        )
        choice = name if high < 1 else choice
    medians = ", ".join(f"{name} {statistics.median(times):.4g} ms" for name, times in rounds_ms.items())
    return Choice(choice, f"{', '.join(comparisons)}; medians of {ROUNDS} interleaved rounds: {medians}", rounds_ms)


def ratio(base: Sequence[float], new: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of the medians of two precisions, and the ends of its 95 % interval.

    The formula of ``edgeprune.profile.latency_noise.ratio`` for medians of rounds. It is repeated here because this
    file must run where EdgePrune is not installed.

    Args:
        base: Median latency of each of ``ROUNDS`` rounds.
        new: Same for the other precision, measured interleaved.
    """
    logs = [math.log(ours / its) for its, ours in zip(base, new)]  # noqa: B905 - Python 3.8
    width = math.hypot(_STUDENT_T * statistics.stdev(logs) / math.sqrt(ROUNDS), math.log1p(_PROCESS_NOISE))
    value = statistics.median(new) / statistics.median(base)
    return value, value * math.exp(-width), value * math.exp(width)
