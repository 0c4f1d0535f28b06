"""Code and settings on the pages of how-to guides work as they are written."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import edgeprune
from edgeprune.cli import run
from edgeprune.config import Recipe, Target
from edgeprune.export.onnx_export import export
from edgeprune.model import network

_GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.fixture(autouse=True)
def _removed_modules(tmp_path: Path) -> Iterator[None]:
    """Modules of a guide exist only in its own test."""
    yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Function that writes the titled code blocks of a guide into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(guide: str) -> list[str]:
        page = (_GUIDES / f"{guide}.md").read_text(encoding="utf-8")
        blocks = re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', page, re.DOTALL)
        for title, code in blocks:
            path = tmp_path / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        return [title for title, _ in blocks]

    return write


def test_criterion_of_the_guide_prunes(written: Any) -> None:
    assert written("criterion") == ["mine.py"]
    assert run(["criteria", "mine.py:LargestWeight"]) == 0
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    mine = importlib.import_module("mine")
    result = edgeprune.prune(
        model, (torch.rand(1, 3, 8, 8),), budget={"macs": 0.6}, options={"criterion": mine.LargestWeight(factor=2.0)}
    )
    before, after = (layer.weight.detach().abs().amax((1, 2, 3)) for layer in (model[0], result.model[0]))
    assert len(after) < len(before)
    assert sorted(after.tolist()) == sorted(before.tolist())[-len(after) :]


@pytest.mark.parametrize("name", ["kitchen-pi", "my-m4"])
def test_board_of_the_guide_is_a_target(name: str, written: Any) -> None:
    assert f"targets/{name}.toml" in written("board")
    assert Target.load(name).name == name
    assert run(["targets", "show", name]) == 0


def test_transport_of_the_guide_measures(written: Any, digits_bundle: Any) -> None:
    written("transport")
    bundle = digits_bundle("host", {"training.epochs": 0})
    code = (  # in a process of its own, as the transport stays registered
        "import sys, edgeprune, other_python\n"
        "quick = dict(warmup=1, runs=4, blocks=2, noise=100.0)\n"
        "print(edgeprune.profile(sys.argv[1], f'python:{sys.executable}', **quick).device['uri'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"python:{sys.executable}"


def test_onnx_file_of_the_guide_is_a_network(written: Any) -> None:
    assert written("onnx-input") == ["recipe.toml"]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(6272, 2))
    export(model, (torch.rand(1, 3, 32, 32),), Path("net.onnx"))
    settings = Recipe.load(".").model
    loaded = network.load_model(settings.factory, None, base=Path.cwd(), shape=settings.input)
    page = (_GUIDES / "onnx-input.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    values: dict[str, Any] = {"torch": torch}
    exec(code, values)
    assert values["pruned"].after.macs <= values["pruned"].before.macs / 2
    assert loaded.state_dict().keys() == values["network"].state_dict().keys()


def test_detector_of_the_guide_is_built(written: Any) -> None:
    assert written("detection") == ["detector.py", "recipe.toml"]
    detector = importlib.import_module("detector")
    torch.manual_seed(0)
    torch.save(detector.Detector().state_dict(), "detector.pt")
    recipe = Recipe.load(".").override({"training.epochs": 1, "training.lr": 0.01, "prune.samples": 64})
    result = edgeprune.build(recipe, "raspberry-pi-4", lock=None)
    assert result.manifest.metric == "recall"
    assert result.manifest.metrics.pruned.macs <= result.manifest.metrics.dense.macs / 2


def test_objective_of_the_guide_takes_outputs_and_targets(written: Any) -> None:
    assert written("custom-loss") == ["objective.py", "data.py", "step.py"]
    objective, data, step = (importlib.import_module(name) for name in ("objective", "data", "step"))
    splits = data.data()
    inputs, targets = next(iter(splits.train.batches(6)))
    model = nn.Linear(4, 3)
    assert step.step(model, inputs, targets).keys() == {"task", "smoothness"}
    with torch.no_grad():
        assert objective.loss(model(inputs), targets) > 0
        assert objective.metric(model, splits.validation) < 0
