"""Checkpoints: safe to read, refused with what does not fit, written with the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeprune.errors import WeightsError
from edgeprune.model import weights


def _network(width: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def _changed() -> nn.Module:
    model = _network()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    return model


class _RunsCode:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    weights.save(_changed().state_dict(), tmp_path / "net.safetensors")
    model = _network()
    weights.load_into(model, tmp_path / "net.safetensors")
    assert _same(model, _changed())


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    state = _network().state_dict()
    weights.save(state, tmp_path / "one.safetensors")
    reordered = {name: state[name].to(memory_format=torch.preserve_format) for name in reversed(list(state))}
    reordered["0.weight"] = state["0.weight"].to(memory_format=torch.channels_last)
    weights.save(reordered, tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_tied_tensors_are_saved_under_each_name(tmp_path: Path) -> None:
    tied = torch.ones(3)
    weights.save({"a": tied, "b": tied, "c": tied[:2]}, tmp_path / "tied.safetensors")
    read = weights.read(tmp_path / "tied.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in read.items()} == {"a": (3,), "b": (3,), "c": (2,)}


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_usual_torch_checkpoints_are_understood(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {prefix + name: tensor for name, tensor in _changed().state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "net.pth")
    model = _network()
    weights.load_into(model, tmp_path / "net.pth")
    assert _same(model, _changed())


def test_wrapper_prefix_that_is_a_module_name_is_preserved(tmp_path: Path) -> None:
    model = nn.Module()
    model.module = nn.Linear(2, 2)
    weights.save(model.state_dict(), tmp_path / "net.safetensors")
    weights.load_into(model, tmp_path / "net.safetensors")


def test_batch_counters_may_be_missing_as_in_old_checkpoints(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in _changed().state_dict().items() if "num_batches" not in name}
    weights.save(state, tmp_path / "net.safetensors")
    model = _network()
    weights.load_into(model, tmp_path / "net.safetensors")
    assert torch.equal(model[0].weight, _changed()[0].weight)


def test_weights_that_do_not_fit_are_listed_and_change_nothing(tmp_path: Path) -> None:
    state = {**_network(6).state_dict(), "extra": torch.ones(1)}
    del state["3.bias"]
    weights.save(state, tmp_path / "net.safetensors")
    model = _network()
    with pytest.raises(WeightsError) as caught:
        weights.load_into(model, tmp_path / "net.safetensors")
    message = str(caught.value)
    assert str(tmp_path / "net.safetensors") in message
    assert "missing 3.bias" in message
    assert "unexpected extra" in message
    assert re.search(r"0\.weight: .*\(4, 3, 3, 3\).*\(6, 3, 3, 3\)", message)
    assert message.count("\n") == 6
    assert message.endswith("... and 4 more")
    assert _same(model, _network())


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = _network().state_dict()
    state["0.bias"] = torch.tensor([1.0, float("nan"), float("inf"), 0.0])
    weights.save(state, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"net\.safetensors: .* 2 of 4 .*0\.bias"):
        weights.load_into(_network(), tmp_path / "net.safetensors")


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": _RunsCode(tmp_path / "was-run")}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"net\.pt .*mkdir"):
        weights.read(tmp_path / "net.pt")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.long
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_conversion_that_a_refusal_names_works(tmp_path: Path, wrapped: bool) -> None:
    model = _changed()
    torch.save({"model": model.state_dict(), "args": re.compile("x")} if wrapped else model, tmp_path / "net.pt")
    with pytest.raises(WeightsError) as caught:
        weights.read(tmp_path / "net.pt")
    command = re.search(r'python -c "(.*)"', str(caught.value))
    assert command is not None
    subprocess.run([sys.executable, "-c", command[1]], cwd=tmp_path, check=True, timeout=600)
    converted = _network()
    weights.load_into(converted, tmp_path / "net.safetensors")
    assert _same(converted, model)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
@pytest.mark.parametrize("content", [b"", b"nonsense, not weights"])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path / name))):
        weights.read(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        weights.read(tmp_path / "absent.safetensors")


def test_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "net.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"\.safetensors .*'\.h5'"):
        weights.read(tmp_path / "net.h5")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)]])
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"net\.pt: .*state dict, got "):
        weights.read(tmp_path / "net.pt")
