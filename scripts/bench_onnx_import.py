"""Export networks of the zoo to ONNX, import the file, prune the imported networks, and print the results.

    python scripts/bench_onnx_import.py                                  # all classifiers, by EdgePrune's own export
    python scripts/bench_onnx_import.py resnet18 swin_t --exporter 13    # by torch's tracing exporter, opset 13
    python scripts/bench_onnx_import.py --import-only
    python scripts/bench_onnx_import.py hf-bert                          # any other network of the zoo

Each network runs in its own process. ``error`` is the largest difference of the imported network from the original one,
relative to the largest output. Networks whose packages are not installed are skipped, with a line that names these.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from scripts.own_process import run_row  # noqa: E402
from tests.zoo.networks import FAMILIES, NAMES, make, missing_packages  # noqa: E402
from tests.zoo.zoo_family import Example  # noqa: E402

LIMIT_S = 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME",
                        help="networks of the zoo; default: the family of classifiers")  # fmt: skip
    parser.add_argument("--exporter", default="edgeprune", help="edgeprune, or an opset for torch's tracing exporter")
    parser.add_argument("--import-only", action="store_true", help="neither prune nor export again")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_result(arguments.names[0], arguments.exporter, prunes=not arguments.import_only)))
        return
    columns = ("seconds", "error", "batch", "params", "macs", "equivalence", "form", "exported", "trains")
    print("| network | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|", flush=True)
    for name in arguments.names or FAMILIES["classifiers"].makers:
        if missing := missing_packages(name):
            print(f"{name} is skipped: {', '.join(missing)} is not installed", file=sys.stderr, flush=True)
            continue
        argv = [name, "--one", "--exporter", arguments.exporter, *(["--import-only"] * arguments.import_only)]
        row = run_row(__file__, argv, limit_s=LIMIT_S)
        print(f"| {name} | " + " | ".join(str(row.get(column, "-")) for column in columns) + " |", flush=True)


def _result(name: str, exporter: str, *, prunes: bool) -> dict[str, Any]:
    from edgeprune import load_onnx, prune
    from edgeprune.export.flat_io import FlatNetwork
    from edgeprune.export.onnx_export import export
    from edgeprune.model.output_difference import distance, tensors

    warnings.simplefilter("ignore")
    network, example = make(name)
    reference = FlatNetwork(network, example)
    inputs = reference.inputs
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(network, example, exporter, Path(folder) / "network.onnx")
        begin = time.perf_counter()
        imported = load_onnx(path)
        row: dict[str, Any] = {"seconds": round(time.perf_counter() - begin, 1)}
        batch = [torch.cat([one, one.flip(-1)]) for one in inputs]
        with torch.no_grad():
            row["error"] = f"{distance(reference(*inputs), tensors(imported(*inputs))):.0e}"
            try:
                error = distance(reference(*batch), tensors(imported(*batch)))
                row["batch"] = "free" if error < 1e-4 else f"differs by {error:.0e}"
            except RuntimeError:
                row["batch"] = "fixed"
        row["params"] = sum(parameter.numel() for parameter in imported.parameters())
        if not prunes:
            return row
        pruned = prune(imported, inputs, budget={"macs": 0.5})
        assert pruned.equivalence is not None
        exported = export(pruned.model, inputs, Path(folder) / "pruned.onnx")
        again = load_onnx(exported.path)
        with torch.no_grad():
            error = distance(tensors(pruned.model(*inputs)), tensors(again(*inputs)))
        row |= {
            "macs": f"{pruned.after.macs / pruned.before.macs:.3f}",
            "equivalence": f"{pruned.equivalence.max_error:.0e}",
            "form": pruned.form,
            "exported": f"{error:.0e}",
            "trains": _trains(pruned.model, batch if row["batch"] == "free" else inputs),
        }
    return row


def _exported(network: nn.Module, example: Example, exporter: str, path: Path) -> Path:
    from edgeprune.export.onnx_export import export

    if exporter == "edgeprune":
        export(network, example, path)
    else:
        args, kwargs = (example, None) if isinstance(example, tuple) else ((), dict(example))
        torch.onnx.export(network, args, str(path), kwargs=kwargs, dynamo=False, opset_version=int(exporter))
    return path


def _trains(model: nn.Module, batch: Sequence[Tensor]) -> bool:
    """Return whether every parameter has a finite gradient of the mean square of the outputs in training mode."""
    from edgeprune.model.output_difference import tensors

    loss: Any = sum(output.square().mean() for output in tensors(model.train()(*batch)))
    loss.backward()
    return all(one.grad is not None and bool(one.grad.isfinite().all()) for one in model.parameters())


if __name__ == "__main__":
    main()
