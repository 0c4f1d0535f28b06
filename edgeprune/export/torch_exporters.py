"""Common interface of PyTorch's two ONNX exporters. Their prints and warnings are logged."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx
import torch

from edgeprune.export.composed_pooling import ComposedPooling
from edgeprune.export.flat_io import FlatNetwork
from edgeprune.export.output_capture import logged

logger = logging.getLogger(__name__)

_LOWEST_OF_TORCH_EXPORT = 18
_CHATTY = ("torch.onnx", "onnxscript", "onnx_ir")


class ExportFailed(Exception):  # noqa: N818 - never leaves this room
    """The exporter cannot write this network. Another exporter may be able to."""


@dataclass(frozen=True)
class ExportRequest:
    """Request for an ONNX file.

    Attributes:
        flat: Network with its example.
        opset: Requested opset of the file.
        dynamic_batch: Whether dimension 0 of inputs and outputs is dynamic.
    """

    flat: FlatNetwork
    opset: int
    dynamic_batch: bool


@dataclass(frozen=True)
class Exporter:
    """Exporter from PyTorch to ONNX.

    Attributes:
        name: Name in reports.
        write: Function that returns the raw model. Its opset may be higher than requested.
    """

    name: str
    write: Callable[[ExportRequest], onnx.ModelProto]

    def export(self, request: ExportRequest) -> onnx.ModelProto:
        """Write the model.

        Raises:
            ExportFailed: The exporter fails. The message has the first line of its reason.
        """
        try:
            with logged(logger, *_CHATTY), _composed_attention():
                return self.write(request)
        except Exception as problem:  # whatever an operator's converter raises
            raise ExportFailed(_reason(problem)) from problem


def _reason(problem: BaseException) -> str:
    """Return the root cause of ``problem``, which exporters wrap in instructions for bug reports."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"


def _trace(request: ExportRequest) -> onnx.ModelProto:
    flat = request.flat
    names = (*flat.input_names, *flat.output_names)
    buffer = io.BytesIO()
    with ComposedPooling():
        torch.onnx.export(
            flat,
            flat.inputs,
            buffer,  # type: ignore[arg-type] # tracing takes a stream; the annotation is that of the other exporter
            dynamo=False,
            opset_version=request.opset,
            input_names=list(flat.input_names),
            output_names=list(flat.output_names),
            dynamic_axes={name: {0: "batch"} for name in names} if request.dynamic_batch else None,
        )
    return onnx.load_from_string(buffer.getvalue())


def _torch_export(request: ExportRequest) -> onnx.ModelProto:
    flat = request.flat
    inputs, shapes = flat.inputs, None
    if request.dynamic_batch:
        # torch.export takes a dimension of size 1 for a constant, so the example's batch is doubled.
        inputs = tuple(torch.cat([value, value]) for value in inputs)
        shapes = (tuple({0: torch.export.Dim("batch")} for _ in inputs),)
    program = torch.onnx.export(
        flat,
        inputs,
        dynamo=True,
        opset_version=max(request.opset, _LOWEST_OF_TORCH_EXPORT),
        input_names=list(flat.input_names),
        output_names=list(flat.output_names),
        dynamic_shapes=shapes,
        optimize=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter returned no model")
    return program.model_proto


by_tracing = Exporter("tracing", _trace)
by_torch_export = Exporter("torch.export", _torch_export)


@contextlib.contextmanager
def _composed_attention() -> Iterator[None]:
    """Compute attention with basic operators. ONNX has no counterpart of the fused operator of eval mode."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
