"""Change what is left so that it does what the whole did: layer by layer, in closed form, before any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from edgeprune.cost import peak_activation_bytes
from edgeprune.graph import RewrittenModel, Units
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rewrite import slice_tensor
from edgeprune.model.seeding import generator
from edgeprune.progress import SILENT, Progress
from edgeprune.repair.least_squares import PairedMoments, least_squares, shift
from edgeprune.repair.paired_execution import PairedExecution
from edgeprune.statistics import Samples
from edgeprune.statistics.forward_backward import batches
from edgeprune.statistics.linear_layers import LinearLayer, layers_of

_NORM = ("weight", "bias", "running_mean", "running_var")

Method = Literal["bias", "least_squares"]

_HELD_BYTES = 1 << 30
"""Activations held at once, of both networks; as many samples are read as fit."""
_ROWS_PER_FEATURE = 64
"""Rows of a layer's input, for each of its features, that its moments are taken of."""


def reconstruct(
    units: Units,
    removed: Tensor,
    samples: Samples,
    method: Method = "least_squares",
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Tensor]:
    """Refit every layer behind a removed unit to the outputs of the dense network.

    Layers are taken in the order of the program, each on what the repaired ones before it give, so that errors do not
    add up. ``bias`` moves biases alone, ``least_squares`` weights and biases. A layer without a bias takes the shift in
    the running mean of the BatchNorm behind it; where there is none either, ``bias`` leaves it.

    Every BatchNorm behind a removed unit then takes the mean and variance of what it reads now, and its scale and shift
    make up for that, so that the function stays. Without it, training would begin by undoing the repair: in training
    mode statistics are those of the batch, and what was fitted varies less than the dense outputs.

    Args:
        units: Of the dense program.
        removed: Mask of the units that go, (units,).
        samples: Inputs; labels are not used. No more are read than hold their activations in 1 GiB.
        method: What to change.
        seed: Of the positions that are drawn where a layer has more rows than needed.
        progress: Told of every call.

    Returns:
        New values by state-dict name, of dense shape; ``put`` writes them into the pruned network.
    """
    layers = layers_of(units)
    lockstep = PairedExecution(units, removed, _held(units, samples))
    gone, dense = units.gone(removed), _state(units)
    progress.start(len(units.coordinates.program.graph.nodes))
    for node in lockstep.calls():
        layer = layers.get(node)
        if layer is None:
            lockstep.change(_renormalised(units, node, lockstep, dense))
        else:
            kept = ~gone[layer.site.consumption.ids]
            inputs = list(lockstep.inputs(node, "input"))
            lockstep.change(_refitted(layer, kept, inputs, dense, method=method, seed=seed))
        progress.advance()
    return lockstep.state


def put(tensors: Mapping[str, Tensor], rewritten: RewrittenModel) -> None:
    """Write tensors of dense shape into the pruned network."""
    model = rewritten.model
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(slice_tensor(tensor, rewritten.kept.get(name, {})))


def _refitted(
    layer: LinearLayer,
    kept: Tensor,
    inputs: list[tuple[Tensor, Tensor]],
    state: Mapping[str, Tensor],
    *,
    method: Method,
    seed: int,
) -> dict[str, Tensor]:
    """New tensors of one layer, given its ``inputs`` in both networks; none where these are the same."""
    if all(torch.equal(pruned, dense) for pruned, dense in inputs):
        return {}
    weight = state[layer.weight]
    matrix, there = layer.matrix(weight.cpu()), layer.kept_features(kept)
    moments = PairedMoments(layer.groups, matrix.shape[2])
    share = _ROWS_PER_FEATURE * matrix.shape[2] / sum(layer.positions(dense) for _, dense in inputs)
    for index, pair in enumerate(inputs):
        # The same positions of both networks.
        moments.add(*(layer.rows(value, share, generator(seed, index)) for value in pair))
    movable = layer.bias or layer.mean
    fitted, tensors = matrix * there[:, None, :], {}
    if method == "least_squares":
        fitted = least_squares(matrix, there, moments, shifts=movable is not None)
        tensors[layer.weight] = fitted.reshape(weight.shape).to(weight)
    if movable is not None:
        moved = shift(matrix, fitted, moments).flatten().to(state[movable])
        tensors[movable] = state[movable] + (moved if layer.bias else -moved)
    return tensors


def _renormalised(
    units: Units, node: fx.Node, lockstep: PairedExecution, dense: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """New tensors of a BatchNorm that computes the same from the statistics of what it reads now."""
    if not (is_operator_call(node) and operator_name(node.target) == "aten.batch_norm"):
        return {}
    call = Call(units.coordinates.program, node, units.coordinates.labels)
    names = {key: str(call[key].target) for key in _NORM if call[key] is not None}
    if len(names) < len(_NORM) or not dense.keys() >= set(names.values()):
        return {}
    values = list(lockstep.inputs(node, "input"))
    if all(torch.equal(pruned, whole) for pruned, whole in values):
        return {}
    channels = [pruned.transpose(0, 1).flatten(1).double() for pruned, _ in values]
    count = sum(rows.shape[1] for rows in channels)
    mean = torch.stack([rows.sum(1) for rows in channels]).sum(0) / count
    variance = torch.stack([(rows - mean[:, None]).square().sum(1) for rows in channels]).sum(0) / count
    known = {key: lockstep.state.get(name, dense[name]) for key, name in names.items()}
    eps = float(call["eps"])
    scale = known["weight"] / (known["running_var"] + eps).sqrt()
    new = {
        "weight": scale * (variance + eps).sqrt(),
        "bias": known["bias"] + scale * (mean - known["running_mean"]),
        "running_mean": mean,
        "running_var": variance,
    }
    return {names[key]: tensor.to(known[key]) for key, tensor in new.items()}


def _state(units: Units) -> dict[str, Tensor]:
    """The dense network's tensors that the program reads, by name."""
    program = units.coordinates.program
    reads = {str(node.target): program.attribute(node) for node in program.graph.nodes if node.op == "get_attr"}
    return {name: value.detach() for name, value in reads.items() if isinstance(value, Tensor)}


def _held(units: Units, samples: Samples) -> list[list[Any]]:
    """Flat inputs of as many batches as may be held, at least one."""
    program = units.coordinates.program
    example = next(
        leaf for leaf in pytree.tree_leaves((program.args, dict(program.kwargs))) if isinstance(leaf, Tensor)
    )
    none = torch.zeros(len(units), dtype=torch.bool)
    count = _HELD_BYTES * example.shape[0] // (2 * peak_activation_bytes(units, none))
    held: list[list[Any]] = []
    read = 0
    for inputs, _, size in batches(units, samples):
        if held and read + size > count:
            break
        held.append(inputs)
        read += size
    return held
