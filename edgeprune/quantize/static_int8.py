"""From a float ONNX file to an int8 one, in one call."""

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
        drop: Top-1 share, 0..1.
        float_accuracy: Of the float file, by ``accuracy``.
        accuracy: Top-1 share of an ONNX file on the runtime, on samples that were not calibrated with.
    """

    drop: float
    float_accuracy: float
    accuracy: Callable[[Path], float]


@dataclass(frozen=True)
class QuantizedModel:
    """A written int8 file.

    Attributes:
        path: Of the file.
        file_bytes: Its size.
        samples: How many it was calibrated with.
        quantized_nodes: Names, in the model's order.
        float_nodes: Nodes with weights that stay float to keep the budget, the most sensitive first.
        equalized: Pairs of convolutions that were equalized.
        accuracy: Of the file by the budget's measure; None without a budget.
        kept: Whether it keeps the budget; True without one.
    """

    path: Path
    file_bytes: int
    samples: int
    quantized_nodes: tuple[str, ...]
    float_nodes: tuple[SensitiveNode, ...]
    equalized: tuple[tuple[str, str], ...]
    accuracy: float | None
    kept: bool


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
    """Write the float ONNX file ``source`` to ``path`` with static int8 quantization, whole or not at all.

    The result is QDQ with the inputs and outputs of ``source``; the same bytes for the same arguments.

    Args:
        source: One float input, batch 1 or open.
        path: Of the new file.
        split: To calibrate with, see ``CalibrationSamples``.
        method: Of calibration.
        samples: Of the split at most.
        seed: Of their draw.
        activations: ``int8`` for Arm and TensorRT; see ``activations_for``.
        equalization: Equalize the ranges of convolutions first.
        budget: Where it is missed, the most sensitive nodes stay float.
        progress: Advances by a calibration sample.

    Raises:
        InputError: There is no such method.
        DataError: Calibration samples that are none, not finite, or of another shape.
        ModelError: The model cannot be read, run or quantized.
    """
    if method not in METHODS:
        raise InputError(f"calibration: got {method!r}; there are {', '.join(METHODS)}")
    prepared = prepare(source)
    drawn = CalibrationSamples(split, samples, seed)
    count = drawn.check(prepared.shape)
    pairs: tuple[tuple[str, str], ...] = ()
    if equalization:
        equal = equalize(prepared.model)
        prepared, pairs = replace(prepared, model=equal.model), equal.pairs
    progress.start(count)
    ranges = activation_ranges.calibrate(prepared, drawn, method=method, progress=progress)
    work = _Work(prepared, ranges, drawn, activations)
    found = work.whole() if budget is None else work.within(budget)
    content = found.model.SerializeToString(deterministic=True)
    files.write_atomic(path, content)
    return QuantizedModel(
        path, len(content), count, tuple(found.names), found.float_nodes, pairs, found.accuracy, found.kept
    )


@dataclass(frozen=True)
class _Found:
    model: ModelProto
    names: Sequence[str]
    float_nodes: tuple[SensitiveNode, ...] = ()
    accuracy: float | None = None
    kept: bool = True


@dataclass(frozen=True)
class _Work:
    """A calibrated model."""

    prepared: PreparedModel
    ranges: TensorsData
    samples: CalibrationSamples
    activations: Activations

    def whole(self, kept_float: Sequence[SensitiveNode] = ()) -> _Found:
        """All that can be quantized but ``kept_float``."""
        names = {node.name for node in kept_float}
        model, quantized = qdq_insertion.quantized(
            self.prepared.model, self.ranges, activations=self.activations, kept_float=names
        )
        return _Found(model, quantized, tuple(node for node in kept_float if node.name not in quantized))

    def within(self, budget: AccuracyBudget) -> _Found:
        """With as many of the most sensitive nodes in float as the budget needs."""
        found = self.whole()
        lowest = budget.float_accuracy - budget.drop - ROUNDING
        accuracy = _measured(found.model, budget)
        if accuracy >= lowest:
            return replace(found, accuracy=accuracy)
        few = list(islice(self.samples, _RANKING_SAMPLES))
        nodes = mixed_precision.ranked(self.prepared, self.ranges, found.names, few, self.activations)
        mixed = mixed_precision.fewest(
            len(nodes),
            lambda count: _measured(self.whole(nodes[:count]).model, budget),
            quantized=accuracy,
            lowest=lowest,
        )
        logger.info(
            "the %d most sensitive of %d nodes in float: accuracy %.4f", mixed.count, len(nodes), mixed.accuracy
        )
        return replace(self.whole(nodes[: mixed.count]), accuracy=mixed.accuracy, kept=mixed.kept)


def _measured(model: ModelProto, budget: AccuracyBudget) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        return budget.accuracy(path)
