"""Offsets of activations in the arena.

1. Views, parts and in-place results share memory; see ``shared_buffers``. Parts of larger tensors do so only if the
   arena is not larger than without.
2. Buffers are placed greedily in several orders; the best result is often the largest sum of live buffers, and then
   optimal.
3. Otherwise a mixed-integer program (HiGHS) decides for each pair of buffers that are alive at the same time which one
   lies below the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.backends.c.int8_network import Int8Network, Tensor
from edgeprune.backends.c.shared_buffers import Buffer, shared_buffers

_MOST_PAIRS = 400
"""Largest number of pairs of live buffers for which the exact program is solved."""
_TIME_LIMIT_S = 20.0


@dataclass(frozen=True)
class MemoryPlan:
    """Memory of a network.

    Attributes:
        offsets: Offset of each activation in the arena, in bytes.
        in_ports: Activations in memory of the caller: the input or output of the network that they are part of, and
            their offset in it. Inputs and outputs themselves are not listed.
        arena_bytes: Size of the arena.
        lower_bound_bytes: Largest sum of the buffers that are alive at the same time.
    """

    offsets: Mapping[Tensor, int]
    in_ports: Mapping[Tensor, tuple[Tensor, int]]
    arena_bytes: int
    lower_bound_bytes: int


def plan_memory(network: Int8Network) -> MemoryPlan:
    """Place the activations of ``network``. Those of its inputs and outputs belong to the caller.

    Raises:
        ModelError: C code cannot be generated for an operator.
    """
    plans = [_plan(shared_buffers(network, joins=joins)) for joins in (True, False)]
    return min(plans, key=lambda plan: plan.arena_bytes)


def _plan(buffers: Sequence[Buffer]) -> MemoryPlan:
    placed = [buffer for buffer in buffers if buffer.port is None]
    bound = _lower_bound(placed)
    orders = (
        sorted(placed, key=lambda one: (-one.bytes, one.first)),
        sorted(placed, key=lambda one: (one.first, -one.bytes)),
        sorted(placed, key=lambda one: (-one.bytes * (one.last - one.first + 1), one.first)),
        sorted(placed, key=lambda one: (one.last - one.first, -one.bytes), reverse=True),
    )
    best = min((_greedy(order) for order in orders), key=_peak)
    if _peak(best) > bound:
        best = min(best, _exact(placed, _peak(best)) or best, key=_peak)
    offsets = {tensor: start + offset for start, buffer in best for tensor, offset in buffer.offsets.items()}
    in_ports = {
        tensor: (buffer.port, offset)
        for buffer in buffers
        for tensor, offset in buffer.offsets.items()
        if buffer.port is not None and tensor is not buffer.port
    }
    return MemoryPlan(offsets, in_ports, _peak(best), bound)


_Placement = list[tuple[int, Buffer]]
"""Buffers with their offsets."""


def _lower_bound(buffers: Sequence[Buffer]) -> int:
    steps = range(min((one.first for one in buffers), default=0), max((one.last for one in buffers), default=0) + 1)
    return max((sum(one.bytes for one in buffers if one.first <= step <= one.last) for step in steps), default=0)


def _greedy(order: Iterable[Buffer]) -> _Placement:
    placed: _Placement = []
    for buffer in order:
        occupied = sorted((start, start + other.bytes) for start, other in placed if _overlap(buffer, other))
        at = 0
        for begin, end in occupied:
            if begin - at >= buffer.bytes:
                break
            at = max(at, end)
        placed.append((at, buffer))
    return placed


def _exact(buffers: Sequence[Buffer], upper: int) -> _Placement | None:
    """Return an optimal placement below ``upper`` bytes; None if there is none, or the program is too large or slow."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    pairs = [
        (i, j) for i in range(len(buffers)) for j in range(i + 1, len(buffers)) if _overlap(buffers[i], buffers[j])
    ]
    if len(pairs) > _MOST_PAIRS:
        return None
    count = len(buffers)
    columns = count + 1 + len(pairs)  # offsets, the peak, and the order of each pair
    rows, lows = [], []
    for index, buffer in enumerate(buffers):
        row = np.zeros(columns)
        row[[count, index]] = 1, -1
        rows.append(row)
        lows.append(buffer.bytes)
    for number, (i, j) in enumerate(pairs):
        for below, above, sign, slack in ((i, j, -1, 0), (j, i, 1, upper)):
            row = np.zeros(columns)
            row[[above, below, count + 1 + number]] = 1, -1, -sign * upper
            rows.append(row)
            lows.append(buffers[below].bytes - (slack if sign > 0 else 0))
    objective = np.zeros(columns)
    objective[count] = 1
    upper_bounds = np.concatenate([np.full(count + 1, upper), np.ones(len(pairs))])
    integrality = np.concatenate([np.zeros(count + 1), np.ones(len(pairs))])
    result = milp(
        objective,
        constraints=LinearConstraint(np.array(rows), np.array(lows), np.inf),
        bounds=Bounds(np.zeros(columns), upper_bounds),
        integrality=integrality,
        options={"time_limit": _TIME_LIMIT_S},
    )
    if result.x is None:
        return None
    # The solver's offsets have rounding errors: place the buffers again in their order.
    order = sorted(range(count), key=lambda index: result.x[index])
    return _greedy(buffers[index] for index in order)


def _peak(placement: _Placement) -> int:
    return max((start + buffer.bytes for start, buffer in placement), default=0)


def _overlap(first: Buffer, second: Buffer) -> bool:
    return first.first <= second.last and second.first <= first.last
