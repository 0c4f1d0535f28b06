"""Ranges of activations over calibration samples, by the calibrators of ``onnxruntime.quantization``.

``minmax`` takes the smallest and largest value seen. ``percentile`` cuts off the 0.001 % that lie furthest from zero
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
"""It changed the outputs of the packaged networks least (docs/results.md)."""

_AT_ONCE = 16
"""Samples whose activations are held at a time."""
_ENTROPY = {"num_bins": 512, "num_quantized_bins": 256}
"""Bins lie on both sides of zero, so that 256 are no more than 128 levels of what a Relu leaves; with 128, ONNX
Runtime's default, too much is cut. With as many bins as quantized ones, its default too, there is but one range."""


def calibrate(
    prepared: PreparedModel,
    samples: Iterable[Array],
    *,
    method: Method = DEFAULT,
    op_types: Collection[str] = OP_TYPES,
    progress: Progress = SILENT,
) -> TensorsData:
    """Range of every activation that operators which may be quantized read or give.

    Args:
        prepared: The float model.
        samples: Each (1, C, H, W).
        method: How a range is found.
        op_types: Operators that may be quantized.
        progress: Advances by a sample.

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
                raise ModelError(f"calibration fails on ONNX Runtime: {problem}") from problem
            progress.advance(len(part))
        ranges: TensorsData = calibrator.compute_data()
    for name, found in ranges.items():
        low, high = (np.asarray(end).item() for end in found.range_value)
        if not np.isfinite([low, high]).all():
            raise ModelError(
                f"activation {name} reaches {low} to {high} on calibration samples; it must stay finite: look for "
                "weights that are too large"
            )
    return ranges


def _parts(samples: Iterable[Array]) -> Iterator[list[Array]]:
    left = iter(samples)
    for first in left:
        yield list(chain([first], islice(left, _AT_ONCE - 1)))


class _Reader:
    """Some samples as ONNX Runtime's calibrators ask for them."""

    def __init__(self, name: str, samples: list[Array]) -> None:
        self._name = name
        self._left = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        sample = next(self._left, None)
        return None if sample is None else {self._name: sample}
