"""Import of a float ONNX file as a trainable module."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from edgeprune.errors import ModelError
from edgeprune.model.port_names import set_port_names
from edgeprune.onnx_import import shape_arithmetic
from edgeprune.onnx_import.batch_position import MixedBatchError
from edgeprune.onnx_import.import_check import check_outputs
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators import registered
from edgeprune.onnx_import.source_graph import SourceGraph, SourceInput, SourceNode, read_graph
from edgeprune.safe_text import printable

logger = logging.getLogger(__name__)

_SHOWN = 8


def load_onnx(path: Path | str, *, shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None) -> nn.Module:
    """Import a float ONNX file of any origin as a trainable module with the weights of the file as parameters.

    Batch normalization, convolutions, linear, recurrent and embedding layers become modules of torch, so that training
    updates statistics and ``EdgePrune`` can prune them. The names in the state dict are derived from the names of the
    initializers. A file that was exported for one batch size becomes a network for any batch size if that is possible;
    otherwise a warning states the reason. The outputs are compared with those of ONNX Runtime.

    Args:
        path: Path of the ``.onnx`` file.
        shape: Shape of the input with the batch first, or shapes by name of the input. It is required if the file has
            dynamic sizes other than the batch.

    Returns:
        The network, in evaluation mode. ``port_names(network)`` returns the names of its inputs and outputs in the
        file, which an export uses again, and ``network.meta["origins"]`` has the name in the file of each tensor of the
        state dict.

    Raises:
        ModelError: The file cannot be read or is not valid, has no float weights, has operators that cannot be imported
            (quantized arithmetic, control flow, operators of other domains), has dynamic sizes and ``shape`` is
            missing, or the network does not compute what ONNX Runtime computes.
    """
    network = import_file(Path(path), shape=shape)
    if next(network.parameters(), None) is None:
        raise ModelError(
            f"{path} has no float weights that can be trained: expected the file of a network, exported with its "
            "weights"
        )
    return network


def import_file(path: Path, *, shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None) -> nn.Module:
    """Import a file like ``load_onnx``, with or without weights."""
    supported = {*registered(), *shape_arithmetic.registered()}
    source = read_graph(path, supported)
    _check_operators(source, supported)
    network, examples = _import(source, _shapes(source, shape))
    if source.is_converted:
        logger.warning("%s has floats of other types than float32; the network computes in float32", path)
    check_outputs(source, network, examples)
    return network


def _check_operators(source: SourceGraph, supported: Collection[str]) -> None:
    """Raise an error that lists all nodes that cannot be imported."""
    problems = [
        f"{node.where}: {node.problem or 'an operator that has no importer'}"
        for node in source.nodes
        if node.problem or node.op not in supported
    ]
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        listed = "\n  ".join([*problems[:_SHOWN], *more])
        raise ModelError(
            f"{source.path} cannot be imported, because {len(problems)} of its {len(source.nodes)} nodes cannot; "
            "export the trained float network without runtime optimizations, or give its PyTorch code. The reference "
            f"page on operators lists those that can be imported:\n  {listed}"
        )


def _shapes(
    source: SourceGraph, shape: Sequence[int] | Mapping[str, Sequence[int]] | None
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input, with the batch size of the file, or 1 if it is dynamic."""
    if not source.inputs:
        raise ModelError(f"{source.path} has no inputs, so it is not the file of a network")
    if shape is not None and not isinstance(shape, Mapping):
        shape = {source.inputs[0].name: shape}
    unknown = sorted(set(shape or {}) - {port.name for port in source.inputs})
    if unknown:
        names = ", ".join(port.name for port in source.inputs)
        raise ModelError(f"{source.path} has no input '{unknown[0]}': its inputs are {printable(names)}")
    return {port.name: _shape(port, (shape or {}).get(port.name), source.path) for port in source.inputs}


def _shape(port: SourceInput, sizes: Sequence[int] | None, path: Path) -> tuple[int, ...]:
    where = f"{path}: input '{printable(port.name)}' has the shape ({', '.join(port.dims)})"
    if sizes is not None:
        is_same = all(own in (None, size) for own, size in zip(port.shape[1:], sizes[1:], strict=False))
        if len(sizes) != len(port.shape) or not is_same:
            raise ModelError(
                f"{where}, but model.input (--input) is ({', '.join(map(str, sizes))}): set it to a shape of the file"
            )
    complete = [own or (1 if dim == 0 else None) for dim, own in enumerate(port.shape)]
    if sizes is not None:
        complete[1:] = [own or size for own, size in zip(complete[1:], sizes[1:], strict=True)]
    if None in complete:
        raise ModelError(f"{where}, whose sizes are dynamic: give them as model.input (--input), or shape= in Python")
    return tuple(size for size in complete if size is not None)


def _import(source: SourceGraph, shapes: Mapping[str, tuple[int, ...]]) -> tuple[fx.GraphModule, list[list[Tensor]]]:
    """Return the network, and the examples it was built with: two for a free batch, one for a fixed one."""
    generator = torch.Generator().manual_seed(0)
    examples = [[_example(port, shapes[port.name], generator) for port in source.inputs] for _ in range(2)]
    batches = {shape[0] if shape else 0 for shape in shapes.values()}
    if len(batches) == 1 and 0 not in batches:
        both = [torch.cat(pair) for pair in zip(*examples, strict=True)]
        try:
            return _built(source, [*examples, both]), examples
        except (MixedBatchError, ModelError) as problem:  # one that remains for a fixed batch is raised below
            reason = str(problem)
    else:
        reason = "its inputs have no common batch size"
    try:
        network = _built(source, examples[:1])
    except ModelError as problem:
        raise ModelError(f"{source.path}: {problem}") from problem
    logger.warning("%s keeps its batch size: %s", source.path, reason)
    return network, examples[:1]


def _example(port: SourceInput, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return random numbers of a standard normal distribution, or zeros and ones for other types."""
    if port.dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=port.dtype)
    return torch.randint(0, 2, shape, generator=generator).to(port.dtype)


def _built(source: SourceGraph, lanes: list[list[Tensor]]) -> fx.GraphModule:
    readers: dict[str, list[SourceNode]] = {}
    remaining: dict[str, int] = {}
    for node in source.nodes:
        for name in filter(None, node.inputs):
            readers.setdefault(name, []).append(node)
    for name in source.outputs:
        readers.setdefault(name, []).append(SourceNode("", "", 0, (), ()))
    remaining = {name: len(nodes) for name, nodes in readers.items()}
    net = NetworkBuilder(source.inputs, lanes, source.initializers, readers)
    for node in source.nodes:
        net.node = node
        if not net.is_imported(node):
            _import_node(node, net)
        finished = []
        for name in filter(None, node.inputs):
            remaining[name] -= 1
            if not remaining[name]:
                finished.append(name)
        net.forget(finished)
    network = net.finish(source.outputs)
    set_port_names(network, [port.name for port in source.inputs], source.outputs)
    return network


def _import_node(node: SourceNode, net: NetworkBuilder) -> None:
    on_shapes = shape_arithmetic.registered().get(node.op)
    operands = [net.operand(name) for name in node.inputs if name]
    if on_shapes is not None and operands and on_shapes.applies(operands):
        net.write(on_shapes.compute(node, net))
    elif node.op in registered():
        registered()[node.op](node, net)
    else:
        raise node.unsupported("tensors as its input", "applied to shapes only")
