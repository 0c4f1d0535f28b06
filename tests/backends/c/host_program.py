"""Generated C code as a program of this machine, with sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeprune.backends.c.code_files import GeneratedCode, generate
from edgeprune.backends.tflm.interpreter import Interpreter

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing: install it to run generated code")

_FLAGS = (
    "-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)  # fmt: skip
_MAIN = """#include <stdio.h>
#include <stdlib.h>
#include "model.h"

static int8_t *ports[{count}];
static const size_t sizes[{count}] = {{{sizes}}};

int main(void) {{
  for (int i = 0; i < {count}; ++i) {{
    ports[i] = malloc(sizes[i]);
  }}
  for (;;) {{
    for (int i = 0; i < {inputs}; ++i) {{
      if (fread(ports[i], 1, sizes[i], stdin) != sizes[i]) {{
        return 0;
      }}
    }}
    model_run({arguments});
    for (int i = {inputs}; i < {count}; ++i) {{
      fwrite(ports[i], 1, sizes[i], stdout);
    }}
  }}
}}
"""

Array = NDArray[np.int8]


def build(files: dict[str, str], sizes: Sequence[int], inputs: int, folder: Path) -> Path:
    """Compile generated files with a program that reads inputs from stdin and writes outputs to stdout.

    Args:
        files: The generated files.
        sizes: Bytes of each input and output.
        inputs: Number of inputs.
        folder: Folder for the files.
    """
    folder.mkdir(exist_ok=True)
    main = _MAIN.format(
        count=len(sizes), inputs=inputs, sizes=", ".join(map(str, sizes)),
        arguments=", ".join(f"ports[{index}]" for index in range(len(sizes))),
    )  # fmt: skip
    for name, text in {**files, "main.c": main}.items():
        (folder / name).write_text(text, encoding="ascii")
    program = folder / "program"
    sources = [str(folder / name) for name in (*files, "main.c") if name.endswith(".c")]
    result = subprocess.run(
        ["gcc", *_FLAGS, "-o", str(program), *sources], check=False, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return program


def run(program: Path, samples: Sequence[Sequence[Array]], shapes: Sequence[Sequence[int]]) -> list[list[Array]]:
    """Return the outputs, of ``shapes``, for each sample, which is a list of inputs."""
    content = b"".join(value.tobytes() for sample in samples for value in sample)
    result = subprocess.run([str(program)], input=content, check=False, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr.decode()
    values, outputs = np.frombuffer(result.stdout, np.int8), []
    for _ in samples:
        outputs.append([])
        for shape in shapes:
            size = int(np.prod(shape))
            outputs[-1].append(values[:size].reshape(tuple(shape)))
            values = values[size:]
    assert not values.size
    return outputs


def assert_equals_interpreter(path: Path, folder: Path, samples: int = 4) -> GeneratedCode:
    """Check that the C code of an int8 file computes the same bits as TensorFlow Lite Micro, and return the code."""
    interpreter = Interpreter(path)
    rng = np.random.default_rng(0)
    values: list[list[Any]] = [
        [rng.integers(-128, 128, port.shape, dtype=np.int8) for port in interpreter.inputs] for _ in range(samples)
    ]
    code = generate(path)
    ports = (*interpreter.inputs, *interpreter.outputs)
    program = build(code.files, [int(np.prod(port.shape)) for port in ports], len(interpreter.inputs), folder)
    actual = run(program, values, [port.shape for port in interpreter.outputs])
    for sample, outputs in zip(values, actual, strict=True):
        for expected, output in zip(interpreter.run_stored(sample), outputs, strict=True):
            np.testing.assert_array_equal(output, expected)
    return code
