"""Which precision of a network is run on this board: all are measured in turn, and the fastest is kept.

Needs Python 3.8 or newer; lies beside the scripts that use it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

# Of two that are equally fast the lower precision is kept by chance about once in 29 times.
ROUNDS = 7


class Choice(NamedTuple):
    """A precision.

    Attributes:
        precision: That is kept.
        reason: Why, with the figures, for people to read.
        rounds_ms: Median latency of every round, by precision; empty where there was nothing to choose from.
    """

    precision: str
    reason: str
    rounds_ms: Mapping[str, Sequence[float]]


def choose(measures: Mapping[str, Callable[[], float]]) -> Choice:
    """Measure in turn (A B C A B C ...), so that drift hits all, and keep the fastest.

    Args:
        measures: By precision, the most precise first: measures one round and gives its median in milliseconds.
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
    """Keep a lower precision where it is faster by more than the noise: its median is below every round of the other.

    Args:
        rounds_ms: Median latency of every round, by precision, the most precise first.
    """
    kept, *lower = rounds_ms
    verdicts = []
    for name in lower:
        if statistics.median(rounds_ms[name]) < min(rounds_ms[kept]):
            verdicts.append(f"{name} is faster than {kept}")
            kept = name
        else:
            verdicts.append(f"{name} is not surely faster than {kept}")
    figures = [
        f"{name} {statistics.median(times):.4g} ms ({min(times):.4g} to {max(times):.4g})"
        for name, times in rounds_ms.items()
    ]
    measured = f"{len(rounds_ms[kept])} rounds in turn: {', '.join(figures)}"
    return Choice(kept, f"{', '.join(verdicts)}; medians of {measured}", rounds_ms)
