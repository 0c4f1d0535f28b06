"""Figures of one network of the zoo: what pruning removes, and whether every later file computes the same."""

from __future__ import annotations

import copy
import math
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune import graph
from edgeprune.model.output_difference import distance, tensors
from scripts.counted_macs import counted_macs, macs_by_operator, macs_differences, run
from tests.zoo.networks import make
from tests.zoo.zoo_family import Example

if TYPE_CHECKING:
    from typing_extensions import Self

    from edgeprune.export.onnx_export import OnnxModel
    from edgeprune.tflite.conversion import TfliteConversion

CALIBRATION_SAMPLES = 4


def network_row(name: str, fraction: float, *, checks: bool) -> dict[str, Any]:
    """Prune the network ``name`` to ``fraction`` of its MACs, and return the figures of the report.

    With ``checks``, the pruned network is also trained for three steps, and exported to ONNX and TFLite.
    """
    from edgeprune import prune

    network, example = make(name)
    dense = copy.deepcopy(network)
    counted_before = counted_macs(network, example)
    with Peak() as peak:
        begin = time.perf_counter()
        pruned = prune(network, example, budget={"macs": fraction})
        seconds = time.perf_counter() - begin
    assert pruned.equivalence is not None
    counted_after = counted_macs(pruned.model, example)
    units = graph.units_of(graph.capture(network, example))
    row = {
        "seconds": seconds - pruned.equivalence.seconds,
        "peak_mb": peak.bytes / 1e6,
        "weights_mb": sum(p.numel() * p.element_size() for p in network.parameters()) / 1e6,
        "macs_before": pruned.before.macs,
        "macs_after": pruned.after.macs,
        "params_before": pruned.before.params,
        "params_after": pruned.after.params,
        "counted_before": counted_before.total(),
        "counted_after": counted_after.total(),
        "macs_differences": macs_differences(macs_by_operator(units), counted_before),
        "equivalence_error": pruned.equivalence.max_error,
        "equivalence_seconds": pruned.equivalence.seconds,
        "exact": pruned.equivalence.exact,
        "form": pruned.form,
        "prunable_params": _prunable_fraction(network, units),
        "frozen": pruned.frozen,
        "replay": _result(lambda: {"error": _replay_error(pruned.plan, dense, example, pruned.model)}),
    }
    if checks:
        batch = _batch(example) if units.coordinates.program.dynamic_batch else example
        row["training"] = _result(lambda: {"losses": _train(copy.deepcopy(pruned.model), batch)})
        with tempfile.TemporaryDirectory() as folder:
            row.update(_file_checks(pruned.model, example, Path(folder)))
    return row


class Peak:
    """Largest resident memory of this process while the context is open, over that at its start."""

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


