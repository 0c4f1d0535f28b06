"""Generator of C++ firmware that runs a TFLite file on a microcontroller and answers commands over a serial line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template

import numpy as np

from edgeprune.backends.batching import Array
from edgeprune.backends.footprint import Footprint
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.kernel_sizes import golden_count
from edgeprune.config import Target
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_file import Port

_FILES = Path(__file__).parent / "files"
_COPIED = ("board.h", "main.cc", "model.cc", "model.h")
_CORTEX_M = (
    "CMakeLists.txt",
    "example_mps2_an386/board.cc",
    "example_mps2_an386/startup.c",
    "example_mps2_an386/mps2_an386.ld",
)
"""Files for Cortex-M only. ESP-IDF builds the firmware for Xtensa cores."""
_BUILD_ROWS = """
| `CMakeLists.txt`, `toolchain.cmake` | build `firmware.elf` |
| `example_mps2_an386/` | `board.cc`, startup file and linker script for QEMU's emulated Cortex-M4 |"""
_WIDTH = 24
_HASH_DIGITS = 12
_NAMES = {"BATCH_MATMUL": "BatchMatMul", "PADV2": "PadV2", "ethos-u": "EthosU"}
"""Names of operators in ``MicroMutableOpResolver`` that are not their schema names in camel case."""
_CORES = {"armv6-m": "cortex-m0plus", "armv8-m.main": "cortex-m33", "armv8.1-m.main": "cortex-m55"}
_FPUS = {"cortex-m4": "fpv4-sp-d16", "cortex-m7": "fpv5-sp-d16", "cortex-m33": "fpv5-sp-d16", "cortex-m55": "auto"}
"""Values of GCC's ``-mfpu`` for single precision, which every board with the core supports."""
_HARD_FLOAT = {"cortex-m4": "+fp", "cortex-m7": "+fp"}
"""Suffix that TensorFlow Lite Micro's Makefile appends to the name of a core with an FPU; others have none."""


@dataclass(frozen=True)
class Golden:
    """Golden vectors: inputs, and the outputs that TFLite Micro computes for them.

    Attributes:
        inputs: Content of the first input tensor for each sample.
        outputs: Content of the first output tensor for each sample.
    """

    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]


def golden(file: Path, samples: Array) -> Golden:
    """Compute golden vectors from the first of ``samples`` (N, ...), which have the layout of the ONNX file.

    ``kernel_sizes.golden_count`` determines their number.

    Raises:
        ModelError: The file has several inputs, or TFLite Micro cannot run it.
    """
    interpreter = Interpreter(file)
    if len(interpreter.inputs) != 1:
        raise ModelError(f"{file} has {len(interpreter.inputs)} inputs, but the firmware supports one")
    inputs, outputs = [], []
    (port,) = interpreter.inputs
    input_bytes = int(np.prod(port.shape, dtype=int)) * np.dtype(port.dtype).itemsize
    for sample in samples[: golden_count(input_bytes, len(samples))]:
        stored = interpreter.stored([sample[np.newaxis]])
        inputs.append(stored[0].tobytes())
        outputs.append(interpreter.run_stored(stored)[0].tobytes())
    return Golden(tuple(inputs), tuple(outputs))


def write(
    file: Path,
    target: Target,
    footprint: Footprint,
    samples: Array,
    *,
    name: str,
    compiled: Path | None = None,
    notes: str = "",
) -> dict[str, str]:
    """Generate the files of the firmware folder, by name.

    Args:
        file: The model file.
        target: Target with a microcontroller.
        footprint: RAM and flash of the file.
        samples: Samples for the golden vectors, see ``golden``.
        name: Name of the model.
        compiled: Variant of the model for an accelerator, which is embedded instead of ``file``.
        notes: Section of the README on this variant, as Markdown.

    Raises:
        ModelError: See ``golden``.
    """
    content = (compiled or file).read_bytes()
    digest = sha256(file.read_bytes()).hexdigest()
    interpreter = Interpreter(file)
    vectors = golden(file, samples)
    return {
        **{copied: (_FILES / copied).read_text(encoding="utf-8") for copied in _COPIED},
        "model_data.h": _header(
            "// The model as a TFLite file.", f"extern const unsigned char kModelData[{len(content)}];"
        ),
        "model_data.cc": _source("model_data.h", [_array(f"kModelData[{len(content)}]", content)]),
        "model_info.h": _model_info(f"{name}-{digest[:_HASH_DIGITS]}", interpreter, vectors),
        "op_resolver.h": _resolver(tuple(footprint.operators)),
        "arena_size.h": _arena_size(footprint),
        "golden.h": _golden_header(vectors),
        "golden.cc": _golden_source(vectors),
        **_build_files(target),
        "README.md": _readme(target, footprint, interpreter, vectors, name=name, notes=notes),
    }


