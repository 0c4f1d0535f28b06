"""Backend of Arm Ethos-U accelerators with a Cortex-M host."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from edgeprune.backends.conversion import Conversion, ConvertedModel, Quantization, ShippedModel
from edgeprune.backends.latency_estimate import LatencyEstimate
from edgeprune.backends.tflm.tflm_backend import TfliteMicro
from edgeprune.config import Target

if TYPE_CHECKING:
    from edgeprune.backends.footprint import Footprint
    from edgeprune.config.target import Precision

logger = logging.getLogger(__name__)

_README = Path(__file__).with_name("DRIVER.md")
_COMPILED = "model-vela.tflite"
_SHOWN = 8


class EthosU(TfliteMicro):
    """TensorFlow Lite Micro with an Ethos-U accelerator.

    EdgePrune evaluates the int8 file of TFLite Micro on this machine, and Vela compiles it for the accelerator.
    Operators that the accelerator does not support run in TFLite Micro's kernels on the CPU.
    """

    name = "ethos_u"
    title = "TFLite Micro with Ethos-U"
    package = "ethos-u-vela"
    extra = "ethos-u"

    def check_options(self, target: Target) -> None:
        from edgeprune.backends.ethos_u.ethos_u_options import Options

        Options.of(target)

    def conversion_settings(self, target: Target) -> Mapping[str, Any]:
        return {**super().conversion_settings(target), "options": dict(target.runtime.options)}

    def check_network(self, dense: Conversion) -> Path:
        path = super().check_network(dense)
        compiler = self.footprint(path, dense.target).compiler
        assert compiler is not None, "Vela compiles every file"
        for operator in compiler.fallback[:_SHOWN]:
            reason = f": {operator.reason}" if operator.reason else ""
            logger.warning(
                "%s: %s %s runs on the CPU, not on the Ethos-U%s",
                dense.target.name,
                operator.kind,
                operator.name,
                reason,
            )
        if len(compiler.fallback) > _SHOWN:
            logger.warning(
                "%s: %d more operators run on the CPU, not on the Ethos-U",
                dense.target.name,
                len(compiler.fallback) - _SHOWN,
            )
        return path

    def write(self, precision: Precision, conversion: Quantization) -> ConvertedModel:
        from edgeprune.backends.ethos_u import vela
        from edgeprune.backends.ethos_u.ethos_u_options import Options

        converted = super().write(precision, conversion)
        (source,) = converted.files
        output = source.with_name(f"{source.stem}-vela.tflite")
        vela.compile_file(source, output, Options.of(conversion.target))
        return ConvertedModel(files=(source, output), accuracy=converted.accuracy, float_nodes=converted.float_nodes)

    def footprint(self, path: Path, target: Target) -> Footprint:
        from edgeprune.backends.ethos_u import vela
        from edgeprune.backends.ethos_u.compiled_footprint import compiled_footprint
        from edgeprune.backends.ethos_u.ethos_u_options import Options

        with tempfile.TemporaryDirectory() as folder:
            compiled = vela.compile_file(path, Path(folder) / _COMPILED, Options.of(target))
            return compiled_footprint(path, compiled)

    def estimate_latency(self, footprint: Footprint, target: Target, macs: int) -> LatencyEstimate:
        compiler, clock_mhz = footprint.compiler, target.hardware.clock_mhz
        assert compiler is not None, "Vela compiles every file"
        assert clock_mhz is not None, "the target has a table [microcontroller]"
        missing = f"; {len(compiler.fallback)} operators on the CPU are not included" if compiler.fallback else ""
        return LatencyEstimate(
            latency_ms=compiler.cycles / (clock_mhz * 1e3),
            macs=macs,
            clock_mhz=clock_mhz,
            cycles=compiler.cycles,
            source=f"Vela estimate{missing}",
        )

    def bundle_files(self, model: ShippedModel) -> Mapping[str, Path | str]:
        from edgeprune.backends.ethos_u.ethos_u_options import Options

        (compiled,) = model.other_files
        options = Options.of(model.target)
        driver = Template(_README.read_text(encoding="utf-8")).substitute(
            accelerator=options.accelerator_config,
            series=options.series,
            define=f"ETHOS{options.series.upper()}",
            compiled=_COMPILED,
        )
        return {_COMPILED: compiled, **self.firmware(model, compiled=compiled, notes=driver)}


BACKEND = EthosU()
