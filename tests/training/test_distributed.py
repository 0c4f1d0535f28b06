"""Processes that ``torchrun`` starts train as one would alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from edgeprune.errors import InputError
from edgeprune.model import weights

_SCRIPT = Path(__file__).with_name("run_distributed.py")
_SAME = ["plain", "uneven", "foreign", "samples", "everything", "adamw", "frozen", "hook"]
pytestmark = pytest.mark.long


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_distributed", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run: Any = _load()


def _launch(folder: Path, *cases: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, _SCRIPT, folder, *cases],
        check=False,
        capture_output=True,
        text=True,
        timeout=1500,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes made of every case."""
    folder = tmp_path_factory.mktemp("together")
    done = _launch(folder, *run.CASES)
    assert done.returncode == 0, done.stderr
    return folder


def _differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest difference of each tensor, as a share of its largest value."""
    assert one.keys() == other.keys()
    return {
        name: float((one[name] - other[name]).abs().max() / one[name].abs().max().clamp(min=1e-3))
        for name in one
        if one[name].is_floating_point()
    }


@pytest.mark.parametrize("case", _SAME)
def test_two_processes_train_the_same_weights_as_one(together: Path, tmp_path: Path, case: str) -> None:
    network, history = run.train(case, tmp_path)
    assert history.rollbacks == 0
    apart = _differ(network.state_dict(), weights.read(together / "0" / case / "result.safetensors"))
    assert max(apart.values()) < 1e-4, apart
    moved = _differ(network.state_dict(), run.Net().state_dict())
    assert max(moved.values()) > 0.02, "training changes a lot more than that"


def test_a_step_may_call_parts_of_the_network_and_leave_layers_out(together: Path) -> None:
    assert (together / "0" / "parts" / "best.safetensors").exists()


def test_divergence_in_one_process_rolls_back_all(together: Path) -> None:
    assert (together / "0" / "rollback" / "rollbacks").read_text() == "1"


def test_only_the_first_process_writes(together: Path) -> None:
    assert [folder.name for folder in together.iterdir()] == ["0"]


def test_distributed_training_resumes_after_a_kill_with_the_same_number_of_processes(
    together: Path, tmp_path: Path
) -> None:
    killed = _launch(tmp_path, f"everything:{run.STEPS + 2}")
    assert killed.returncode != 0
    assert (tmp_path / "0" / "everything" / "underway.pt").exists()
    with pytest.raises(InputError, match=r"2.*1.*--nproc-per-node.*2"):
        run.train("everything", tmp_path / "0" / "everything")
    done = _launch(tmp_path, "everything")
    assert done.returncode == 0, done.stderr
    files = [folder / "0" / "everything" / "result.safetensors" for folder in (together, tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_fewer_samples_a_step_than_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = run.process_group().__class__(rank=0, count=17)
    monkeypatch.setattr("edgeprune.training.trainer.process_group", lambda: many)
    with pytest.raises(InputError, match=r"training\.batch_size.*16.*50.*17"):
        run.train("plain", tmp_path)
