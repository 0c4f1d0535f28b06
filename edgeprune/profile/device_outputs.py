"""Outputs of a model on a device."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.devices import Device, Local
from edgeprune.errors import DeviceError
from edgeprune.profile.interleaved_bench import default_scripts

Array = NDArray[Any]


def predict(
    model: Path,
    samples: Array,
    device: Device | None = None,
    *,
    runner: Path | None = None,
    timeout_s: float = 600.0,
) -> dict[str, Array]:
    """Run samples through a model on a device, by the runner that a bundle is shipped with.

    Args:
        model: Its file, such as ``model.onnx`` of a bundle.
        samples: (N, ...), scaled as in training.
        device: Where; default: this machine.
        runner: The script that runs it there: ``run.py`` of a bundle; None: the one of its backend.
        timeout_s: Longest wait.

    Returns:
        All outputs (N, ...) by name.

    Raises:
        DeviceError: The device cannot be reached, or the runner fails, as it does where samples do not fit the model.
    """
    runner = runner or default_scripts(model)[0]
    with tempfile.TemporaryDirectory() as folder, (device or Local()).open() as workspace:
        given, got = Path(folder) / "samples.npy", Path(folder) / "outputs.npz"
        np.save(given, samples)
        there = workspace.path(got.name)
        arguments = [workspace.push(runner), workspace.push(model), "--input", workspace.push(given)]
        workspace.run([*arguments, "--output", there], timeout_s=timeout_s)
        workspace.pull(there, got)
        try:
            with np.load(got) as outputs:
                return {name: outputs[name] for name in outputs.files}
        except (ValueError, OSError) as problem:
            raise DeviceError(f"{runner.name} wrote outputs that cannot be read: {problem}") from problem
