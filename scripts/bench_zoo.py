"""Prune every network of the zoo, with no annotations, and say what came out.

    python scripts/bench_zoo.py                             # all networks, at 0.5 and 0.75 of their MACs
    python scripts/bench_zoo.py resnet50 swin_t --share 0.5
    python scripts/bench_zoo.py --against torch-pruning     # the same with Torch-Pruning 1.6.1 beside it (extra: bench)
    python scripts/bench_zoo.py --write docs/benchmarks/zoo.md

Each network runs in its own process. Seconds are from capture to the rewritten network, without the equivalence check.
Peak memory is that of the process over what it held with the network loaded. Needs torchvision and timm (see README).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from scripts.page import processor  # noqa: E402
from tests.zoo.networks import NAMES, declare_operators, make  # noqa: E402

if TYPE_CHECKING:
    from typing_extensions import Self

LIMIT_S = 600
PEER_LIMIT_BYTES = 12 * 2**30


def main() -> None:
    arguments = _arguments()
    if arguments.one:
        print(json.dumps(_ours(arguments.one, arguments.share[0], checks=not arguments.fast)))
        return
    if arguments.one_torch_pruning:
        print(json.dumps(_torch_pruning(arguments.one_torch_pruning, arguments.share[0])))
        return
    rows = _read(arguments.rows)
    available = {(row["network"], row["share"]) for row in rows}
    for share in arguments.share:
        for name in arguments.names or NAMES:
            if (name, share) in available:
                continue
            row = _run(["--one", name, "--share", str(share), *(["--fast"] if arguments.fast else [])])
            row = {"network": name, "share": share, **row}
            if arguments.against:
                row["torch_pruning"] = _run(["--one-torch-pruning", name, "--share", str(share)])
            rows.append(row)
            print(name, share, row.get("error", "done"), file=sys.stderr, flush=True)
            if arguments.rows:
                with arguments.rows.open("a", encoding="utf-8") as journal:
                    journal.write(json.dumps(row) + "\n")
    text = _report(rows)
    print(text)
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")


def _read(journal: Path | None) -> list[dict[str, Any]]:
    if journal is None or not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; default: all")
    parser.add_argument("--share", type=float, nargs="+", default=[0.5, 0.75], help="budgets, shares of dense MACs")
    parser.add_argument("--against", choices=["torch-pruning"], help="run this beside it")
    parser.add_argument("--fast", action="store_true", help="prune and verify only: no training, no ONNX")
    parser.add_argument("--rows", type=Path, help="journal of results: what it has is not run again")
    parser.add_argument("--write", type=Path, help="write the report there too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--one-torch-pruning", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(argv: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, __file__, *argv], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {LIMIT_S} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1][:200] if lines else f"exit code {done.returncode}"}
    values: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


class Peak:
    """The largest resident memory of this process while it is open, over that at its start."""

    def __enter__(self) -> Self:
        self.base = _resident_bytes()
        self.bytes = 0
        self._open = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            self.bytes = max(self.bytes, _resident_bytes() - self.base)
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _ours(name: str, share: float, *, checks: bool) -> dict[str, Any]:
    from edgeprune import prune
    from edgeprune.errors import BudgetError

    network, example = make(name)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    with Peak() as peak:
        begin = time.perf_counter()
        try:
            quick = prune(network, example, budget={"macs": share}, options={"verify": False})
        except BudgetError as error:
            return {"error": str(error)}
        seconds = time.perf_counter() - begin
    del quick
    pruned = prune(network, example, budget={"macs": share})
    assert pruned.equivalence is not None
    row = {
        "seconds": seconds,
        "peak_mb": peak.bytes / 1e6,
        "weights_mb": weights / 1e6,
        "macs_before": pruned.before.macs,
        "macs_after": pruned.after.macs,
        "params_before": pruned.before.params,
        "params_after": pruned.after.params,
        "equivalence_error": pruned.equivalence.max_error,
        "equivalence_seconds": pruned.equivalence.seconds,
        "exact": pruned.equivalence.exact,
        "form": pruned.form,
        "prunable_params": _prunable_share(network, example),
        "frozen": pruned.frozen,
    }
    if checks:
        row["onnx_error"] = _onnx_error(pruned.model, example)
        row["losses"] = _train(pruned.model, example)
    return row


def _prunable_share(network: nn.Module, example: tuple[torch.Tensor]) -> float:
    """Share of the parameters that shrink with some prunable group."""
    from edgeprune import groups

    shrinking = {m.tensor for group in groups(network, example) if group.frozen is None for m in group.members}
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters()}
    return sum(size for key, size in sizes.items() if key in shrinking) / sum(sizes.values())


def _onnx_error(model: nn.Module, example: tuple[torch.Tensor]) -> float:
    """Largest difference of ONNX Runtime's outputs from PyTorch's, relative to the largest value."""
    import onnxruntime

    from edgeprune.export.onnx_export import export

    with tempfile.TemporaryDirectory() as folder:
        exported = export(model.eval(), example, Path(folder) / "model.onnx")
        session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
        got = session.run(None, {exported.input_names[0]: example[0].numpy()})
    with torch.no_grad():
        want = [leaf for leaf in pytree.tree_leaves(model(*example)) if isinstance(leaf, torch.Tensor)]
    return max(
        float((torch.from_numpy(b) - a).abs().max() / a.abs().max().clamp(min=1e-30))
        for a, b in zip(want, got, strict=True)
    )


def _train(model: nn.Module, example: tuple[torch.Tensor]) -> list[float]:
    """Losses of three short steps along the gradient and of a last look: mean square error to random targets.

    Each step draws the same dropout, so that what falls is the loss and not the luck.
    """
    batch = torch.cat([example[0], example[0].flip(-1)])
    model.train()
    losses, targets = [], None
    for _ in range(4):
        torch.manual_seed(0)
        outputs = [leaf for leaf in pytree.tree_leaves(model(batch)) if isinstance(leaf, torch.Tensor)]
        if targets is None:
            targets = [torch.randn_like(output) for output in outputs]
        loss = sum(((a - b) ** 2).mean() for a, b in zip(outputs, targets, strict=True))
        assert isinstance(loss, torch.Tensor)
        model.zero_grad()
        loss.backward()
        length = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.02 / max(length, 1e-12) * parameter.grad)
        losses.append(loss.item())
    return losses


def _torch_pruning(name: str, share: float) -> dict[str, Any]:
    """Torch-Pruning with no annotations, its ratio raised until the MACs fit; checked by a forward alone."""
    import torch_pruning

    resource.setrlimit(resource.RLIMIT_AS, (PEER_LIMIT_BYTES, PEER_LIMIT_BYTES))  # swin_t would take all of it
    network, example = make(name)
    with Peak() as peak:
        begin = time.perf_counter()
        before = torch_pruning.utils.count_ops_and_params(network, example[0])[0]
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
        pruner = torch_pruning.pruner.MagnitudePruner(
            network,
            example[0],
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            iterative_steps=20,
            pruning_ratio=0.95,
            ignored_layers=last,
        )
        after = before
        for _ in range(20):
            pruner.step()
            after = torch_pruning.utils.count_ops_and_params(network, example[0])[0]
            if after <= share * before:
                break
        seconds = time.perf_counter() - begin
    with torch.no_grad():
        network(*example)
    if after > share * before:
        return {"error": f"stopped at {after / before:.2f} of the MACs"}
    return {"seconds": seconds, "peak_mb": peak.bytes / 1e6, "macs_before": before, "macs_after": after}


def _report(rows: list[dict[str, Any]]) -> str:
    declare_operators()
    import numpy as np
    import onnxruntime
    import timm
    import torchvision

    from edgeprune import __version__

    lines = f"""# The zoo

