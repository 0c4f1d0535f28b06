"""Run Vela, Arm's compiler for Ethos-U, and read its estimates."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from edgeprune import extras, subprocesses
from edgeprune.backends.ethos_u.ethos_u_options import Options
from edgeprune.backends.footprint import CompilerEstimate, FallbackOperator
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_file import operator_name, tensor_name
from edgeprune.tflite.tflite_schema import schema

_TIMEOUT_S = 600.0
_CONFIG = "Arm/vela.ini"
_REASON = re.compile(r"^Warning \(supported operators\) operator: \S+, ofm: '(.*)'\nReason: (.*)$", re.MULTILINE)
_KIB = 1024
_MESSAGE_CHARACTERS = 500
CUSTOM = "ethos-u"
"""Code of the custom operator that runs on the accelerator."""


@dataclass(frozen=True)
class Compiled:
    """A file compiled by Vela.

    Attributes:
        file: The compiled file.
        estimate: Estimates of Vela.
    """

    file: Path
    estimate: CompilerEstimate


def compile_file(source: Path, output: Path, options: Options, *, timeout_s: float = _TIMEOUT_S) -> Compiled:
    """Compile the int8 file ``source`` to the file ``output``.

    The output bytes depend only on the content of ``source`` and the options.

    Raises:
        MissingPackageError: Vela is not installed.
        ModelError: Vela fails or exceeds ``timeout_s`` seconds.
    """
    # Vela runs as a program; the import makes its version part of the cache keys.
    with extras.required("ethos-u"):
        import ethosu.vela  # noqa: F401
    with tempfile.TemporaryDirectory() as folder:
        argv = [
            sys.executable, "-m", "ethosu.vela", str(source.absolute()),
            "--accelerator-config", options.accelerator_config,
            "--config", _CONFIG,
            "--system-config", options.system_config,
            "--memory-mode", options.memory_mode,
            "--output-dir", folder,
        ]  # fmt: skip
        try:
            completed = subprocesses.run(argv, timeout_s=timeout_s, cwd=Path(folder))
        except TimeoutExpired as problem:
            raise ModelError(
                f"{source}: expected Vela to compile the file within {timeout_s:.0f} s, and it was still running: "
                "use a smaller network"
            ) from problem
        compiled = Path(folder) / f"{source.stem}_vela.tflite"
        summary = Path(folder) / f"{source.stem}_summary_{options.system_config}.csv"
        if completed.returncode or not compiled.is_file() or not summary.is_file():
            message = completed.stderr.strip()[-_MESSAGE_CHARACTERS:] or completed.stdout.strip()[-_MESSAGE_CHARACTERS:]
            raise ModelError(
                f"{source}: expected Vela to compile the file for {options.accelerator_config}, and it ended with exit "
                f"code {completed.returncode}: {message}"
            )
        shutil.copyfile(compiled, output)
        with summary.open(encoding="utf-8", newline="") as lines:
            (row,) = csv.DictReader(lines)
    reasons = dict(_REASON.findall(completed.stdout + completed.stderr))
    return Compiled(
        output,
        CompilerEstimate(
            name="Vela",
            sram_bytes=_bytes(row["sram_memory_used"]),
            flash_bytes=_bytes(row["off_chip_flash_memory_used"]) + _bytes(row["on_chip_flash_memory_used"]),
            cycles=round(float(row["cycles_total"])),
            fallback=_fallback(output, reasons),
        ),
    )


def read(path: Path) -> schema.ModelT:
    """Read a compiled file. It is not a regular TFLite file, because no operator writes its scratch tensors."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))


def operators(model: schema.ModelT) -> list[str]:
    """Names of the operators of a compiled file in order; ``CUSTOM`` if they run on the accelerator."""
    names = []
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex].customCode
        names.append(operator_name(model, operator) if code is None else _text(code))
    return names


def _fallback(path: Path, reasons: dict[str, str]) -> tuple[FallbackOperator, ...]:
    model = read(path)
    graph = model.subgraphs[0]
    return tuple(
        FallbackOperator(kind, name := tensor_name(graph, int(operator.outputs[0])), reasons.get(name, ""))
        for kind, operator in zip(operators(model), graph.operators, strict=True)
        if kind != CUSTOM
    )


def _bytes(kib: str) -> int:
    return round(float(kib) * _KIB)


def _text(code: bytes | str) -> str:
    return code.decode() if isinstance(code, bytes) else code
