"""Model files in float16 and int8 for boards with TensorRT, in addition to the float32 file."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from packaging.specifiers import SpecifierSet

from edgeprune import files
from edgeprune.backends.tensorrt import fp16_conversion, qdq_fusion_rules, qdq_placement
from edgeprune.export.onnx_loading import load_file
from edgeprune.quantize.activation_ranges import DEFAULT, Method, calibrate
from edgeprune.quantize.calibration_samples import CalibrationSamples
from edgeprune.quantize.equalization import equalize
from edgeprune.quantize.prepare_onnx import prepare

logger = logging.getLogger(__name__)

FP16 = "model.fp16.onnx"
INT8 = "model.int8.onnx"
INT8_FP16 = "model.int8-fp16.onnx"
"""File for TensorRT 11 and later, which use the types in the file: int8, with float16 between."""

_FLOAT_WEIGHTS = ("8.5", "8.6")
"""Releases that do not read int8 weights."""
_NO_NARROW_DECONVOLUTIONS = (*_FLOAT_WEIGHTS, *(f"10.{minor}" for minor in range(9)))
"""Releases without int8 kernels for grouped transposed convolutions with few channels."""


def write_fp16(source: Path, folder: Path, samples: CalibrationSamples) -> Path:
    """Write ``source`` in float16. Nodes whose values are too large for float16 on ``samples`` remain float32.

    Raises:
        ModelError: The file cannot be read or converted, or computes values that are not finite.
        DataError: A sample is not finite, or has a wrong shape.
    """
    path, model = folder / FP16, load_file(source)
    _write(fp16_conversion.write_fp16(model, fp16_conversion.magnitudes(source, _inputs(model, samples))), path)
    return path


def write_int8(
    source: Path,
    folder: Path,
    samples: CalibrationSamples,
    *,
    method: Method = DEFAULT,
    equalization: bool = False,
    versions: str = "",
) -> tuple[Path, ...]:
    """Write int8 variants of ``source`` with Q/DQ pairs where TensorRT fuses them.

    Args:
        source: Path of the float32 file.
        folder: Folder for the files.
        samples: Samples for the calibration of activation ranges.
        method: Calibration method.
        equalization: Whether to equalize the ranges of convolutions first.
        versions: Versions of TensorRT in pip's format. If one before 10 is among them, weights remain float32 in the
            file.

    Returns:
        Path of the file for TensorRT up to 10, and path of the file for TensorRT 11 and later.

    Raises:
        ModelError: The network cannot be quantized.
        DataError: A sample is not finite, or has a wrong shape.
    """
    prepared = prepare(source)
    samples.check(prepared.shape)
    if equalization:
        prepared = replace(prepared, model=equalize(prepared.model).model)
    float_weights = _includes(versions, _FLOAT_WEIGHTS)
    without_kernel = qdq_fusion_rules.narrow_grouped_deconvolutions(prepared.model)
    kept_float = without_kernel if _includes(versions, _NO_NARROW_DECONVOLUTIONS) else ()
    ranges = calibrate(prepared, samples, method=method, op_types=qdq_fusion_rules.QUANTIZED)

    def placed(names: Collection[str]) -> onnx.ModelProto:
        quantized = qdq_fusion_rules.quantized(prepared.model, ranges, float_weights=float_weights, kept_float=names)
        fitted = qdq_placement.fit(quantized)
        qdq_fusion_rules.check(fitted, float_weights=float_weights)
        return fitted

    if kept_float:
        logger.warning(
            "these nodes have no int8 kernel before TensorRT 10.9, and stay float: %s", ", ".join(kept_float)
        )
    path, mixed = folder / INT8, folder / INT8_FP16
    _write(placed(kept_float), path)
    _write(fp16_conversion.write_fp16(placed(())), mixed)
    return path, mixed


def _includes(versions: str, releases: Collection[str]) -> bool:
    """Return whether any of ``releases`` is among ``versions``."""
    allowed = SpecifierSet(versions)
    return any(allowed.contains(release) for release in releases)


def _inputs(model: onnx.ModelProto, samples: CalibrationSamples) -> Iterator[Mapping[str, Any]]:
    name = model.graph.input[0].name
    return ({name: sample} for sample in samples)


def _write(model: onnx.ModelProto, path: Path) -> None:
    files.write_atomic(path, model.SerializeToString(deterministic=True))
