"""Page of the results of ``bench_zoo.py``: tables, and the reason of everything that did not work."""

from __future__ import annotations

import platform
import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from scripts.page import processor
from tests.zoo.networks import FAMILIES, family_of

Row = Mapping[str, Any]

_VERSIONS = [
    "edgeprune",
    "torch",
    "torchvision",
    "timm",
    "ultralytics",
    "segmentation-models-pytorch",
    "transformers",
    "onnxruntime",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
]
_INTRODUCTION = """\
# The zoo

Families: {titles}. All networks have random weights, random statistics and scales in each normalization,
and no annotations. Each network runs in its own process, with criterion `l2`, seed 0 and one sample.

Command: `{command}`. Versions: {versions}, Python {python}, {processor}, {threads} threads.

## Columns

- *s*: wall-clock time from capture to the rewritten network, without the equivalence check. Other programs ran on the
  machine at the same time. *peak*: largest memory of capture, pruning and check, over the memory at their start;
  beside it the size of the weights.
- *MACs*: millions, before and after. *torch*: the ratio after / before that `torch.utils.flop_counter` counts while
  the real modules run, and the difference of its count from that of EdgePrune, dense and pruned; under the table are
  the operators that explain a difference of more than 1 %.
- *error*: result of the equivalence check: largest error relative to the largest value of an output. `~`:
  normalizations mix channels; there the reference is the operator itself on the remaining channels.
- *onnx*, *tflite*: ONNX Runtime and LiteRT against PyTorch, the output with the largest error. *int8*: int8 TFLite file
  against the float one, root mean square of the difference over that of the output, the output with the largest error;
  calibrated on {samples} random samples.
- *replay*: error of the network that the saved plan makes of another copy of the dense network.
- *trains*: whether the loss falls over three steps.
- *form*: the user's own module, or the captured program where a forward has hard-coded sizes.
- *-*: not run (`--fast` leaves out training and files).
- *prunable*: fraction of the parameters in tensors that some prunable group shrinks.

A number in brackets refers to the list of reasons under the table."""
_HEAD = [
    "network",
    "s",
    "peak / weights MB",
    "MACs",
    "torch",
    "error",
    "onnx",
    "tflite",
    "int8",
    "replay",
    "trains",
    "form",
    "prunable",
    "frozen",
]


def page(rows: Sequence[Row], *, command: str, samples: int) -> str:
    """Return the page as Markdown."""
    titles = [family.title for family in FAMILIES.values()]
    families = [key for key in FAMILIES if any(family_of(row["network"]) is FAMILIES[key] for row in rows)]
    lines = _INTRODUCTION.format(
        titles=", ".join([titles[0].lower(), *(title[0].lower() + title[1:] for title in titles[1:])]),
        command=command,
        versions=", ".join(f"{name} {_version(name)}" for name in _VERSIONS if _version(name)),
        python=platform.python_version(),
        processor=processor(),
        threads=torch.get_num_threads(),
        samples=samples,
    ).splitlines()
    lines += ["", "## Summary", "", *_summary(rows, families)]
    for key in families:
        for fraction in sorted({row["fraction"] for row in rows}, reverse=True):
            own = [row for row in rows if row["fraction"] == fraction and family_of(row["network"]) is FAMILIES[key]]
            if own:
                lines += ["", f"## {FAMILIES[key].title}, at {fraction:g} of the MACs", "", *_table(own)]
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _summary(rows: Sequence[Row], families: Sequence[str]) -> list[str]:
    """Return a table with the number of networks that pass each step, of those that ran it."""
    head = ["family", "at", "networks", "pruned and equivalent", "largest error", "largest difference of MACs"]
    head += ["replayed", "ONNX", "TFLite", "int8", "trained"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key in families:
        for fraction in sorted({row["fraction"] for row in rows}, reverse=True):
            own = [row for row in rows if row["fraction"] == fraction and family_of(row["network"]) is FAMILIES[key]]
            pruned = [row for row in own if "error" not in row]
            if not own:
                continue
            largest = max((row["equivalence_error"] for row in pruned), default=0.0)
            shift = max((abs(value - 1) for row in pruned for value in _shifts(row)), default=0.0)
            cells = [FAMILIES[key].title, f"{fraction:g}", str(len(own)), str(len(pruned)), f"{largest:.0e}"]
            cells.append(f"{shift:.2%}")
            for step in ("replay", *_FILES, "training"):
                ran = [row[step] for row in pruned if step in row]
                cells.append(f"{sum(map(_passes, ran))} of {len(ran)}" if ran else "-")
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _passes(result: Row) -> bool:
    """Return whether a step succeeded; a training whose loss does not fall did not."""
    losses = result.get("losses")
    return "failure" not in result and (losses is None or losses[-1] < losses[0])


def _shifts(row: Row) -> list[float]:
    """Return the MACs that torch counts over those of EdgePrune, dense and pruned."""
    return [row[f"counted_{when}"] / max(row[f"macs_{when}"], 1) for when in ("before", "after")]


_LONGEST_REASON = 240
_FOLDER = re.compile(r"/\S*/(?=\w+\.(?:tflite|onnx)\b)")
"""Folder of a file in a message: a temporary one."""
_NODE = re.compile(r"node \S+ \(")
"""Name of a node, without which the same reason is listed once for all networks."""
_FILES = ("onnx", "tflite", "int8")


def _table(rows: Sequence[Row]) -> list[str]:
    against = any("torch_pruning" in row for row in rows)
    head = [*_HEAD, *(["Torch-Pruning 1.6.1"] if against else [])]
    reasons: list[str] = []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cells(row, reasons, against=against)) + " |" for row in rows]
    if reasons:
        lines += ["", *(f"{number}. {text}" for number, text in enumerate(reasons, 1))]
    return lines


