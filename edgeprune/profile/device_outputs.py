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
    """Run samples through a model on a device, with the runner of its bundle.

    Args:
        model: Model file, such as ``model.onnx`` of a bundle.
        samples: Inputs (N, ...), preprocessed as in training.
        device: Device that runs the model. Defaults to this machine.
        runner: Script that runs the model, such as ``run.py`` of a bundle. Defaults to the runner of the backend.
        timeout_s: Timeout in seconds.

    Returns:
        Outputs (N, ...) by name.

    Raises:
        DeviceError: The device cannot be reached, or the runner fails, for example because of samples that
            do not match the model.
    """
    runner = runner or default_scripts(model)[0]
    with tempfile.TemporaryDirectory() as folder, (device or Local()).open() as workspace:
        input_file, output_file = Path(folder) / "samples.npy", Path(folder) / "outputs.npz"
        np.save(input_file, samples)
        remote_path = workspace.path(output_file.name)
        arguments = [workspace.push(runner), workspace.push(model), "--input", workspace.push(input_file)]
        workspace.run([*arguments, "--output", remote_path], timeout_s=timeout_s)
        workspace.pull(remote_path, output_file)
        try:
            with np.load(output_file) as outputs:
                return {name: outputs[name] for name in outputs.files}
        except (ValueError, OSError) as problem:
            raise DeviceError(f"the outputs of {runner.name} cannot be read: {problem}") from problem