def _build_files(target: Target) -> dict[str, str]:
    """CMake files for a Cortex-M core; empty for other cores."""
    if not _is_cortex_m(target):
        return {}
    toolchain = Template((_FILES / "toolchain.cmake").read_text(encoding="utf-8"))
    return {
        **{copied: (_FILES / copied).read_text(encoding="utf-8") for copied in _CORTEX_M},
        "toolchain.cmake": toolchain.substitute(board=target.description, core_flags=_core_flags(target)),
    }


def _header(comment: str, *lines: str, includes: Sequence[str] = ()) -> str:
    return "\n".join([comment, "#pragma once", "", *includes, *([""] if includes else []), *lines, ""])


def _source(header: str, parts: Sequence[str]) -> str:
    return f'#include "{header}"\n\n' + "\n\n".join(parts) + "\n"


def _array(declaration: str, content: bytes) -> str:
    lines = ("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in _rows(content))
    return f"alignas(16) const unsigned char {declaration} = {{\n" + "\n".join(lines) + "\n};"


def _rows(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _WIDTH] for start in range(0, len(content), _WIDTH))


def _model_info(model_id: str, interpreter: Interpreter, vectors: Golden) -> str:
    port = interpreter.outputs[0]
    scale = f"{port.scale!r}F" if port.scale else "0.0F"
    return _header(
        "// Description of the model that main.cc reports, and memory layout of its first input and output.",
        f'constexpr char kModelId[] = "{model_id}";  // ends with digits of the SHA-256 of the TFLite file',
        f"constexpr std::size_t kInputBytes = {len(vectors.inputs[0])};",
        f"constexpr std::size_t kOutputBytes = {len(vectors.outputs[0])};",
        f"constexpr std::size_t kOutputElements = {int(np.prod(port.shape, dtype=int))};",
        f"constexpr float kOutputScale = {scale};  // value of one step of an int8 output; 0 for a float output",
        f"constexpr int kOutputZeroPoint = {port.zero_point};",
        includes=("#include <cstddef>",),
    )


def _resolver(operators: Sequence[str]) -> str:
    registrations = " ||\n      ".join(f"resolver->Add{_method(name)}() != kTfLiteOk" for name in operators)
    return _header(
        "// Resolver with only the operators of the model, so that no other kernel is linked.",
        f"using Resolver = tflite::MicroMutableOpResolver<{len(operators)}>;",
        "",
        "inline TfLiteStatus AddOperators(Resolver* resolver) {",
        f"  if ({registrations}) {{",
        "    return kTfLiteError;",
        "  }",
        "  return kTfLiteOk;",
        "}",
        includes=('#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',),
    )


def _method(operator: str) -> str:
    camel = "".join(part.capitalize() for part in operator.split("_"))
    return _NAMES.get(operator, re.sub(r"(\d)d$", r"\1D", camel))


def _arena_size(footprint: Footprint) -> str:
    size = footprint.arena_bytes + -footprint.arena_bytes % 16
    return _header(
        "// Size of the tensor arena in RAM.\n//\n" + "\n".join(f"// {line}" for line in _arithmetic(footprint)),
        f"constexpr std::size_t kTensorArenaBytes = {size};",
        includes=("#include <cstddef>",),
    )


def _arithmetic(footprint: Footprint) -> Iterator[str]:
    yield f"{footprint.arena.nonpersistent_bytes}: activations, {footprint.activation_source};"
    for name, kind in footprint.arena.by_kind.items():
        yield f"{kind.target_bytes}: {name} ({kind.arithmetic});"
    yield f"{footprint.scratch_bytes}: scratch buffers of CMSIS-NN's kernels that add to the peak, and their indices."
    yield "Estimated upper bound for these kernels. The command arena% reports the bytes in use; set slightly more."


