"""Choose the precision of a network on this board: measure all of them interleaved and keep the fastest."""

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
    """A chosen precision.

    Attributes:
        precision: The precision to run.
        reason: Comparisons that led to it, with their figures, for people to read.
        rounds_ms: Median latency of every round in milliseconds, by precision; empty if only one precision exists.
    """

    precision: str
    reason: str
    rounds_ms: Mapping[str, Sequence[float]]


def choose(measures: Mapping[str, Callable[[], float]]) -> Choice:
    """Measure all precisions interleaved (A B C A B C ...), so that drift hits all, and keep the fastest.

    Args:
        measures: By precision, the most precise first: a function that measures one round and returns its median in
            milliseconds.
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
    """Keep a lower precision if it is significantly faster: the whole 95 % interval of the ratio is below 1.

    Args:
        rounds_ms: Median latency of each of ``ROUNDS`` rounds, by precision, the most precise first.
    """
    kept, *lower = rounds_ms
    verdicts = []
    for name in lower:
        value, low, high = ratio(rounds_ms[kept], rounds_ms[name])
        verdict = "faster" if high < 1 else "not significantly faster"
        verdicts.append(f"{name} is {verdict} than {kept} (ratio {value:.2f}, 95 % interval {low:.2f} to {high:.2f})")
        kept = name if high < 1 else kept
    medians = ", ".join(f"{name} {statistics.median(times):.4g} ms" for name, times in rounds_ms.items())
    return Choice(kept, f"{', '.join(verdicts)}; medians of {ROUNDS} interleaved rounds: {medians}", rounds_ms)


def ratio(base: Sequence[float], new: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of the medians of two precisions, and the ends of its 95 % interval.

    The formula of ``edgeprune.profile.latency_noise.ratio`` for medians of rounds. It is repeated here because this
    file must run where EdgePrune is not installed.

    Args:
        base: Median latency of each of ``ROUNDS`` rounds.
        new: The same of the other precision, measured interleaved.
    """
    logs = [math.log(ours / its) for its, ours in zip(base, new)]  # noqa: B905 - Python 3.8
    width = math.hypot(_STUDENT_T * statistics.stdev(logs) / math.sqrt(ROUNDS), math.log1p(_PROCESS_NOISE))
    value = statistics.median(new) / statistics.median(base)
    return value, value * math.exp(-width), value * math.exp(width)
