#!/usr/bin/env python3
"""Prints what the two ONNX exporters of PyTorch make of ResNet-56, as a module and as a captured program; as Markdown.

    .venv/bin/python scripts/bench_export.py

Each line is a fresh process, so that time and memory include what the exporter imports. Latency is measured in turn.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_CASES = [(exporter, form) for exporter in ("tracing", "torch.export") for form in ("module", "program")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=3, metavar=("EXPORTER", "FORM", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(export(given.case[0], given.case[1], Path(given.case[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = {f"{exporter}, {form}": Path(folder) / f"{exporter}-{form}.onnx" for exporter, form in _CASES}
        found = {}
        for (exporter, form), (name, path) in zip(_CASES, paths.items(), strict=True):
            argv = [sys.executable, __file__, "--case", exporter, form, str(path)]
            ended = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
            found[name] = json.loads(ended.stdout)
        from edgeprune.profile import measure

        profile = measure(paths, threads=1)
    print("| exporter, form | first s | second s | peak MB | opset | nodes | bytes | p50 ms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, facts in found.items():
        figures = " | ".join(str(value) for value in facts.values())
        print(f"| {name} | {figures} | {profile.models[name].latency_ms.p50:.3f} |")


def export(exporter: str, form: str, path: Path) -> dict[str, object]:
    """Export twice in this process with one exporter alone."""
    import torch

    from edgeprune.errors import ModelError
    from edgeprune.export import exporters, onnx
    from edgeprune.model.sources import load_object

    torch.manual_seed(0)
    build = load_object("model.py:build", base=_ROOT / "recipes" / "cifar10-resnet56", error=ModelError)
    model, example = build().eval(), (torch.randn(1, 3, 32, 32),)
    if form == "program":
        model = torch.export.export(model, example).module()
    onnx.by_tracing = onnx.by_torch_export = getattr(exporters, "by_" + exporter.replace(".", "_"))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        written = onnx.export(model, example, path)
        seconds.append(round(time.perf_counter() - started, 2))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "first": seconds[0],
        "second": seconds[1],
        "peak_mb": peak_mb,
        "opset": written.opset,
        "nodes": written.nodes,
        "bytes": written.file_bytes,
    }


if __name__ == "__main__":
    main()
