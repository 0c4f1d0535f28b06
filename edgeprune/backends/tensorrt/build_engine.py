#!/usr/bin/env python3
"""Builds a TensorRT engine from the ONNX files beside this script, on the board that will run it.

Needs Python 3.8 or newer and TensorRT's trtexec (JetPack: sudo apt install tensorrt); nothing else.

    python build_engine.py                    every precision of the bundle, measured in turn: the fastest
    python build_engine.py --precision fp16
    python build_engine.py --show             print the commands of trtexec, run nothing

Prints the path of the engine. An engine fits one device, one driver, one version of TensorRT and one ONNX file: it is
kept with that key beside it, and built again when the key differs. So is the choice of the precision, with its figures,
in model.choice.json. The timing cache makes a second build quick.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from edgeprune.backends.tensorrt.runner_parts.engine_builder import BUILD_TIMEOUT_S, Builder
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError, say
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import PRECISIONS


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Build a TensorRT engine on this device.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--precision", choices=PRECISIONS, help="default: that which is the fastest here")
    parser.add_argument("--bundle", type=Path, default=here, help="folder of the ONNX files; default: this one")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ in the bundle")
    parser.add_argument("--force", action="store_true", help="build, and choose, even if nothing changed")
    parser.add_argument("--show", action="store_true", help="print the commands of trtexec and do not run them")
    parser.add_argument("--timeout", type=float, default=BUILD_TIMEOUT_S, metavar="S", help="longest build (3600)")
    given = parser.parse_args()
    model, engines = given.bundle / "model.onnx", given.engines or given.bundle / "engines"
    try:
        builder = Builder()
        if given.show:
            for precision, onnx in builder.forms(model, given.precision).items():
                print(shlex.join(builder.command(onnx, precision, engines)))
            return
        made = builder.prepare(model, engines, given.precision, force=given.force, timeout_s=given.timeout)
    except EngineError as problem:
        say(f"error: {problem}")
        raise SystemExit(problem.exit_code) from None
    say(f"TensorRT {builder.version}, {made.precision}: {made.reason}")
    say("built" if made.built else "current: nothing to build")
    print(made.engine)


if __name__ == "__main__":
    main()
