"""Construction of the pruned network: the user's module if its forward supports it, otherwise the captured program."""

from __future__ import annotations

import copy as copying
import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import EquivalenceError
from edgeprune.graph.capture import Program, evaluating, named_tensors
from edgeprune.graph.captured_module import captured_module
from edgeprune.graph.optimizer_state import check_optimizer, slice_optimizer
from edgeprune.graph.random_draws import constant_draws
from edgeprune.graph.remaining_states import Arguments, remaining_inputs
from edgeprune.graph.resize_graph import resize
from edgeprune.graph.size_attributes import fix_attributes
from edgeprune.graph.size_inference import infer_attributes
from edgeprune.graph.units import Units
from edgeprune.graph.weight_noise import jittered
from edgeprune.model.output_difference import distance, tensors
from edgeprune.model.port_names import copy_port_names

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-4
"""Largest relative error between two variants of the same program."""
KeptIndices = Mapping[str, Mapping[int, Tensor]]


@dataclass(frozen=True)
class RewrittenModel:
    """Pruned network.

    Attributes:
        model: Pruned network.
        kept_indices: Remaining indices of each sliced tensor, by dimension.
        form: ``module`` for the user's module with sliced tensors, ``captured`` for the captured program. The captured
            program is used if the forward contains sizes of the dense network, or computes with a size that pruning
            changes.
        rewritten: Names of the resized calls of the captured program.
    """

    model: nn.Module
    kept_indices: KeptIndices
    form: Literal["module", "captured"]
    rewritten: tuple[str, ...]


def rewrite(
    model: nn.Module,
    units: Units,
    removed: Tensor,
    *,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
) -> RewrittenModel:
    """Remove the units in the mask ``removed`` from ``model``.

    Args:
        model: Dense network.
        units: Units of ``model``.
        removed: Mask of the units to remove, (units,).
        copy: Whether to leave ``model`` unchanged. The new network contains only sliced copies of the weights. If
            False, tensors and their gradients are sliced in place.
        optimizer: Optimizer whose state is sliced with the parameters. Requires ``copy=False``.

    Raises:
        InputError: The state of the optimizer cannot be sliced.
        PlanError: A part of the network cannot be expressed at the smaller size.
    """
    check_optimizer(optimizer, model, copy=copy)
    kept_indices = units.kept_indices(removed)
    resized = resize(units, removed)
    program = units.coordinates.program
    dense = dict(named_tensors(model))
    if copy:
        small = {
            id(dense[name]): slice_tensor(dense[name], kept_indices[name]) for name in kept_indices if name in dense
        }
        own = copying.deepcopy(model, small)
    else:
        own = model
        # One tensor under two names is sliced once.
        for tensor, dims in {
            id(dense[name]): (dense[name], kept_indices[name]) for name in kept_indices if name in dense
        }.values():
            if optimizer is not None:
                slice_optimizer(optimizer, tensor, dims)
            _slice_in_place(tensor, dims)
    fix_attributes(own, resized.attributes)
    captured_names = [name for name in kept_indices if name not in dense]
    reads = [node for node in program.graph.nodes if node.op == "get_attr" and str(node.target) not in dense]
    attributes = {str(node.target): program.attribute(node) for node in reads}
    constants = {
        name: slice_tensor(it, kept_indices.get(name, {})) for name, it in attributes.items() if isinstance(it, Tensor)
    }
    bodies = {name: it for name, it in attributes.items() if isinstance(it, nn.Module)}
    volatile = frozenset({*_volatile(model), *constants, *resized.tables})
    state = {**dict(named_tensors(own)), **constants, **resized.tables}
    captured = captured_module(resized.graph, state, volatile, bodies).train(model.training)
    copy_port_names(model, captured)
    check = _OutputCheck(program, remaining_inputs(units, removed), own, captured)
    if check.passes() or infer_attributes(own, resized.sizes, check.passes):
        return RewrittenModel(own, kept_indices, "module", ())
    logger.info(
        "the forward of %s depends on sizes that pruning changes; using the captured program", type(model).__name__
    )
    return RewrittenModel(captured, kept_indices, "captured", tuple(resized.rewritten) + tuple(captured_names))


class _OutputCheck:
    """Check that the forward of the user runs at the smaller size and computes the outputs of the program.

    The forward may read a size that pruning changed (``x.shape[1] ** -0.5``), whereas the program contains the number
    of the dense network. Both are compared with their weights and with jittered weights, because a last layer that is
    initialized with zeros hides all differences before it.
    """

    def __init__(self, program: Program, inputs: Arguments, own: nn.Module, captured: nn.Module) -> None:
        self._program, self._inputs, self._own = program, inputs, own
        shared = captured.state_dict()
        weights = {name: tensor for name, tensor in named_tensors(own) if name in shared}
        self._states: tuple[Mapping[str, Tensor], ...] = ({}, jittered(weights))
        try:
            with evaluating(captured):
                self._expected = [self._outputs(captured, state) for state in self._states]
        except Exception as error:
            raise EquivalenceError(
                f"the pruned network does not run: {error}. This is a defect of EdgePrune"
            ) from error

    def passes(self) -> bool:
        for state, expected in zip(self._states, self._expected, strict=True):
            try:
                # A module of torch.fx prints where its forward fails.
                with evaluating(self._own), redirect_stderr(io.StringIO()):
                    actual = self._outputs(self._own, state)
            except Exception as error:  # noqa: BLE001  a forward may fail in any way
                logger.debug("the sliced module fails: %s", error)
                return False
            if not distance(expected, actual, nan_equal=True) <= _TOLERANCE:  # jittered weights may leave float32
                return False
        return True

    def _outputs(self, model: nn.Module, state: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the output tensors of ``model`` for the example, with the weights in ``state``.

        Random draws of the forward (noise, a dropout that is always active) are the same in every run.
        """
        names = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
        arguments = {name: tensor for name, tensor in state.items() if name in names}
        with torch.no_grad(), torch.random.fork_rng(devices=[]), constant_draws(self._program):
            torch.manual_seed(0)
            # A forward may write into its inputs.
            args, kwargs = pytree.tree_map_only(Tensor, torch.clone, self._inputs)
            return tensors(torch.func.functional_call(model, arguments, args, kwargs))


def _volatile(model: nn.Module) -> set[str]:
    """Return the names of the buffers that are not part of the state dict."""
    names = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    return names - set(model.state_dict())


def _slice_in_place(tensor: Tensor, kept_indices: Mapping[int, Tensor]) -> None:
    """Slice ``tensor`` and its gradient in place, without a new tensor object."""
    grad = None if tensor.grad is None else slice_tensor(tensor.grad, kept_indices)
    small = slice_tensor(tensor, kept_indices).data
    if tensor.requires_grad:
        # While a loss from before is alive, so is its record of the dense shape, and the next gradient would not fit.
        # Torch drops that record when the type changes.
        tensor.grad = None
        tensor.data = small.new_empty(0, dtype=torch.float16 if small.dtype != torch.float16 else torch.float32)
    tensor.data, tensor.grad = small, grad


def slice_tensor(tensor: Tensor, kept_indices: Mapping[int, Tensor]) -> Tensor:
    """Return the slice of ``tensor`` with the indices in ``kept_indices``. The slice of a parameter is a parameter."""
    small = tensor.detach()
    for dim, index in kept_indices.items():
        small = small.index_select(dim, index.to(tensor.device))
    return nn.Parameter(small, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else small
