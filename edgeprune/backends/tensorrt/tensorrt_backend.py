"""Backend of TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.backends import backend
from edgeprune.backends.base import Backend
from edgeprune.backends.conversion import ConvertedModel, Quantization
from edgeprune.backends.onnxruntime.onnxruntime_backend import SCRIPT, OnnxRuntime, calibration_method
from edgeprune.backends.runner_scripts import RunnerScripts

if TYPE_CHECKING:
    from edgeprune.config.target import Precision

_FOLDER = Path(__file__).parent


class TensorRT(OnnxRuntime):
    """TensorRT on Jetson boards, which build the engines. On this machine, ONNX Runtime runs its files."""

    name = "tensorrt"
    title = "TensorRT"
    package = None
    is_default_for_suffix = False
    runner = RunnerScripts(
        script=_FOLDER / "tensorrt_runner.py",
        companions=(_FOLDER / "build_engine.py", SCRIPT),  # the last for a board without TensorRT
        load_s=3 * 3600.0,  # it builds an engine for each of three precisions, which may take an hour
    )
    chooses_precision_on_device = True
    measures_layers = False

    @property
    def host(self) -> Backend:
        return backend("onnxruntime")

    def effective_precision(self, precision: Precision) -> Precision:
        # It multiplies float32 in TF32, which has the mantissa of float16, on all GPUs since Ampere.
        return "float16" if precision == "float32" else precision

    def write(self, precision: Precision, conversion: Quantization) -> ConvertedModel:
        from edgeprune.backends.tensorrt import precision_variants
        from edgeprune.quantize.calibration_samples import CalibrationSamples

        settings = conversion.settings
        samples = CalibrationSamples(conversion.samples, settings.samples, conversion.seed)
        if precision == "float16":
            files: tuple[Path, ...] = (precision_variants.write_fp16(conversion.file, conversion.folder, samples),)
        else:
            files = precision_variants.write_int8(
                conversion.file,
                conversion.folder,
                samples,
                method=calibration_method(settings),
                equalization=settings.equalize,
                versions=conversion.target.runtime.versions,
            )
        return ConvertedModel(files=files, accuracy=conversion.accuracy(files[0]))


BACKEND = TensorRT()
