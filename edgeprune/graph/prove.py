"""Prove by numbers that pruning changed nothing but what it removed.

The dense program is run with the removed coordinates set to zero where they are consumed: where a call sums over
them. What the pruned network gives must be the same. Calls that mix what stays with what goes (LayerNorm) have no
such zero; there the reference is the operator itself on the slice that stays.

Networks hide mistakes: a fresh BatchNorm is alike in every channel, and a layer scale of 1e-6 drowns its branch. So
the proof is given twice, for the network's own weights and for weights that were jittered, where no two are alike.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import ProofError
from edgeprune.graph.capture import evaluating
from edgeprune.graph.draws import constant_draws
from edgeprune.graph.jitter import jittered
from edgeprune.graph.rewrite import Kept, Rewritten, rewrite, slice_tensor
from edgeprune.graph.simulate import Simulated
from edgeprune.graph.units import Units
from edgeprune.model.outputs import distance, tensors

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest error allowed, relative to the largest output: what float32 sums in another order leave."""

_DEFECT = (
    "This is a defect of EdgePrune, not of your network: please report it. Excluding layers (exclude=[...]) until the "
    "proof holds shows where it lies"
)


@dataclass(frozen=True)
class Proof:
    """``max_error`` is the largest difference of any output, relative to the largest magnitude of that output.

    ``exact`` says whether zeros were the reference throughout; where it is false, calls that mix channels were
    checked against themselves on the slice that stays.
    """

    max_error: float
    exact: bool
    seconds: float


@dataclass(frozen=True)
class Reference:
    """Expected outputs of the pruned network for each set of ``states``: its own weights, and jittered ones."""

    states: tuple[Mapping[str, Tensor], ...]
    outputs: tuple[list[Tensor], ...]
    exact: bool
    seconds: float


def reference(units: Units, removed: Tensor, *, seed: int = 0, dtype: torch.dtype | None = None) -> Reference:
    """Run the dense network, before it is changed, with the units in the mask ``removed`` zeroed.

    ``dtype`` converts weights and inputs first, to tell rounding from mistakes.
    """
    begin = time.perf_counter()
    program = units.coordinates.program
    nodes = [node for node in program.graph.nodes if node.op == "get_attr" and node in units.coordinates.labels]
    # One tensor stays one, whatever it is called.
    converted = {id(program.tensor(node)): _convert(program.tensor(node), dtype) for node in nodes}
    own = {str(node.target): converted[id(program.tensor(node))] for node in nodes}
    weights = {name: tensor for name, tensor in own.items() if name in program.state}
    states = (own, {**own, **jittered(weights, seed)})
    outputs, exact = [], True
    for state in states:
        dense = Simulated(units, removed, state)
        inputs = [_convert(leaf, dtype, copy=True) for leaf in pytree.tree_leaves((program.args, dict(program.kwargs)))]
        with torch.no_grad(), constant_draws(program):
            outputs.append(tensors(dense.run(*inputs, enable_io_processing=False)))
        exact = exact and dense.exact
    return Reference(states, tuple(outputs), exact, time.perf_counter() - begin)


def measure(model: nn.Module, units: Units, kept: Kept, want: Reference, *, dtype: torch.dtype | None = None) -> Proof:
    """Measure how far the pruned ``model`` is from ``want``."""
    begin = time.perf_counter()
    program = units.coordinates.program
    # A tensor with several names is given once; functional_call finds the others.
    own = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    error = 0.0
    for at, (state, outputs) in enumerate(zip(want.states, want.outputs, strict=True)):
        given = (
            {}
            if at == 0 and dtype is None
            else {name: slice_tensor(tensor, kept.get(name, {})) for name, tensor in state.items() if name in own}
        )
        args, kwargs = pytree.tree_map(
            lambda leaf: _convert(leaf, dtype, copy=True), (program.args, dict(program.kwargs))
        )
        try:
            with evaluating(model), torch.no_grad(), constant_draws(program):
                got = tensors(torch.func.functional_call(model, given, args, kwargs))
        except Exception as problem:
            raise ProofError(f"the pruned network does not run: {problem}. {_DEFECT}") from problem
        error = max(error, distance(outputs, got))
    return Proof(error, want.exact, want.seconds + time.perf_counter() - begin)


def shrink(
    model: nn.Module,
    units: Units,
    removed: Tensor,
    *,
    prove: bool = True,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[Rewritten, Proof | None]:
    """``rewrite``, with the proof that it is right; without ``prove`` there is none.

    Raises:
        ProofError: the pruned network computes something else than the dense one without the removed units.
    """
    want = reference(units, removed) if prove and not copy else None
    rewritten = rewrite(model, units, removed, copy=copy, optimizer=optimizer)
    proof = verify(rewritten.model, units, removed, rewritten.kept, want) if prove else None
    return rewritten, proof


def verify(model: nn.Module, units: Units, removed: Tensor, kept: Kept, want: Reference | None = None) -> Proof:
    """Prove that ``model`` is the dense network without the units in the mask ``removed``.

    ``want`` is needed where the dense weights are gone, as they were sliced in place.

    Raises:
        ProofError: it computes something else.
    """
    proof = measure(model, units, kept, want or reference(units, removed))
    if not proof.max_error <= TOLERANCE and want is None:
        # Deep networks amplify rounding: in float64 only a mistake is left.
        try:
            double = reference(units, removed, dtype=torch.float64)
            proof = measure(model, units, kept, double, dtype=torch.float64)
        except Exception as problem:  # noqa: BLE001  a forward may insist on float32
            logger.info("no proof in float64: %s", problem)
    if not proof.max_error <= TOLERANCE:
        raise ProofError(
            f"the pruned network is wrong: its output is off by {proof.max_error:.1e} of the largest value, allowed is "
            f"{TOLERANCE:.0e}. {_DEFECT}"
        )
    return proof


def _convert(leaf: Any, dtype: torch.dtype | None, *, copy: bool = False) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    converted = leaf.detach().to(dtype) if dtype is not None and leaf.is_floating_point() else leaf.detach()
    return converted.clone() if copy else converted
