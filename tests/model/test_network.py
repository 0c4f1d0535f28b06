"""The factory and the first forward pass: what a user's network can do wrong is said before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgeprune.errors import ModelError
from edgeprune.model import network, weights


def _linear() -> nn.Module:
    return nn.Linear(4, 3)


def test_a_class_is_a_factory_and_the_network_is_in_eval_mode() -> None:
    class Net(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)

    model = network.build(Net)
    assert isinstance(model, Net)
    assert not model.training


def test_random_weights_follow_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (network.build(_linear, seed=seed).state_dict()["weight"] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_load_model_takes_code_and_weights_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\ndef make(): return nn.Linear(4, 3)\n")
    state = {"weight": torch.full((3, 4), 0.5), "bias": torch.zeros(3)}
    weights.save(state, tmp_path / "net.safetensors")
    model = network.load_model("net.py:make", tmp_path / "net.safetensors", base=tmp_path)
    assert torch.equal(model.state_dict()["weight"], state["weight"])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (3, "got int"),
        (lambda width: nn.Linear(width, 2), "TypeError"),
        (lambda: {"weight": torch.ones(1)}, r"torch\.nn\.Module, got dict"),
        (nn.ReLU, "ReLU"),
    ],
)
def test_a_factory_that_cannot_be_used_is_named(factory: object, message: str) -> None:
    with pytest.raises(ModelError, match=rf"net\.py:make.*{message}"):
        network.build(factory, name="net.py:make")  # type: ignore[arg-type]


def test_example_inputs_follow_shape_and_seed() -> None:
    (one,), (two,) = network.example_inputs((2, 3, 8, 8), 5), network.example_inputs((2, 3, 8, 8), 5)
    assert one.shape == (2, 3, 8, 8)
    assert one.dtype == torch.float32
    assert torch.equal(one, two)


def test_a_wrong_shape_names_shape_setting_and_cause() -> None:
    with pytest.raises(ModelError, match=r"1.*5.*RuntimeError.*mat1.*mat2.*model\.input"):
        network.check_forward(_linear(), network.example_inputs((1, 5)))


def test_a_forward_that_fails_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Linear):\n"
        "    def __init__(self): super().__init__(2, 2)\n    def forward(self, x): raise ValueError('on purpose')\n"
    )
    model = network.load_model("net.py:Net", None, base=tmp_path)
    with pytest.raises(ModelError, match=r"ValueError: on purpose \(.*net\.py, line 4\)"):
        network.check_forward(model, network.example_inputs((1, 2)))


def test_outputs_must_be_finite() -> None:
    model = _linear()
    nn.init.constant_(model.bias, float("inf"))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"Linear .*\(1, 4\)"):
        network.check_forward(model, network.example_inputs((1, 4)))


def test_training_mode_is_restored() -> None:
    model = _linear().train()
    assert network.check_forward(model, network.example_inputs((2, 4))).shape == (2, 3)
    assert model.training
