"""RAM and flash of a model file that Vela compiled for Ethos-U."""

from __future__ import annotations

from pathlib import Path

from edgeprune.backends.ethos_u import vela
from edgeprune.backends.footprint import Arena, Footprint
from edgeprune.backends.tflm import cmsis_nn
from edgeprune.backends.tflm.kernel_sizes import SOURCE, code_bytes
from edgeprune.backends.tflm.tflm_footprint import footprint

_CODE_SOURCE = (
    f"{SOURCE}; the kernel of Ethos-U with its driver is an allowance, as large as the largest of these kernels"
)


def compiled_footprint(source: Path, compiled: vela.Compiled) -> Footprint:
    """Compute RAM and flash of the compiled variant of the int8 file ``source``.

    The arena is the sum of two parts: the SRAM that Vela plans, operators on the CPU included, and the persistent part
    of TFLite Micro for ``source``, which has at least as many operators.

    Raises:
        ModelError: TFLite Micro cannot run ``source``.
    """
    source_footprint = footprint(source)
    model = vela.read(compiled.file)
    names = vela.operators(model)
    activations = compiled.estimate.sram_bytes
    return Footprint(
        arena=Arena(
            total_bytes=activations + source_footprint.arena.persistent_bytes,
            nonpersistent_bytes=activations,
            persistent_bytes=source_footprint.arena.persistent_bytes,
            by_kind=source_footprint.arena.by_kind,
        ),
        scratch_bytes=cmsis_nn.arena_bytes(model),
        peak=None,
        file_bytes=compiled.file.stat().st_size,
        golden_bytes=source_footprint.golden_bytes,
        code=code_bytes(names),
        operators={name: names.count(name) for name in sorted(set(names))},
        activation_source="as Vela plans the SRAM of accelerator and CPU",
        activation_kind="estimated",
        code_source=_CODE_SOURCE,
        code_error=source_footprint.code_error,
        compiler=compiled.estimate,
    )