Networks of torchvision and timm, fresh weights, no annotations. `scripts/bench_zoo.py` makes this table: each network
in its own process, criterion `l2`, seed 0, one image.

EdgePrune {__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__},
ONNX Runtime {onnxruntime.__version__}, numpy {np.__version__}, Python {platform.python_version()}, {processor()},
{torch.get_num_threads()} threads.

- *s*: capture to rewritten network, without the equivalence check. *peak*: most memory meanwhile, over what was
  held before; beside it the size of the weights.
- *error*: result of the equivalence check, the largest error of the pruned network's output against the dense one with
  the removed coordinates zeroed,
  relative to the largest output; `~` marks networks where normalizations mix channels: those are checked against
  themselves on the slice that stays.
- *onnx*: ONNX Runtime against PyTorch, relative to the largest output. *trains*: the loss falls over three steps.
- *form*: the user's own module, or the captured program where a forward has sizes written down.
- *prunable*: share of the parameters in tensors that some prunable group shrinks.""".splitlines()
    for share in sorted({row["share"] for row in rows}, reverse=True):
        lines += ["", f"## At {share:g} of the MACs", ""]
        own = [row for row in rows if row["share"] == share]
        against = any("torch_pruning" in row for row in own)
        head = ["network", "s", "peak / weights MB", "GMACs", "error", "onnx", "trains", "form", "prunable", "frozen"]
        head += ["Torch-Pruning 1.6.1"] if against else []
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(_cells(row, against)) + " |" for row in own]
        done = [row for row in own if "error" not in row]
        largest = max(row["equivalence_error"] for row in done)
        lines += [
            "",
            f"{len(done)} of {len(own)} pruned; largest error of the equivalence check {largest:.1e}.",
        ]
    return "\n".join(lines)


def _cells(row: dict[str, Any], against: bool) -> list[str]:
    if "error" in row:
        cells = [row["network"], *["-"] * 8, row["error"]]
    else:
        losses = row.get("losses")
        cells = [
            row["network"],
            f"{row['seconds']:.1f}",
            f"{row['peak_mb']:.0f} / {row['weights_mb']:.0f}",
            f"{row['macs_before'] / 1e9:.3f} -> {row['macs_after'] / 1e9:.3f}",
            f"{'' if row['exact'] else '~'}{row['equivalence_error']:.0e}",
            f"{row['onnx_error']:.0e}" if "onnx_error" in row else "-",
            "-" if losses is None else "yes" if losses[-1] < losses[0] else "no",
            row["form"],
            f"{row['prunable_params']:.1%}",
            "; ".join(sorted({reason for _, reason in row["frozen"]})),
        ]
    if against:
        peer = row.get("torch_pruning", {})
        cells.append(peer.get("error") or f"{peer['seconds']:.1f} s, {peer['peak_mb']:.0f} MB")
    return cells


if __name__ == "__main__":
    main()
