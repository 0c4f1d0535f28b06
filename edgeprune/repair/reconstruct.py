"""Reconstruction of the outputs of the dense network by the pruned one, layer by layer, in closed form.

1. Run the dense and the pruned network in parallel, one call at a time.
2. At a convolution or linear layer with changed inputs, refit weight and bias to the outputs of the dense network.
3. At a BatchNorm with changed inputs, compute new statistics, and adapt scale and shift so that its function is the
   same.

Complexity: two forward passes, and O(features^3) for each refitted layer.
"""

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

_MAX_STORED_BYTES = 1 << 30
"""Maximum size of the stored activations of both networks in bytes. It limits the number of samples."""
_ROWS_PER_FEATURE = 64
"""Number of input rows from which the moments of a layer are computed, for each of its features."""


def reconstruct(
    units: Units,
    removed: Tensor,
    samples: Samples,
    method: Method = "least_squares",
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Tensor]:
    """Refit each layer after a removed unit to the outputs of the dense network.

    Layers are refitted in the order of the program, on the outputs of the repaired layers before them, so that errors
    do not accumulate. ``bias`` changes only biases, ``least_squares`` changes weights and biases. For a layer without a
    bias, the running mean of the next BatchNorm is shifted. Without such a BatchNorm, ``bias`` does not change it.

    Each BatchNorm after a removed unit gets the mean and variance of its current inputs. Its scale and shift compensate
    for this, so that its function is the same. Otherwise, training would undo the repair: training mode uses the
    statistics of the batch, and the fitted outputs vary less than the dense outputs.

    Args:
        units: Units of the dense program.
        removed: Mask of the removed units, (units,).
        samples: Samples to run, up to 1 GiB of activations. Labels are not used.
        method: Tensors to change. Defaults to weights and biases.
        seed: Seed of the positions that are drawn if a layer has more rows than required. Defaults to 0.
        progress: Progress in calls.

    Returns:
        New tensors of dense shape, by name in the state dict. ``put`` writes them into the pruned network.
    """
    layers = layers_of(units)
    execution = PairedExecution(units, removed, _stored_batches(units, samples))
    removed_ids, dense = units.removed_ids(removed), _state(units)
    progress.start(len(units.coordinates.program.graph.nodes))
    for node in execution.calls():
        layer = layers.get(node)
        if layer is None:
            execution.change(_refit_norm(units, node, execution, dense))
        else:
            kept_inputs = ~removed_ids[layer.site.consumption.ids]
            inputs = list(execution.inputs(node, "input"))
            execution.change(_refit_layer(layer, kept_inputs, inputs, dense, method=method, seed=seed))
        progress.advance()
    return execution.state


def put(tensors: Mapping[str, Tensor], rewritten: RewrittenModel) -> None:
    """Write tensors of dense shape into the pruned network."""
    model = rewritten.model
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(slice_tensor(tensor, rewritten.kept_indices.get(name, {})))


def _refit_layer(
    layer: LinearLayer,
    kept_inputs: Tensor,
    inputs: list[tuple[Tensor, Tensor]],
    state: Mapping[str, Tensor],
    *,
    method: Method,
    seed: int,
) -> dict[str, Tensor]:
    """Return the new tensors of one layer for its ``inputs`` in both networks. Empty if these are equal."""
    if all(torch.equal(pruned, dense) for pruned, dense in inputs):
        return {}
    weight = state[layer.weight]
    matrix, remaining = layer.matrix(weight.cpu()), layer.kept_features(kept_inputs)
    moments = PairedMoments(layer.groups, matrix.shape[2])
    fraction = _ROWS_PER_FEATURE * matrix.shape[2] / sum(layer.positions(dense) for _, dense in inputs)
    for index, pair in enumerate(inputs):
        # The same positions of both networks.
        moments.add(*(layer.rows(value, fraction, generator(seed, index)) for value in pair))
    bias_name = layer.bias or layer.mean
    fitted, tensors = matrix * remaining[:, None, :], {}
    if method == "least_squares":
        fitted = least_squares(matrix, remaining, moments, shifts=bias_name is not None)
        tensors[layer.weight] = fitted.reshape(weight.shape).to(weight)
    if bias_name is not None:
        moved = shift(matrix, fitted, moments).flatten().to(state[bias_name])
        tensors[bias_name] = state[bias_name] + (moved if layer.bias else -moved)
    return tensors


def _refit_norm(
    units: Units, node: fx.Node, execution: PairedExecution, dense: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the new tensors of a BatchNorm with the same function and the statistics of its current inputs."""
    if not (is_operator_call(node) and operator_name(node.target) == "aten.batch_norm"):
        return {}
    call = Call(units.coordinates.program, node, units.coordinates.labels)
    names = {key: str(call[key].target) for key in _NORM if call[key] is not None}
    if len(names) < len(_NORM) or not dense.keys() >= set(names.values()):
        return {}
    values = list(execution.inputs(node, "input"))
    if all(torch.equal(pruned, dense_value) for pruned, dense_value in values):
        return {}
    channels = [pruned.transpose(0, 1).flatten(1).double() for pruned, _ in values]
    count = sum(rows.shape[1] for rows in channels)
    mean = torch.stack([rows.sum(1) for rows in channels]).sum(0) / count
    variance = torch.stack([(rows - mean[:, None]).square().sum(1) for rows in channels]).sum(0) / count
    tensors_by_key = {key: execution.state.get(name, dense[name]) for key, name in names.items()}
    eps = float(call["eps"])
    scale = tensors_by_key["weight"] / (tensors_by_key["running_var"] + eps).sqrt()
    new = {
        "weight": scale * (variance + eps).sqrt(),
        "bias": tensors_by_key["bias"] + scale * (mean - tensors_by_key["running_mean"]),
        "running_mean": mean,
        "running_var": variance,
    }
    return {names[key]: tensor.to(tensors_by_key[key]) for key, tensor in new.items()}


def _state(units: Units) -> dict[str, Tensor]:
    """Return the tensors of the dense network that the program reads, by name."""
    program = units.coordinates.program
    reads = {str(node.target): program.attribute(node) for node in program.graph.nodes if node.op == "get_attr"}
    return {name: value.detach() for name, value in reads.items() if isinstance(value, Tensor)}


def _stored_batches(units: Units, samples: Samples) -> list[list[Any]]:
    """Return the flat inputs of as many batches as can be stored, at least one."""
    program = units.coordinates.program
    example = next(
        leaf for leaf in pytree.tree_leaves((program.args, dict(program.kwargs))) if isinstance(leaf, Tensor)
    )
    none = torch.zeros(len(units), dtype=torch.bool)
    count = _MAX_STORED_BYTES * example.shape[0] // (2 * peak_activation_bytes(units, none))
    stored: list[list[Any]] = []
    read = 0
    for inputs, _, size in batches(units, samples):
        if stored and read + size > count:
            break
        stored.append(inputs)
        read += size
    return stored