def _result(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a check, or the class and first line of its error."""
    try:
        return check()
    except Exception as problem:  # noqa: BLE001 - a check that fails is a result of the benchmark
        return {"failure": f"{type(problem).__name__}: {str(problem).strip() or 'no message'}"}


def _prunable_fraction(network: nn.Module, units: graph.Units) -> float:
    """Return the fraction of the parameters that shrink with some prunable group."""
    shrinking = {member.tensor for group in units.groups if group.frozen is None for member in group.members}
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters()}
    return sum(size for key, size in sizes.items() if key in shrinking) / sum(sizes.values())


def _replay_error(plan: Any, dense: nn.Module, example: Example, pruned: nn.Module) -> float:
    """Save and load ``plan``, apply it to the dense network, and return the distance from the pruned network."""
    from edgeprune.selection.plan import Plan

    with tempfile.TemporaryDirectory() as folder:
        plan.save(Path(folder) / "plan.json")
        replayed = Plan.load(Path(folder) / "plan.json").apply(dense, example, verify=False)
    return distance(run(pruned, example), run(replayed, example))


def _file_checks(model: nn.Module, example: Example, folder: Path) -> dict[str, Any]:
    """Export to ONNX, convert to TFLite, and quantize; each file is compared with the one before, output by output."""
    files: dict[str, Any] = {}
    expected = run(model, example)
    inputs = [leaf.numpy() for leaf in pytree.tree_leaves(example)]

    def onnx() -> dict[str, Any]:
        import onnxruntime

        from edgeprune.export.onnx_export import export

        exported: OnnxModel = export(model.eval(), example, folder / "model.onnx")
        files["onnx"] = exported
        session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
        feed = dict(zip(exported.input_names, inputs, strict=True))
        outputs = session.run(None, {port.name: feed[port.name] for port in session.get_inputs()})
        return {"errors": _errors(expected, outputs), "exporter": exported.exporter}

    def tflite() -> dict[str, Any]:
        from edgeprune.backends.litert.litert_session import LiteRTSession
        from edgeprune.tflite.conversion import convert

        converted: TfliteConversion = convert(files["onnx"].path, folder / "model.tflite")
        files["tflite"] = converted
        feed = dict(zip(files["onnx"].input_names, inputs, strict=True))
        session = LiteRTSession(converted.path, converted.inputs, converted.outputs)
        files["float"] = session.run([feed[port.name] for port in converted.inputs])
        return {"errors": _errors(expected, files["float"]), "operators": converted.operators}

    def int8() -> dict[str, Any]:
        from edgeprune.backends.litert.litert_session import LiteRTSession
        from edgeprune.model.splits import TensorSplit
        from edgeprune.tflite.tflite_quantizing import quantize

        sample = torch.from_numpy(inputs[0])
        others = torch.randn(CALIBRATION_SAMPLES - 1, *sample.shape[1:], generator=torch.Generator().manual_seed(1))
        split = TensorSplit(torch.cat([sample.float(), others]), torch.zeros(CALIBRATION_SAMPLES, dtype=torch.long))
        quantized = quantize(files["tflite"], folder / "int8.tflite", split, samples=CALIBRATION_SAMPLES)
        outputs = LiteRTSession(quantized.path, quantized.inputs, quantized.outputs).run([sample.float().numpy()])
        errors = [_rms_error(one, other) for one, other in zip(files["float"], outputs, strict=True)]
        return {"errors": errors, "float_nodes": dict(Counter(node.op for node in quantized.float_nodes))}

    row = {"onnx": _result(onnx)}
    row["tflite"] = _result(tflite) if "onnx" in files else {"failure": "no ONNX file"}
    row["int8"] = _result(int8) if "float" in files else {"failure": "no TFLite file"}
    return row


def _errors(expected: Sequence[Tensor], outputs: Sequence[Any]) -> list[float]:
    """Return the distance of each output, see ``output_difference.distance``; infinite where an output is missing."""
    if len(expected) != len(outputs):
        return [math.inf]
    return [distance([one], [torch.from_numpy(other)]) for one, other in zip(expected, outputs, strict=True)]


def _rms_error(expected: Any, output: Any) -> float:
    """Return the root mean square of the difference over that of the expected output."""
    expected, output = np.float64(expected), np.float64(output)
    return float(np.sqrt(np.square(expected - output).mean() / max(np.square(expected).mean(), 1e-30)))


def _batch(example: Example) -> Example:
    """Return a batch of the example and three others: random numbers, or its integers moved by some positions."""
    generator = torch.Generator().manual_seed(1)

    def four(leaf: Tensor) -> Tensor:
        if leaf.is_floating_point():
            return torch.cat([leaf, torch.randn(3, *leaf.shape[1:], generator=generator)])
        return torch.cat([leaf.roll(step, -1) for step in range(4)])

    batch: Example = pytree.tree_map(four, example)
    return batch


def _train(model: nn.Module, batch: Example) -> list[float]:
    """Return the losses of three short steps along the gradient and after them: mean square error to random targets.

    Each step draws the same dropout, so that only the steps change the loss.
    """
    model.train()
    losses: list[float] = []
    targets: list[Tensor] = []
    for _ in range(4):
        torch.manual_seed(0)
        outputs = tensors(model(**batch) if isinstance(batch, Mapping) else model(*batch))
        outputs = [output for output in outputs if output.is_floating_point() and output.requires_grad]
        targets = targets or [torch.randn_like(output) for output in outputs]
        loss = torch.stack([((a - b) ** 2).mean() for a, b in zip(outputs, targets, strict=True)]).sum()
        model.zero_grad()
        loss.backward()
        length = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.002 / max(length, 1e-12) * parameter.grad)
        losses.append(loss.item())
    return losses
