"""Backend of TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgeprune.backends import backend
from edgeprune.backends.base import Backend
from edgeprune.backends.conversion import Conversion, ShippedModel
from edgeprune.backends.latency_estimate import LatencyEstimate
from edgeprune.backends.litert.litert_backend import LiteRT
from edgeprune.config import Target
from edgeprune.errors import ModelError, TargetError
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.agreement import Agreement
    from edgeprune.backends.batching import Array, Inputs
    from edgeprune.backends.footprint import Footprint
    from edgeprune.extras import Extra
    from edgeprune.model.data import Split

_SAMPLES = 8
"""Number of calibration samples if only the footprint of the file matters."""


class TfliteMicro(LiteRT):
    """TensorFlow Lite Micro on microcontrollers.

    Its reference kernels also run on this machine, but slowly. LiteRT evaluates the same files instead, and EdgePrune
    compares the outputs of both.
    """

    name = "tflm"
    title = "TFLite Micro"
    package = "tflite-micro"
    extra: ClassVar[Extra | None] = "mcu"
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
            raise TargetError(f"{target.name}: runtime.name = '{self.name}' needs the table [microcontroller]: add it")
        self.check_options(target)

    def check_network(self, dense: Conversion) -> Path:
        try:
            path = self.write_for_footprint(dense)
            self.footprint(path, dense.target)
        except ModelError as problem:
            raise TargetError(f"{dense.target.name} cannot run this network: {problem}") from problem
        return path

    def write_for_footprint(self, conversion: Conversion) -> Path:
        from edgeprune.tflite import tflite_quantizing

        path = conversion.folder / f"{conversion.file.stem}-int8.tflite"
        tflite_quantizing.quantize(conversion.file, path, conversion.samples, samples=_SAMPLES, seed=conversion.seed)
        return path

    def footprint(self, path: Path, target: Target) -> Footprint:
        from edgeprune.backends.tflm.tflm_footprint import footprint

        return footprint(path)

    def estimate_latency(self, footprint: Footprint, target: Target, macs: int) -> LatencyEstimate:
        board, clock_mhz = target.microcontroller, target.hardware.clock_mhz
        assert board is not None, "check_target requires it"
        assert clock_mhz is not None, "a target with a table [microcontroller] has a clock"
        cycles = board.cycles_per_mac
        counts = cycles.low, cycles.typical, cycles.high
        low, typical, high = (macs * count / (clock_mhz * 1e3) for count in counts)
        return LatencyEstimate(
            latency_ms=typical,
            low_ms=low,
            high_ms=high,
            macs=macs,
            clock_mhz=clock_mhz,
            cycles_per_mac=counts,
            source=cycles.source,
        )

    def compare_with_host(
        self, path: Path, samples: Array, *, classes: bool, labels: Array | None, progress: Progress = SILENT
    ) -> Agreement:
        from edgeprune.backends.tflm import host_comparison

        return host_comparison.compare(path, samples, classes=classes, labels=labels, progress=progress)

    def bundle_files(self, model: ShippedModel) -> Mapping[str, Path | str]:
        return self.firmware(model)

    def firmware(self, model: ShippedModel, **options: Any) -> Mapping[str, Path | str]:
        """Files of ``firmware/``, by path in the bundle; ``options`` are those of ``firmware_files.write``."""
        from edgeprune.backends.tflm.firmware import firmware_files
        from edgeprune.backends.tflm.kernel_sizes import GOLDEN_SAMPLES

        samples = next(iter(model.samples.batches(GOLDEN_SAMPLES)))[0].numpy()
        footprint = self.footprint(model.file, model.target)
        contents = firmware_files.write(model.file, model.target, footprint, samples, name=model.name, **options)
        return {f"firmware/{name}": text for name, text in contents.items()}

    def predictor(self, path: Path) -> Callable[[Inputs], list[Array]]:
        from edgeprune.backends.tflm import interpreter

        return interpreter.predictor(path)

    def evaluate(self, path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
        from edgeprune.backends.tflm import interpreter

        return interpreter.evaluate(path, split, progress=progress)


BACKEND = TfliteMicro()
