"""Static int8 quantization of a float ONNX file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from onnx import ModelProto

from edgeprune import files
from edgeprune.errors import InputError
from edgeprune.export.parity import ROUNDING
from edgeprune.model.splits import Split
from edgeprune.progress import SILENT, Progress
from edgeprune.quantize import activation_ranges, mixed_precision, qdq_insertion
from edgeprune.quantize.activation_ranges import DEFAULT, METHODS, Method
from edgeprune.quantize.calibration_samples import CalibrationSamples
from edgeprune.quantize.equalization import equalize
from edgeprune.quantize.integer_fusion import Activations
from edgeprune.quantize.mixed_precision import SensitiveNode
from edgeprune.quantize.prepare_onnx import PreparedModel, prepare

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

logger = logging.getLogger(__name__)

_RANKING_SAMPLES = 32


@dataclass(frozen=True)
class AccuracyBudget:
    """Limits on the accuracy that a quantization may lose.

    Attributes:
        drop: Largest allowed drop of top-1 accuracy, 0..1.
        float_accuracy: Accuracy of the float file, by ``accuracy``.
        accuracy: Function that returns the top-1 accuracy of an ONNX file on the runtime, on samples that are not used
            for calibration.
    """

    drop: float
    float_accuracy: float
    accuracy: Callable[[Path], float]


@dataclass(frozen=True)
class QuantizedModel:
    """Result of ``quantize``: an int8 file.

    Attributes:
        path: Path of the file.
        file_bytes: Size of the file in bytes.
        samples: Number of calibration samples.
        quantized_nodes: Names of quantized nodes, in the model's order.
        float_nodes: Nodes with weights that remain float to meet the budget, the most sensitive first.
        equalized: Names of each pair of equalized convolutions.
        accuracy: Accuracy of the file, measured by the function in the budget; None without a budget.
        meets_budget: Whether the accuracy is within the budget; True without a budget.
    """

    path: Path
    file_bytes: int
    samples: int
    quantized_nodes: tuple[str, ...]
    float_nodes: tuple[SensitiveNode, ...]
    equalized: tuple[tuple[str, str], ...]
    accuracy: float | None
    meets_budget: bool


def quantize(
    source: Path,
    path: Path,
    split: Split,
    *,
    method: Method = DEFAULT,
    samples: int = 256,
    seed: int = 0,
    activations: Activations = "int8",
    equalization: bool = False,
    budget: AccuracyBudget | None = None,
    progress: Progress = SILENT,
) -> QuantizedModel:
    """Quantize the float ONNX file ``source`` to static int8 and write it to ``path`` atomically.

    The result is in QDQ format with the inputs and outputs of ``source``. Equal arguments give equal bytes.

    Args:
        source: Path of a float model with one float input and batch size 1 or an open batch.
        path: Path of the new file.
        split: Split for calibration, see ``CalibrationSamples``.
        method: Calibration method.
        samples: Maximum number of calibration samples.
        seed: Seed of their random selection.
        activations: Type of activations: ``int8`` for Arm and TensorRT, see ``activations_for``.
        equalization: Whether to equalize the ranges of convolutions first.
        budget: Accuracy budget. If it is not met, the most sensitive nodes remain float.
        progress: Progress indicator, which advances by one for each calibration sample.

    Raises:
        InputError: The method does not exist.
        DataError: The calibration samples are empty, not finite, or have a wrong shape.
        ModelError: The model cannot be read, run or quantized.
    """
    if method not in METHODS:
        raise InputError(f"calibration: got {method!r}, must be one of {', '.join(METHODS)}")
    prepared = prepare(source)
    calibration = CalibrationSamples(split, samples, seed)
    count = calibration.check(prepared.shape)
    pairs: tuple[tuple[str, str], ...] = ()
    if equalization:
        equal = equalize(prepared.model)
        prepared, pairs = replace(prepared, model=equal.model), equal.pairs
    progress.start(count)
    ranges = activation_ranges.calibrate(prepared, calibration, method=method, progress=progress)
    calibrated = _CalibratedModel(prepared, ranges, calibration, activations)
    result = calibrated.quantize_all() if budget is None else calibrated.quantize_within(budget)
    content = result.model.SerializeToString(deterministic=True)
    files.write_atomic(path, content)
    return QuantizedModel(
        path, len(content), count, tuple(result.names), result.float_nodes, pairs, result.accuracy, result.meets_budget
    )


@dataclass(frozen=True)
class _QuantizationResult:
    model: ModelProto
    names: Sequence[str]
    float_nodes: tuple[SensitiveNode, ...] = ()
    accuracy: float | None = None
    meets_budget: bool = True


@dataclass(frozen=True)
class _CalibratedModel:
    """Calibrated model, ready to be quantized."""

    prepared: PreparedModel
    ranges: TensorsData
    samples: CalibrationSamples
    activations: Activations

    def quantize_all(self, kept_float: Sequence[SensitiveNode] = ()) -> _QuantizationResult:
        """Quantize all nodes that can be quantized except ``kept_float``."""
        names = {node.name for node in kept_float}
        model, quantized = qdq_insertion.quantized(
            self.prepared.model, self.ranges, activations=self.activations, kept_float=names
        )
        return _QuantizationResult(model, quantized, tuple(node for node in kept_float if node.name not in quantized))

    def quantize_within(self, budget: AccuracyBudget) -> _QuantizationResult:
        """Quantize with the smallest number of float nodes that meets the budget."""
        result = self.quantize_all()
        lowest = budget.float_accuracy - budget.drop - ROUNDING
        accuracy = _measured(result.model, budget)
        if accuracy >= lowest:
            return replace(result, accuracy=accuracy)
        ranking_samples = list(islice(self.samples, _RANKING_SAMPLES))
        nodes = mixed_precision.ranked(self.prepared, self.ranges, result.names, ranking_samples, self.activations)
        mixed = mixed_precision.fewest(
            len(nodes),
            lambda count: _measured(self.quantize_all(nodes[:count]).model, budget),
            quantized=accuracy,
            lowest=lowest,
        )
        logger.info(
            "the %d most sensitive of %d nodes in float: accuracy %.4f", mixed.count, len(nodes), mixed.accuracy
        )
        return replace(
            self.quantize_all(nodes[: mixed.count]), accuracy=mixed.accuracy, meets_budget=mixed.meets_budget
        )


def _measured(model: ModelProto, budget: AccuracyBudget) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        return budget.accuracy(path)
