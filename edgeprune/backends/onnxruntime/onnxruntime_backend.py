"""Backend of ONNX Runtime."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgeprune.backends.base import Backend
from edgeprune.backends.conversion import ConvertedModel, Quantization
from edgeprune.backends.runner_scripts import RunnerScripts
from edgeprune.config import Target
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.batching import Array, Inputs
    from edgeprune.config.recipe import QuantizeSettings
    from edgeprune.config.target import Precision
    from edgeprune.model.data import Split
    from edgeprune.quantize.activation_ranges import Method

SCRIPT = Path(__file__).with_name("onnxruntime_runner.py")


class OnnxRuntime(Backend):
    """ONNX Runtime on the CPU. It reads the exported ONNX file without conversion."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    package: ClassVar[str | None] = "onnxruntime"
    suffix = ".onnx"
    is_default_for_suffix = True
    runner = RunnerScripts(
        script=SCRIPT,
        requirements="numpy>=1.21\nonnxruntime>=1.12\n",  # the first that reads opset 17 and IR 8
    )
    measures_layers = True

    def conversion_settings(self, target: Target) -> Mapping[str, Any]:
        # The architecture decides how activations are stored.
        return {**super().conversion_settings(target), "architecture": target.hardware.architecture}

    def write(self, precision: Precision, conversion: Quantization) -> ConvertedModel:
        from edgeprune import quantize

        settings = conversion.settings
        path = conversion.folder / f"{conversion.file.stem}-{precision}.onnx"
        quantized = quantize.quantize(
            conversion.file,
            path,
            conversion.samples,
            method=calibration_method(settings),
            samples=settings.samples,
            seed=conversion.seed,
            activations=quantize.activations_for(conversion.target.hardware.architecture or platform.machine()),
            equalization=settings.equalize,
            budget=quantize.AccuracyBudget(
                settings.max_accuracy_drop, conversion.float32_accuracy, conversion.accuracy
            ),
            progress=conversion.progress,
        )
        names = tuple(node.name for node in quantized.float_nodes)
        return ConvertedModel(files=(path,), accuracy=quantized.accuracy, float_nodes=names)

    def check_file(self, path: Path) -> None:
        from edgeprune.export import onnx_loading

        onnx_loading.check_file(path)

    def predictor(self, path: Path) -> Callable[[Inputs], list[Array]]:
        from edgeprune.backends.onnxruntime import onnxruntime_session

        return onnxruntime_session.predictor(path)

    def evaluate(self, path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
        from edgeprune.backends.onnxruntime import onnxruntime_session

        return onnxruntime_session.evaluate(path, split, progress=progress)


def calibration_method(settings: QuantizeSettings) -> Method:
    """Return the calibration method of the recipe, or the default."""
    from edgeprune.quantize.activation_ranges import DEFAULT

    return DEFAULT if settings.calibration == "auto" else settings.calibration


BACKEND = OnnxRuntime()
