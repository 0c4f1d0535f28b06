#!/usr/bin/env python3
"""Builds a TensorRT engine from the ONNX files beside this script, on the board that will run it.

Requires Python 3.8 or newer and TensorRT's trtexec (JetPack: sudo apt install tensorrt).

    python build_engine.py                    build all precisions of the bundle and select the fastest
    python build_engine.py --precision fp16
    python build_engine.py --show             print the trtexec commands without running them

Prints the path of the engine. An engine depends on the device, the driver, the version of TensorRT and the ONNX file.
This key is stored with the engine, which is built again if the key changes. The selected precision and its measurements
are stored in model.choice.json. The timing cache makes a second build fast.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from edgeprune.backends.tensorrt.runner_parts.engine_builder import BUILD_TIMEOUT_S, Builder
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError, say
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import PRECISIONS


def main() -> None:
    """Run the command line of the script."""
    parser = argparse.ArgumentParser(description="Build a TensorRT engine on this device.")
    folder = Path(__file__).resolve().parent
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the fastest on this device")
    parser.add_argument(
        "--bundle", type=Path, default=folder, help="folder of the ONNX files; default: the folder of this file"
    )
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ in the bundle")
    parser.add_argument(
        "--force", action="store_true", help="build the engine and select the precision again even if nothing changed"
    )
    parser.add_argument("--show", action="store_true", help="print the trtexec commands without running them")
    parser.add_argument(
        "--timeout", type=float, default=BUILD_TIMEOUT_S, metavar="S", help="time limit of a build in seconds (3600)"
    )
    options = parser.parse_args()
    model, engines = options.bundle / "model.onnx", options.engines or options.bundle / "engines"
    try:
        builder = Builder()
        if options.show:
            for precision, onnx in builder.onnx_files(model, options.precision).items():
                print(shlex.join(builder.command(onnx, precision, engines)))
            return
        engine = builder.prepare(model, engines, options.precision, force=options.force, timeout_s=options.timeout)
    except EngineError as problem:
        say(f"error: {problem}")
        raise SystemExit(problem.exit_code) from None
    say(f"TensorRT {builder.version}, {engine.precision}: {engine.reason}")
    say("built" if engine.built else "current: nothing to build")
    print(engine.engine)


if __name__ == "__main__":
    main()
