"""Comparison of an imported network with ONNX Runtime on the file."""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime
import torch
from torch import Tensor, nn

from edgeprune.errors import ModelError
from edgeprune.export.onnx_loading import first_line
from edgeprune.model.output_difference import distance
from edgeprune.onnx_import.source_graph import SourceGraph

_TOLERANCE = 1e-3
"""Largest error, relative to the largest output."""
_CONVERTED_TOLERANCE = 3e-2
"""The same for a file in float16, which ONNX Runtime computes with 11 bits."""


def check_outputs(source: SourceGraph, network: nn.Module, examples: Sequence[Sequence[Tensor]]) -> None:
    """Check that ``network`` computes on all examples as one batch what the file computes on each of them.

    Raises:
        ModelError: ONNX Runtime cannot run the file, or the outputs differ.
    """
    expected = [_run(source, example) for example in examples]
    with torch.no_grad():
        actual = network(*(torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*examples, strict=True)))
    outputs = actual if isinstance(actual, tuple) else (actual,)
    for name, output, *parts in zip(source.outputs, outputs, *expected, strict=True):
        want = [part.to(output.dtype) for part in parts]
        changed = [dim for dim, size in enumerate(want[0].shape) if output.shape[dim : dim + 1] != (size,)]
        joined = torch.cat(want, changed[0]) if len(want) > 1 and changed else want[0]
        error = distance([joined], [output], nan_equal=True)
        if not error <= (_CONVERTED_TOLERANCE if source.is_converted else _TOLERANCE):
            raise ModelError(
                f"{source.path}: output '{name}' of the imported network differs from that of ONNX Runtime by "
                f"{error:.1e} of the largest value, but at most {_TOLERANCE:.0e} is allowed. This is a defect of "
                "EdgePrune: please report it with the file"
            )


def _run(source: SourceGraph, example: Sequence[Tensor]) -> list[Tensor]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            source.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        types = {port.name: port.type for port in session.get_inputs()}
        feed = {
            port.name: value.numpy().astype(_NUMPY.get(types[port.name], value.numpy().dtype))
            for port, value in zip(source.inputs, example, strict=True)
        }
        return [torch.from_numpy(output) for output in session.run(None, feed)]
    except Exception as problem:  # of the runtime, and of types that numpy does not have
        raise ModelError(
            f"{source.path} cannot be verified, because ONNX Runtime does not run it: {first_line(problem)}"
        ) from problem


_NUMPY = {"tensor(float16)": "float16", "tensor(double)": "float64"}
