#!/usr/bin/env python3
"""Prints how long and how large a build is, with the machine, the versions and the seed; as Markdown.

    .venv/bin/python scripts/bench_build.py                        # --help, the demo, ResNet-56 where its data is
    .venv/bin/python scripts/bench_build.py --data-dir ../shared/cifar10 --epochs 0

Every build is the command line itself, in a process and an empty folder of its own. Memory is the largest sum of
resident memory over the process and its descendants, looked at every 50 ms (pages they share count in each).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_COMMAND = str(Path(sys.executable).with_name("edgeprune"))
_HELP_RUNS = 10
_SAMPLE_S = 0.05
_PACKAGES = ("edgeprune", "torch", "onnx", "onnxruntime", "onnxsim", "numpy")
# What the limit on the other stages leaves out.
_LEARN_OR_MEASURE = {
    "train": "training",
    "prune-while-training": "training",
    "evaluate-dense": "evaluation",
    "evaluate": "evaluation",
    "evaluate-shipped": "evaluation",
    "profile": "profiling",
}
_TARGETS = ("raspberry-pi-4", "host", "jetson-orin-nano")
# What a target exports, checks and measures for itself.
_OWN = (
    "preflight", "export", "quantize", "parity", "profile", "choose", "evaluate-shipped", "bundle",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        seconds: Wall time.
        peak_bytes: Of it and its descendants together.
        output: Its JSON, or None.
    """

    seconds: float
    peak_bytes: int
    output: Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("EDGEPRUNE_DATA", _ROOT.parent / "shared")) / "cifar10"
    parser.add_argument("--data-dir", type=Path, default=default, help=f"CIFAR-10 and ResNet-56 weights ({default})")
    parser.add_argument("--epochs", type=int, default=1, help="of fine-tuning the ResNet-56 (1)")
    parser.add_argument("--seed", type=int, default=0)
    namespace = parser.parse_args()

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print_machine(namespace.seed)
    print_help_time()
    with tempfile.TemporaryDirectory() as folder:
        demo = ["build", "--target", "raspberry-pi-4", "--seed", str(namespace.seed), "--json"]
        print_build("digits for raspberry-pi-4 (the demo)", demo, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        print_targets("digits", ["--seed", str(namespace.seed)], Path(folder))
    if not namespace.data_dir.is_dir():
        print(f"\nResNet-56 left out: no folder {namespace.data_dir}; give --data-dir")
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["build", "cifar10-resnet56", "--data-dir", str(namespace.data_dir.resolve())]
        arguments += ["--epochs", str(namespace.epochs), "--seed", str(namespace.seed), "--json"]
        print_build(f"cifar10-resnet56 for host, {namespace.epochs} epochs", arguments, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--data-dir", str(namespace.data_dir.resolve()), "--epochs", str(namespace.epochs)]
        print_targets("cifar10-resnet56", [*arguments, "--seed", str(namespace.seed)], Path(folder))


def print_machine(seed: int) -> None:
    """What the figures belong to."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    print(f"machine: {cpu_name()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}")
    print(f"versions: Python {platform.python_version()}, {versions}")
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"seed: {seed}; load of the machine before (1, 5, 15 minutes): {load}")


def print_help_time() -> None:
    """Median and range of ``edgeprune --help``."""
    durations = []
    for _ in range(_HELP_RUNS + 1):
        started = time.perf_counter()
        subprocess.run([_COMMAND, "--help"], check=True, capture_output=True)
        durations.append(time.perf_counter() - started)
    durations = durations[1:]  # the first reads from disk
    print(
        f"\n`edgeprune --help`: {statistics.median(durations):.3f} s "
        f"(median of {len(durations)}; {min(durations):.3f} to {max(durations):.3f})"
    )


def print_build(title: str, arguments: list[str], folder: Path) -> None:
    """Build, build again, and tell the stages."""
    first = run(arguments, folder)
    again = run(arguments, folder)
    stages = {stage["name"]: stage["seconds"] for stage in first.output["stages"]}
    others = {name: seconds for name, seconds in stages.items() if name not in _LEARN_OR_MEASURE}
    print(f"\n## {title}\n")
    print("| | |\n|---|---:|")
    print(f"| wall time | {first.seconds:.1f} s |")
    for kind in dict.fromkeys(_LEARN_OR_MEASURE.values()):
        seconds = sum(durations for name, durations in stages.items() if _LEARN_OR_MEASURE.get(name) == kind)
        print(f"| {kind} | {seconds:.1f} s |")
    print(f"| all other stages | {sum(others.values()):.1f} s |")
    print(f"| peak memory, all processes | {first.peak_bytes / 1e6:.0f} MB |")
    print(f"| the same build again | {again.seconds:.2f} s |")
    print("\n| stage | seconds |\n|---|---:|")
    for name, seconds in stages.items():
        print(f"| {name} | {seconds:.2f} |")
    cached = [stage["name"] for stage in again.output["stages"] if not stage["cached"]]
    if cached:
        print(f"\nnot taken from the cache by the second build: {', '.join(cached)}")


def print_targets(recipe: str, arguments: list[str], folder: Path) -> None:
    """Build for three targets at once, and tell what the others cost beside the first and their own exports.

    The first does all that one target alone does; in one run, as the load of a machine changes between two.
    """
    several = run(["build", recipe, *(f"--target={name}" for name in _TARGETS), *arguments, "--json"], folder).output
    (seconds, _), (shared, own) = shared_seconds(several["targets"][:1]), shared_seconds(several["targets"])
    print(f"\n## {recipe}: {', '.join(_TARGETS)} at once\n")
    print("| | |\n|---|---:|")
    print(f"| training, evaluation and all that is shared, first target | {seconds:.1f} s |")
    print(f"| the same, all three | {shared:.1f} s |")
    print(f"| ratio (at most 1.25) | {shared / seconds:.2f} |")
    print(f"| their own stages | {own:.1f} s |")
    for built in several["targets"]:
        again = [stage["name"] for stage in built["stages"] if not stage["cached"]]
        print(f"\n{built['target']} ran: {', '.join(again)}")


def shared_seconds(built: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of the stages that do not depend on the target, and of those that do, as far as they ran."""
    ran = [stage for target in built for stage in target["stages"] if not stage["cached"]]
    own = sum(stage["seconds"] for stage in ran if stage["name"] in _OWN)
    return sum(stage["seconds"] for stage in ran) - own, own


def run(arguments: list[str], folder: Path) -> Run:
    """Run the command line to its end; ends this script where it fails."""
    started = time.perf_counter()
    argv = [_COMMAND, *arguments]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True) as build,
    ):
        sampler = MemorySampler(build.pid)
        output, _ = build.communicate()
        seconds = time.perf_counter() - started
        peak_bytes = sampler.stop()
        if build.returncode != 0:
            errors.seek(0)
            sys.exit(f"edgeprune {' '.join(arguments)} ended with {build.returncode}:\n{errors.read().decode()}")
    return Run(seconds, peak_bytes, json.loads(output))


class MemorySampler(threading.Thread):
    """Looks at the memory of a process and its descendants until stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._peak_bytes = 0
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(_SAMPLE_S):
            self._peak_bytes = max(self._peak_bytes, tree_bytes(self._pid))

    def stop(self) -> int:
        """The peak, in bytes."""
        self._stopped.set()
        self.join()
        return self._peak_bytes


def tree_bytes(root: int) -> int:
    """Resident memory of process ``root`` and its descendants."""
    parents, resident = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid], resident[pid] = int(fields[1]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(resident.get(pid, 0) for pid in tree)


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
