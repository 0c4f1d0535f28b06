"""Numerical check that the pruned network is equivalent to the dense network without the removed units.

The dense program is run with the removed coordinates set to zero where a call sums over them. The outputs of the pruned
network must be equal to its outputs. Calls that mix remaining and removed channels (LayerNorm) have no such zero; there
the reference is the operator itself on the remaining slice.

Some weights hide mistakes: a newly initialized BatchNorm is the same in every channel, and a layer scale of 1e-6 makes
its branch negligible. The check therefore runs twice: with the network's weights, and with jittered weights, all of
which differ.
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

from edgeprune.errors import EquivalenceError
from edgeprune.graph.capture import evaluating
from edgeprune.graph.masked_execution import MaskedProgram
from edgeprune.graph.random_draws import constant_draws
from edgeprune.graph.remaining_states import remaining_inputs, remaining_outputs
from edgeprune.graph.rewrite import KeptIndices, RewrittenModel, rewrite, slice_tensor
from edgeprune.graph.units import Units
from edgeprune.graph.weight_noise import jittered
from edgeprune.model.output_difference import distance, tensors

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest error allowed, relative to the largest output: what float32 sums in another order leave."""

_DEFECT = (
    "This is a defect of EdgePrune, not of your network: please report it. Excluding layers (exclude=[...]) until the "
    "check passes shows which layer causes it"
)


@dataclass(frozen=True)
class Equivalence:
    """Result of the equivalence check.

    Attributes:
        max_error: Largest difference of any output, relative to the largest magnitude of that output.
        exact: Whether zeros were the reference everywhere. If False, calls that mix channels were compared with
            themselves on the remaining slice.
        seconds: Wall-clock duration of the check.
    """

    max_error: float
    exact: bool
    seconds: float


@dataclass(frozen=True)
class ReferenceOutputs:
    """Expected outputs of the pruned network.

    Attributes:
        states: Weights of the dense network, and jittered weights, by name.
        outputs: Expected output tensors for each set of weights.
        exact: Whether zeros were the reference everywhere.
        seconds: Wall-clock duration of the computation in seconds.
    """

    states: tuple[Mapping[str, Tensor], ...]
    outputs: tuple[list[Tensor], ...]
    exact: bool
    seconds: float


def reference(units: Units, removed: Tensor, *, seed: int = 0, dtype: torch.dtype | None = None) -> ReferenceOutputs:
    """Run the dense network, before it is changed, with the units in the mask ``removed`` set to zero.

    ``dtype`` converts weights and inputs first, to distinguish rounding from mistakes.
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
        dense = MaskedProgram(units, removed, state)
        inputs = [_convert(leaf, dtype, copy=True) for leaf in pytree.tree_leaves((program.args, dict(program.kwargs)))]
        with torch.no_grad(), constant_draws(program):
            outputs.append(remaining_outputs(units, removed, dense.run(*inputs, enable_io_processing=False)))
        exact = exact and dense.exact
    return ReferenceOutputs(states, tuple(outputs), exact, time.perf_counter() - begin)


def measure(
    model: nn.Module,
    units: Units,
    kept_indices: KeptIndices,
    expected: ReferenceOutputs,
    *,
    dtype: torch.dtype | None = None,
) -> Equivalence:
    """Measure the difference between the outputs of the pruned ``model`` and the expected outputs."""
    begin = time.perf_counter()
    program = units.coordinates.program
    # A tensor with several names is given once; functional_call finds the others.
    own = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    inputs = remaining_inputs(units, units.removed(kept_indices))
    error = 0.0
    for at, (state, outputs) in enumerate(zip(expected.states, expected.outputs, strict=True)):
        replacements = (
            {}
            if at == 0 and dtype is None
            else {
                name: slice_tensor(tensor, kept_indices.get(name, {})) for name, tensor in state.items() if name in own
            }
        )
        args, kwargs = pytree.tree_map(lambda leaf: _convert(leaf, dtype, copy=True), inputs)
        try:
            with evaluating(model), torch.no_grad(), constant_draws(program):
                pruned_outputs = tensors(torch.func.functional_call(model, replacements, args, kwargs))
        except Exception as problem:
            raise EquivalenceError(f"the pruned network does not run: {problem}. {_DEFECT}") from problem
        # Jittered weights may leave the domain of a logarithm or a root.
        error = max(error, distance(outputs, pruned_outputs, nan_equal=at > 0))
    return Equivalence(error, expected.exact, expected.seconds + time.perf_counter() - begin)


def shrink(
    model: nn.Module,
    units: Units,
    removed: Tensor,
    *,
    verify: bool = True,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[RewrittenModel, Equivalence | None]:
    """Rewrite ``model`` without the units in the mask ``removed``, and check that the result is equivalent.

    Args:
        model: Dense network.
        units: Units of ``model``.
        removed: Mask of the units to remove, (units,).
        verify: Whether to run the equivalence check.
        copy: Whether to leave ``model`` unchanged; if False, its tensors are sliced in place.
        optimizer: Optimizer whose state is sliced with the parameters; needs ``copy=False``.

    Returns:
        The pruned network, and the result of the equivalence check; None without ``verify``.

    Raises:
        EquivalenceError: The pruned network is not equivalent to the dense one without the removed units.
    """
    want = reference(units, removed) if verify and not copy else None
    rewritten = rewrite(model, units, removed, copy=copy, optimizer=optimizer)
    equivalence = verify_equivalence(rewritten.model, units, removed, rewritten.kept_indices, want) if verify else None
    return rewritten, equivalence


def verify_equivalence(
    model: nn.Module, units: Units, removed: Tensor, kept_indices: KeptIndices, expected: ReferenceOutputs | None = None
) -> Equivalence:
    """Check that ``model`` is equivalent to the dense network without the units in the mask ``removed``.

    Args:
        model: Pruned network.
        units: Units of the dense network.
        removed: Mask of the removed units, (units,).
        kept_indices: Remaining indices of each sliced tensor, by dimension.
        expected: Expected outputs; needed if the dense weights were sliced in place. None: they are computed.

    Raises:
        EquivalenceError: The outputs differ by more than ``TOLERANCE``.
    """
    outputs = expected or reference(units, removed)
    if any(bool(output.isnan().any()) for output in outputs.outputs[0]):
        raise EquivalenceError(
            "the network returns NaN without the removed units, for example for the variance over a single remaining "
            "channel: keep more units (min_units), or exclude the layers in front of such a call"
        )
    equivalence = measure(model, units, kept_indices, outputs)
    if not equivalence.max_error <= TOLERANCE and expected is None:
        # Deep networks amplify rounding: in float64 only a mistake is left.
        try:
            double = reference(units, removed, dtype=torch.float64)
            equivalence = measure(model, units, kept_indices, double, dtype=torch.float64)
        except Exception as problem:  # noqa: BLE001  a forward may insist on float32
            logger.info("no equivalence check in float64: %s", problem)
    if not equivalence.max_error <= TOLERANCE:
        raise EquivalenceError(
            f"the pruned network is not equivalent: its output differs by {equivalence.max_error:.1e} (relative), "
            f"allowed are {TOLERANCE:.0e}. {_DEFECT}"
        )
    return equivalence


def _convert(leaf: Any, dtype: torch.dtype | None, *, copy: bool = False) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    converted = leaf.detach().to(dtype) if dtype is not None and leaf.is_floating_point() else leaf.detach()
    return converted.clone() if copy else converted
