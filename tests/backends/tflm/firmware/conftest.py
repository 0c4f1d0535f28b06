"""A model, and the firmware that is written for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeprune.backends.tflm.firmware import firmware_files
from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.config import Target
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize
from tests.quantize.digits import digits, trained, write

NAME = "digits-nucleo"
Write = Callable[[Path, str], Path]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    lowered = convert(write(trained(), folder / "digits.onnx"), folder / "digits.tflite")
    return quantize(lowered, folder / "int8.tflite", digits().train, samples=8).path


@pytest.fixture(scope="session")
def samples() -> np.ndarray:
    images: np.ndarray = next(iter(digits().validation.batches(4)))[0].numpy()
    return images


@pytest.fixture(scope="session")
def write_firmware(model: Path, samples: np.ndarray) -> Write:
    """Writes the firmware for a target into a folder, and returns the folder."""

    def written(folder: Path, target: str) -> Path:
        files = firmware_files.write(model, Target.load(target), footprint(model), samples, name=NAME)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    return written


@pytest.fixture(scope="session")
def folder(write_firmware: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_firmware(tmp_path_factory.mktemp("firmware"), "microcontroller")