def _note(reasons: list[str], text: str) -> str:
    text = _NODE.sub("a node (", _FOLDER.sub("", " ".join(text.split()))).replace("|", "\\|")
    text = textwrap.shorten(text, _LONGEST_REASON, placeholder=" ...")
    if text not in reasons:
        reasons.append(text)
    return f"[{reasons.index(text) + 1}]"


def _cells(row: Row, reasons: list[str], *, against: bool) -> list[str]:
    if "error" in row:
        cells = [row["network"], *["-"] * (len(_HEAD) - 2), _note(reasons, row["error"])]
    else:
        losses = row.get("training", {}).get("losses")
        trains = "yes" if losses and losses[-1] < losses[0] else "no" if losses else _check(row, "training", reasons)
        cells = [
            row["network"],
            f"{row['seconds']:.1f}",
            f"{row['peak_mb']:.0f} / {row['weights_mb']:.0f}",
            f"{row['macs_before'] / 1e6:.1f} -> {row['macs_after'] / 1e6:.1f}",
            _counted(row, reasons),
            f"{'' if row['exact'] else '~'}{row['equivalence_error']:.0e}",
            *(_check(row, key, reasons) for key in (*_FILES, "replay")),
            trains,
            row["form"],
            f"{row['prunable_params']:.1%}",
            "; ".join(sorted({reason for _, reason in row["frozen"]})),
        ]
    if against:
        peer = row.get("torch_pruning", {})
        cells.append(peer.get("error") or f"{peer['seconds']:.1f} s, {peer['peak_mb']:.0f} MB")
    return cells


def _counted(row: Row, reasons: list[str]) -> str:
    ratio = row["counted_after"] / max(row["counted_before"], 1)
    before, after = _shifts(row)
    text = f"{ratio:.3f} ({before - 1:+.1%}, {after - 1:+.1%})"
    if row["macs_differences"]:
        kinds = ", ".join(f"{kind} {own:,} : {torch:,}" for kind, (own, torch) in row["macs_differences"].items())
        text += " " + _note(reasons, f"MACs of {row['network']} as EdgePrune and as torch counts them: {kinds}")
    return text


def _check(row: Row, key: str, reasons: list[str]) -> str:
    result = row.get(key)
    if result is None:
        return "-"
    if "failure" in result:
        return _note(reasons, result["failure"])
    errors = result.get("errors", [result.get("error")])
    return f"{max(errors, default=0.0):.0e}"
