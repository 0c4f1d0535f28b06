"""Calibration of activation ranges with the calibrators of ``onnxruntime.quantization``.

``minmax`` uses the smallest and largest value. ``percentile`` ignores the 0.001 % of values furthest from zero
(Wu et al. 2020, "Integer Quantization for Deep Learning Inference"). ``entropy`` cuts where the distribution of the
quantized values diverges least from that of the float ones (Migacz 2017, "8-bit Inference with TensorRT").
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import onnx

from edgeprune.errors import ModelError
from edgeprune.export.output_capture import logged
from edgeprune.progress import SILENT, Progress
from edgeprune.quantize.calibration_samples import Array
from edgeprune.quantize.integer_fusion import OP_TYPES
from edgeprune.quantize.ort_session import load
from edgeprune.quantize.prepare_onnx import PreparedModel

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

logger = logging.getLogger(__name__)

Method = Literal["minmax", "entropy", "percentile"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT: Method = "percentile"
"""Default method. It changed the outputs of the packaged networks least (docs/benchmarks/results.md)."""

_AT_ONCE = 16
"""Number of samples whose activations are in memory at the same time."""
_ENTROPY = {"num_bins": 512, "num_quantized_bins": 256}
"""Histogram settings for ``entropy``. ONNX Runtime's defaults are 128 bins, of which all are quantized.

Bins are on both sides of zero, so 256 bins are only 128 levels for the output of a Relu; 128 bins cut off too much.
With as many bins as quantized bins, there would be only one possible range.
"""


def calibrate(
    prepared: PreparedModel,
    samples: Iterable[Array],
    *,
    method: Method = DEFAULT,
    op_types: Collection[str] = OP_TYPES,
    progress: Progress = SILENT,
) -> TensorsData:
    """Measure the range of every input and output activation of operators that may be quantized.

    Args:
        prepared: Float model.
        samples: Samples of shape (1, C, H, W).
        method: Calibration method.
        op_types: Operators that may be quantized.
        progress: Progress indicator, which advances by one for each sample.

    Raises:
        ModelError: An activation is not finite, or ONNX Runtime cannot run the model.
    """
    from onnxruntime.quantization import calibrate as calibrators

    kinds: Mapping[Method, Any] = {
        "minmax": calibrators.MinMaxCalibrater,
        "entropy": calibrators.EntropyCalibrater,
        "percentile": calibrators.PercentileCalibrater,
    }
    options: Mapping[Method, Any] = {
        "minmax": {},
        "entropy": _ENTROPY,
        "percentile": {"symmetric": True},
    }
    with tempfile.TemporaryDirectory() as folder, logged(logger):
        model, augmented = Path(folder) / "model.onnx", Path(folder) / "augmented.onnx"
        onnx.save(prepared.model, model)
        calibrator = kinds[method](model, sorted(op_types), str(augmented), **options[method])
        calibrator.augment_graph()
        calibrator.infer_session = load(augmented, optimization="ORT_ENABLE_BASIC")
        for part in _parts(samples):
            try:
                calibrator.collect_data(_Reader(prepared.input_name, part))
            except Exception as problem:  # its exceptions share no base class of their own
                raise ModelError(f"calibration failed on ONNX Runtime: {problem}") from problem
            progress.advance(len(part))
        ranges: TensorsData = calibrator.compute_data()
    for name, data in ranges.items():
        low, high = (np.asarray(end).item() for end in data.range_value)
        if not np.isfinite([low, high]).all():
            raise ModelError(
                f"activation {name} must be finite on calibration samples, but ranges from {low} to {high}: check for "
                "weights that are too large"
            )
    return ranges


def _parts(samples: Iterable[Array]) -> Iterator[list[Array]]:
    remaining = iter(samples)
    for first in remaining:
        yield list(chain([first], islice(remaining, _AT_ONCE - 1)))


class _Reader:
    """Adapter from samples to the data reader of ONNX Runtime's calibrators."""

    def __init__(self, name: str, samples: list[Array]) -> None:
        self._name = name
        self._remaining = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        sample = next(self._remaining, None)
        return None if sample is None else {self._name: sample}
