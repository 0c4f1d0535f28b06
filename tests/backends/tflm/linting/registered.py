"""Prints as JSON the operators that TFLite Micro finds a kernel for: each is alone in a file, and in a process.

What a kernel then does with such a file is another matter; some crash where they have no options.
"""

from __future__ import annotations

import json
import os
import sys

from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime

from tests.tflite.tflite_files import FLOAT, File


def is_registered(kind: str, custom: str = "") -> bool:
    """Whether TFLite Micro finds a kernel."""
    file = File()
    x, y = file.tensor("x", (1, 4), FLOAT), file.tensor("y", (1, 4), FLOAT)
    file.op(kind, (x,), (y,), custom=custom)
    content = file.content((x,), (y,))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 2)
        try:
            runtime.Interpreter.from_bytes(content, arena_size=1 << 16)
        except RuntimeError:
            os._exit(1)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as output:
        printed = output.read()
    return "Didn't find op" not in printed and "Failed to get registration" not in printed


if __name__ == "__main__":
    names = [name for name in vars(schema.BuiltinOperator) if not name.startswith("_") and name != "CUSTOM"]
    builtin = [name for name in names if is_registered(name)]
    print(json.dumps({"builtin": builtin, "custom": [code for code in sys.argv[1:] if is_registered("CUSTOM", code)]}))
