"""Export of a network to a self-contained, simplified and checked ONNX file, with equal bytes for equal input.

PyTorch has two exporters. Tracing exports a ResNet-56 in a tenth of the time of the exporter on ``torch.export``, and
writes the requested opset. The exporter on ``torch.export`` supports more operators, but no opset below 18, so
``opset_conversion.lower`` must follow. After simplification, the nodes, latency and size are equal
(``scripts/bench_export.py``). EdgePrune therefore uses tracing first. It uses the other exporter if tracing does not
support an operator, would write the batch size as a constant, or changes the outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch
from torch import nn

from edgeprune import files
from edgeprune.errors import ModelError
from edgeprune.export import onnx_cleanup
from edgeprune.export import opset_conversion as opsets
from edgeprune.export.flat_io import Example, FlatNetwork
from edgeprune.export.float32_network import as_float32, without_autocast
from edgeprune.export.output_capture import captured
from edgeprune.export.torch_exporters import Exporter, ExportFailed, ExportRequest, by_torch_export, by_tracing
from edgeprune.model.eval_mode import eval_mode
from edgeprune.model.output_difference import distance

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-3
"""Largest allowed error, relative to the largest output."""
_SMALL = 1e-3
"""Lower limit of the magnitude to which errors are relative."""


@dataclass(frozen=True)
class OnnxModel:
    """Exported ONNX file.

    Attributes:
        path: Path of the file.
        file_bytes: Size of the file, including the weights, in bytes.
        nodes: Number of operators in its graph.
        opset: Version of the default operator set.
        input_names: Names of the inputs, in the order of the network's arguments.
        output_names: Names of the outputs, in the order of the network's output tensors.
        exporter: Name of the exporter: ``tracing`` or ``torch.export``.
    """

    path: Path
    file_bytes: int
    nodes: int
    opset: int
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    exporter: str


def export(
    model: nn.Module,
    example: Example,
    path: Path,
    *,
    opset: int = 17,
    dynamic_batch: bool = False,
    simplify: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> OnnxModel:
    """Export ``model`` in eval mode to ``path`` atomically. The file is in float32, whatever the types of the network.

    Args:
        model: Network: a module, or a captured program (``torch.export.export(...).module()``).
        example: Arguments of the network, by position or by name: pytrees of tensors, whose dimension 0 is the batch,
            and constants. Each tensor is an input of the file, see ``flat_io.input_names``; constants are part of the
            file. Without ``dynamic_batch``, the file accepts only these shapes.
        path: Path of the ``.onnx`` file.
        opset: Opset of the file, at least 17.
        dynamic_batch: Whether dimension 0 of every input and output is dynamic, with the name ``batch``. The file is
            then also compared with ``model`` at another batch size.
        simplify: Whether to run onnxsim.
        metadata: Entries of the file's ``metadata_props``.

    Raises:
        ModelError: The network fails on the example, has an operator that neither exporter supports in ``opset``, works
            only for one batch size although ``dynamic_batch`` is set, or needs more than 2 GB.
    """
    original = model
    model, example = as_float32(model, example)
    with eval_mode(model), torch.no_grad(), without_autocast():
        try:
            flat = FlatNetwork(model, example)
        except ModelError as problem:
            if model is original:
                raise
            raise ModelError(
                f"{problem}. The network was converted to float32: remove conversions such as .double() from forward"
            ) from problem
        request = ExportRequest(flat, opset=opset, dynamic_batch=dynamic_batch)
        proto, exporter = _first_that_works(request, simplify=simplify)
    content = _finished(proto, metadata or {})
    files.write_atomic(path, content)
    return OnnxModel(
        path=path,
        file_bytes=len(content),
        nodes=len(proto.graph.node),
        opset=opsets.version(proto),
        input_names=flat.input_names,
        output_names=flat.output_names,
        exporter=exporter.name,
    )


def _first_that_works(request: ExportRequest, *, simplify: bool) -> tuple[onnx.ModelProto, Exporter]:
    problems: list[str] = []
    for exporter in (by_tracing, by_torch_export):
        try:
            return _written(request, exporter, simplify=simplify), exporter
        except ExportFailed as problem:  # noqa: PERF203 - there are two
            logger.info("export by %s: %s", exporter.name, problem)
            problems.append(f"by {exporter.name}: {problem}")
    raise ModelError(
        f"the network cannot be exported to ONNX with opset {request.opset}"
        f"{' and an open batch size' if request.dynamic_batch else ''}\n  " + "\n  ".join(problems)
    )


def _written(request: ExportRequest, exporter: Exporter, *, simplify: bool) -> onnx.ModelProto:
    proto = opsets.lower(exporter.export(request), request.opset)
    if simplify:
        proto = _simplified(proto)
    proto = onnx_cleanup.tidy(ir.from_proto(proto))
    _check(proto, request.flat)
    if request.dynamic_batch:
        _check(proto, request.flat, twice=True)
    return proto


def _simplified(proto: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    try:
        # Parity with PyTorch on real samples follows; onnxsim's own check on random input would add nothing.
        with captured(2) as printed:  # that it does not compute parts without inputs, which stay as they are
            simplified: onnx.ModelProto = onnxsim.simplify(proto, check_n=0)[0]
    except Exception as problem:  # whatever its C++ side throws
        raise ExportFailed(f"onnxsim fails: {problem}; set export.simplify = false to skip it") from problem
    logger.debug("printed: %s", printed.text.rstrip())
    return simplified


def _check(proto: onnx.ModelProto, flat: FlatNetwork, *, twice: bool = False) -> None:
    """Compare the file with the network on the example, or on ``twice`` its batch.

    An exporter may write the example's batch size as a constant, and tracing loses in-place writes through a view.
    """
    import onnxruntime

    inputs = tuple(torch.cat([value, value.flip(-1)]) for value in flat.inputs) if twice else flat.inputs
    where = "at another batch size" if twice else "on the example"
    try:
        expected = flat(*inputs)
    except Exception as problem:
        raise ModelError(
            f"the network works with batch size {len(flat.inputs[0])} but not with {len(inputs[0])}, so it cannot be "
            f"exported with export.dynamic_batch = true: {problem}"
        ) from problem
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised below
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        actual = session.run(None, {name: value.numpy() for name, value in zip(flat.input_names, inputs, strict=True)})
    except Exception as problem:  # its exceptions share no base class of their own
        raise ExportFailed(f"fails {where}: {problem}") from problem
    error = distance(expected, [torch.from_numpy(array) for array in actual], smallest=_SMALL)
    if not error <= _TOLERANCE:
        raise ExportFailed(f"returns other outputs than the network {where} (relative error {error:.2g})")


def _finished(proto: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    import onnx

    onnx.helper.set_model_props(proto, {"edgeprune": version("edgeprune"), **dict(sorted(metadata.items()))})
    try:
        onnx.checker.check_model(proto, full_check=True)
        return bytes(proto.SerializeToString(deterministic=True))
    except ValueError as problem:  # protobuf ends at 2 GB
        raise ModelError(f"the network is too large for one ONNX file: {problem}") from problem
