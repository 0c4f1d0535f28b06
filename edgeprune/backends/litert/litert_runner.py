#!/usr/bin/env python3
"""Runs a TFLite model with LiteRT on samples, as a benchmark, or for EdgePrune's measurements.

Requires Python 3.8 or newer, numpy, and ai-edge-litert or tflite-runtime.

    python run.py --input samples.npy              largest outputs for each sample, of model.tflite in this folder
    python run.py --input samples.npy --output out.npz
    python run.py --benchmark 200 --threads 4      latency on random input
    python run.py --serve                          answer JSON commands on stdin, see the function serve

Samples are scaled as in training. They have the layout of the network, such as (N, C, H, W), or that of the file, such
as (N, H, W, C). Outputs have the layout of the network if the file states its own layout, as files by EdgePrune do.
Integer inputs are quantized, and integer outputs are dequantized.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import mmap
import struct
import sys
from pathlib import Path
from typing import Any

from edgeprune.backends.runner_parts.serving import core_count
from edgeprune.backends.runner_parts.sessions import SessionServer, arguments, run_command

try:
    import numpy as np

    try:
        from ai_edge_litert.interpreter import Interpreter

        RUNTIME = "ai-edge-litert"
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        RUNTIME = "tflite-runtime"
except ImportError as problem:
    line = f"{sys.executable} -m pip install 'numpy>=1.21' 'ai-edge-litert>=1.0'"
    raise SystemExit(f"LiteRT is not installed ({problem}): run {line}") from None

# One ReLU on one float. Running it before the baseline is taken makes the runtime load what every model needs.
_SMALLEST_MODEL = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAA0AAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAMABQAEAAMAAgABAAMAAAA"
    "EAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEAAAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAA"
    "MAAAAAQAAADk////CAAAAAwAAAABAAAAeQAAAAEAAAABAAAADAAMAAgAAAAAAAQADAAAAAgAAAAMAAAAAQAAAHgAAAABAAAAAQAAAAEAAAAQAAAA"
    "DAAMAAsAAAAAAAQADAAAABMAAAAAAAAT"
)
_ORDERS = b"edgeprune.orders"  # name of the metadata that states how inputs and outputs are stored
_MODEL_BUFFERS, _MODEL_METADATA, _METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = (
    4,
    6,
    0,
    1,
    0,
)  # slots of TFLite tables


class Session:
    """Loaded model. Threads never spin; None as their number selects all cores that this process may use."""

    def __init__(self, model: str | bytes, threads: int | None, spinning: bool = False) -> None:
        self.threads = threads or core_count()
        source = {"model_path": model} if isinstance(model, str) else {"model_content": model}
        self._interpreter = Interpreter(num_threads=self.threads, **source)
        self._interpreter.allocate_tensors()
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()
        self.model = model

    def run(self, _outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run one inference. Inputs and all returned outputs have the layout and type of the file."""
        for details in self.inputs:
            self._interpreter.set_tensor(details["index"], inputs[details["name"]])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self.outputs]

    def random_inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Random inputs in the shapes of the model: standard normal values, quantized for integer inputs."""
        rng = np.random.RandomState(seed)
        return {details["name"]: stored(details, rng.standard_normal(details["shape"])) for details in self.inputs}

    def run_samples(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Run samples (N, ...) and return all outputs (N, ...) by name."""
        details, orders = self.inputs[0], dimension_orders(self.model)
        shape = [int(size) for size in details["shape"]]
        as_stored = list(range(len(shape)))
        # Where the file states nothing, it was converted from images (N, C, H, W), or not reordered at all.
        layouts = [orders["inputs"][0], as_stored] if orders else [as_stored, [0, 2, 3, 1]]
        shapes = [[shape[number] for number in np.argsort(order)] for order in layouts if len(order) == len(shape)]
        match = next(
            (number for number, candidate in enumerate(shapes) if candidate[1:] == list(samples.shape[1:])), None
        )
        if match is None:
            raise ValueError(f"expected samples of shape {shapes[0]}, but the file has {list(samples.shape)}")
        batch, order = shapes[match][0], layouts[match]
        if len(samples) % batch:
            raise ValueError(f"the model needs batches of {batch} samples, but the file has {len(samples)}")
        parts = [
            self.run(None, {details["name"]: stored(details, samples[start : start + batch].transpose(order))})
            for start in range(0, len(samples), batch)
        ]
        outputs = {}
        for index, output in enumerate(self.outputs):
            values = [restored(output, part[index]) for part in parts]
            if orders:
                values = [value.transpose(np.argsort(orders["outputs"][index])) for value in values]
            outputs[output["name"]] = np.concatenate(values)
        return outputs


def stored(details: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Convert values to the type of the file. Integer types are quantized."""
    scale, zero_point = details["quantization"]
    if not scale:
        return np.ascontiguousarray(values, details["dtype"])
    limits = np.iinfo(details["dtype"])
    return np.asarray(np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max), details["dtype"])


def restored(details: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Convert values of the file to real values. Quantized integers are dequantized."""
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale) if scale else values


def dimension_orders(model: str | bytes) -> dict[str, list[list[int]]]:
    """Dimension order of each input and output: the network's dimension for each stored one. Empty if not stated.

    The orders are in the metadata of the flatbuffer, which TFLite runtimes do not return.
    """
    if isinstance(model, bytes):
        return _stated_orders(model)
    with open(model, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _stated_orders(content)


def _stated_orders(content: Any) -> dict[str, list[list[int]]]:
    (root,) = struct.unpack_from("<I", content, 0)
    for entry in _table_vector(content, root, _MODEL_METADATA):
        name = _field(content, entry, _METADATA_NAME)
        buffer = _field(content, entry, _METADATA_BUFFER)
        if name is None or buffer is None or _bytes(content, name) != _ORDERS:
            continue
        (number,) = struct.unpack_from("<I", content, buffer)
        data = _field(content, _table_vector(content, root, _MODEL_BUFFERS)[number], _BUFFER_DATA)
        return json.loads(_bytes(content, data)) if data is not None else {}
    return {}


def _field(content: Any, table: int, slot: int) -> int | None:
    """Position of a field of a table; None if the table does not have it."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    entry = 4 + 2 * slot
    size = struct.unpack_from("<H", content, vtable)[0]
    offset = struct.unpack_from("<H", content, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else None


def _vector(content: Any, field: int) -> tuple[int, int]:
    """Position of the first element of the vector or string that a field refers to, and the number of elements."""
    start = field + struct.unpack_from("<I", content, field)[0]
    return start + 4, struct.unpack_from("<I", content, start)[0]


def _bytes(content: Any, field: int) -> bytes:
    start, count = _vector(content, field)
    return bytes(content[start : start + count])


def _table_vector(content: Any, table: int, slot: int) -> list[int]:
    """Positions of the tables in a vector of tables."""
    field = _field(content, table, slot)
    if field is None:
        return []
    start, count = _vector(content, field)
    positions = range(start, start + 4 * count, 4)
    return [position + struct.unpack_from("<I", content, position)[0] for position in positions]


def make_server() -> SessionServer:
    """Create the server for EdgePrune's commands."""
    runtime = {"runtime": RUNTIME, "runtime_version": importlib.metadata.version(RUNTIME)}
    return SessionServer(Session, runtime, _SMALLEST_MODEL)


def main() -> None:
    """Run the command line of the runner."""
    folder = Path(__file__).resolve().parent
    parser = arguments("Run a TFLite model with LiteRT.", folder / "model.tflite")
    run_command(parser, parser.parse_args(), folder / "golden.npz", Session, make_server)


if __name__ == "__main__":
    main()
