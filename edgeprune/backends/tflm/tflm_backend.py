"""Backend of TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.backends import backend
from edgeprune.backends.base import Backend, Conversion, ShippedModel
from edgeprune.backends.litert.litert_backend import LiteRT
from edgeprune.config import Target
from edgeprune.errors import ModelError, TargetError
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.feeding import Array, Inputs
    from edgeprune.backends.tflm.agreement import Agreement
    from edgeprune.backends.tflm.footprint import Footprint
    from edgeprune.model.data import Split

_SAMPLES = 8
"""Samples that ranges are taken from where only sizes matter."""


class TfliteMicro(LiteRT):
    """TensorFlow Lite Micro on microcontrollers.

    Its plain kernels run on this machine too, but slowly: LiteRT evaluates the same files, and the outputs of both are
    compared.
    """

    name = "tflm"
    title = "TFLite Micro"
    package = "tflite-micro"
    extra = "mcu"
    is_default_for_suffix = False
    runner = None

    @property
    def reported_names(self) -> tuple[str, ...]:
        return (self.name, "firmware")

    @property
    def host(self) -> Backend:
        return backend("litert")

    def check_target(self, target: Target) -> None:
        if target.microcontroller is None:
            raise TargetError(f"{target.name}: runtime.name is 'tflm', so the table [microcontroller] is required")

    def check_network(self, dense: Conversion) -> Path:
        try:
            path = self.write_for_footprint(dense)
            self.footprint(path)
        except ModelError as problem:
            raise TargetError(f"{dense.target.name} cannot run this network: {problem}") from problem
        return path

    def write_for_footprint(self, conversion: Conversion) -> Path:
        from edgeprune.quantize import tflite

        path = conversion.folder / f"{conversion.file.stem}-int8.tflite"
        tflite.quantize(conversion.file, path, conversion.samples, samples=_SAMPLES, seed=conversion.seed)
        return path

    def footprint(self, path: Path) -> Footprint:
        from edgeprune.backends.tflm.footprint import footprint

        return footprint(path)

    def compare_with_host(
        self, path: Path, samples: Array, *, classes: bool, labels: Array | None, progress: Progress = SILENT
    ) -> Agreement:
        from edgeprune.backends.tflm import agreement

        return agreement.compare(path, samples, classes=classes, labels=labels, progress=progress)

    def bundle_files(self, model: ShippedModel) -> Mapping[str, Path | str]:
        from edgeprune.backends import firmware
        from edgeprune.backends.tflm.code import GOLDEN_SAMPLES

        samples = next(iter(model.samples.batches(GOLDEN_SAMPLES)))[0].numpy()
        written = firmware.write(model.file, model.target, self.footprint(model.file), samples, name=model.name)
        return {f"firmware/{name}": text for name, text in written.items()}

    def predictor(self, path: Path) -> Callable[[Inputs], list[Array]]:
        from edgeprune.backends.tflm import interpreter

        return interpreter.predictor(path)

    def evaluate(self, path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
        from edgeprune.backends.tflm import interpreter

        return interpreter.evaluate(path, split, progress=progress)


BACKEND = TfliteMicro()
