"""ONNX Runtime sessions for quantization, to compute values and to write the optimized graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeprune.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime


def load(
    model: Path | bytes,
    *,
    optimization: Literal["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"] = "ORT_ENABLE_ALL",
    optimized: Path | None = None,
    entries: Mapping[str, str] | None = None,
) -> onnxruntime.InferenceSession:
    """Load a session on the CPU that does not print warnings.

    Args:
        model: Path of a model, or its content.
        optimization: Level of graph optimization.
        optimized: Path for the optimized graph.
        entries: Entries of the session configuration.

    Raises:
        ModelError: The runtime cannot load the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, optimization)
    options.log_severity_level = 3  # errors, which are also raised
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as problem:  # its exceptions share no base class of their own
        raise ModelError(f"ONNX Runtime cannot load the model during quantization: {problem}") from problem
