"""Backend of LiteRT."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgeprune.backends.base import Backend
from edgeprune.backends.conversion import ConvertedModel, Quantization
from edgeprune.backends.runner_scripts import RunnerScripts
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.batching import Array, Inputs
    from edgeprune.config.target import Precision
    from edgeprune.extras import Extra
    from edgeprune.model.data import Split

logger = logging.getLogger(__name__)


class LiteRT(Backend):
    """LiteRT on the CPU. A device may use tflite-runtime instead."""

    name = "litert"
    title = "LiteRT"
    package = "ai-edge-litert"
    extra: ClassVar[Extra | None] = "tflite"
    suffix = ".tflite"
    is_default_for_suffix = True
    runner: ClassVar[RunnerScripts | None] = RunnerScripts(
        script=Path(__file__).with_name("litert_runner.py"), requirements="numpy>=1.21\nai-edge-litert>=1.0\n"
    )

    @property
    def reported_names(self) -> tuple[str, ...]:
        return (self.name, "ai-edge-litert", "tflite-runtime")

    def write_float32(self, source: Path, folder: Path) -> Path:
        from edgeprune.tflite import conversion

        return conversion.convert(source, folder / f"{source.stem}.tflite").path

    def write(self, precision: Precision, conversion: Quantization) -> ConvertedModel:
        from edgeprune.tflite import tflite_quantizing

        settings = conversion.settings
        if settings.calibration not in ("auto", "minmax") or settings.equalize:
            ignored = "equalize = true" if settings.equalize else f"calibration = '{settings.calibration}'"
            logger.warning("quantize.%s is ignored: int8 TFLite files always use the observed ranges", ignored)
        path = conversion.folder / f"{conversion.file.stem}-{precision}.tflite"
        quantized = tflite_quantizing.quantize(
            conversion.file,
            path,
            conversion.samples,
            samples=settings.samples,
            seed=conversion.seed,
            progress=conversion.progress,
        )
        names = tuple(node.name for node in quantized.float_nodes)
        return ConvertedModel(files=(path,), accuracy=conversion.accuracy(path), float_nodes=names)

    def check_file(self, path: Path) -> None:
        from edgeprune.tflite import tflite_loading

        tflite_loading.load_file(path)

    def predictor(self, path: Path) -> Callable[[Inputs], list[Array]]:
        from edgeprune.backends.litert import litert_session

        return litert_session.predictor(path)

    def evaluate(self, path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
        from edgeprune.backends.litert import litert_session

        return litert_session.evaluate(path, split, progress=progress)


BACKEND = LiteRT()