def _golden_header(vectors: Golden) -> str:
    return _header(
        "// Golden inputs, and their outputs from the reference kernels of TensorFlow Lite Micro.",
        f"constexpr std::size_t kGoldenCount = {len(vectors.inputs)};",
        "extern const unsigned char kGoldenInputs[kGoldenCount][kInputBytes];",
        "extern const unsigned char kGoldenOutputs[kGoldenCount][kOutputBytes];",
        includes=('#include "model_info.h"',),
    )


def _golden_source(vectors: Golden) -> str:
    return _source(
        "golden.h",
        [
            _rows_of("kGoldenInputs[kGoldenCount][kInputBytes]", vectors.inputs),
            _rows_of("kGoldenOutputs[kGoldenCount][kOutputBytes]", vectors.outputs),
        ],
    )


def _rows_of(declaration: str, rows: Sequence[bytes]) -> str:
    inner = (",\n".join("  {" + ", ".join(f"0x{byte:02x}" for byte in row) + "}" for row in rows)) + ","
    return f"const unsigned char {declaration} = {{\n{inner}\n}};"


def _readme(
    target: Target, footprint: Footprint, interpreter: Interpreter, vectors: Golden, *, name: str, notes: str
) -> str:
    return Template((_FILES / "README.md").read_text(encoding="utf-8")).substitute(
        name=name,
        board=target.description,
        model_bytes=f"{footprint.file_bytes:,}",
        operator_count=len(footprint.operators),
        operators=", ".join(footprint.operators),
        arena_bytes=f"{footprint.arena_bytes:,}",
        golden_count=len(vectors.inputs),
        input_bytes=len(vectors.inputs[0]),
        output_bytes=len(vectors.outputs[0]),
        input_text=_shape_text(interpreter.inputs[0]),
        output_text=_shape_text(interpreter.outputs[0]),
        notes=notes,
        build_rows=_BUILD_ROWS if _is_cortex_m(target) else "",
        cmake_section=_cmake_section(target, footprint) if _is_cortex_m(target) else "",
        arithmetic="\n".join(f"- {line}" for line in _arithmetic(footprint)),
    )


def _cmake_section(target: Target, footprint: Footprint) -> str:
    core, low_high = _core(target), footprint.flash_band
    architecture = core + _HARD_FLOAT.get(core, "") * _has_fpu(target)
    return Template((_FILES / "CMAKE.md").read_text(encoding="utf-8")).substitute(
        makefile_options=f"TARGET=cortex_m_generic TARGET_ARCH={architecture} OPTIMIZED_KERNEL_DIR=cmsis_nn",
        core_flags=_core_flags(target),
        flash_bytes=f"{footprint.flash_bytes:,}",
        flash_low=f"{low_high[0]:,}",
        flash_high=f"{low_high[1]:,}",
    )


def _is_cortex_m(target: Target) -> bool:
    assert target.microcontroller is not None, "firmware is written for microcontrollers"
    return target.microcontroller.kernels == "cmsis_nn"


def _core(target: Target) -> str:
    """Name of the core for GCC's ``-mcpu``."""
    hardware = target.hardware
    return _CORES.get(hardware.architecture or "", "cortex-m7" if "M7" in (hardware.cpu or "") else "cortex-m4")


def _core_flags(target: Target) -> str:
    """GCC flags for the core, for compiling and linking."""
    core = _core(target)
    floats = f"-mfloat-abi=hard -mfpu={_FPUS[core]}" if _has_fpu(target) else "-mfloat-abi=soft"
    return f"-mcpu={core} -mthumb {floats}"


def _has_fpu(target: Target) -> bool:
    return "fpu" in target.hardware.features and _core(target) in _FPUS


def _shape_text(port: Port) -> str:
    shape = " x ".join(map(str, port.shape))
    text = f"{port.dtype} of shape {shape}"
    if port.order != tuple(sorted(port.order)):
        dimensions = ", ".join(map(str, port.order))
        text += f" (dimensions {dimensions} of the network's {' x '.join(map(str, port.onnx_shape))})"
    if not port.scale:
        return text
    stored = f"v / {port.scale:.8g} {'-' if port.zero_point < 0 else '+'} {abs(port.zero_point)}"
    return f"{text}; the value v is stored as {stored}, rounded"
