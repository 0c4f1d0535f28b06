"""Export: what the file holds and computes, for modules and captured programs, whichever exporter has to write it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from edgeprune import prune
from edgeprune.errors import ModelError
from edgeprune.export import onnx_export as export_onnx
from edgeprune.export.flat_io import input_names
from edgeprune.export.onnx_export import export


class Small(nn.Module):
    """Convolutions with BatchNorm, a shortcut that is padded with zeros, pooling."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.linear = nn.Linear(12, 5)
        for norm in (self.bn1, self.bn2):
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Shuffle(nn.Module):
    """Reads its batch size and writes it into a view."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.linear = nn.Linear(8 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        return self.linear(x.view(batch, -1))


class Fourier(nn.Module):
    """Has an operator that tracing cannot write."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.rms_norm(F.pad(x, (0, 2)), (8,)).amax(1))


def captured(model: nn.Module, example: Tensor) -> nn.Module:
    """The program as ``torch.export`` gives it, with an open batch."""
    batch = torch.cat([example, example])
    return torch.export.export(model.eval(), (batch,), dynamic_shapes=({0: torch.export.Dim.AUTO},)).module()


def run(path: Path, *inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.long
@pytest.mark.parametrize("as_program", [False, True], ids=["module", "program"])
@pytest.mark.parametrize("dynamic_batch", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("factory", [Small, Shuffle])
def test_the_file_computes_what_the_network_computes(
    tmp_path: Path, factory: type[nn.Module], dynamic_batch: bool, as_program: bool
) -> None:
    example = torch.randn(1, 3, 8, 8)
    model = factory().eval()
    network = captured(model, example) if as_program else model
    written = export(network, (example,), tmp_path / "m.onnx", dynamic_batch=dynamic_batch)
    for size in (1, 3) if dynamic_batch else (1,):
        x = torch.randn(size, 3, 8, 8)
        with torch.no_grad():
            expected = model(x).numpy()
        np.testing.assert_allclose(run(written.path, x)[0], expected, rtol=1e-4, atol=1e-5)
    proto = onnx.load(written.path)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert written.opset == 17
    assert written.input_names == ("input",)
    assert written.output_names == ("output",)
    first = proto.graph.input[0].type.tensor_type.shape.dim[0]
    assert (first.dim_param, first.dim_value) == (("batch", 0) if dynamic_batch else ("", 1))


@pytest.mark.long
@pytest.mark.parametrize("exporter", ["by_tracing", "by_torch_export"])
def test_both_exporters_fold_batchnorm_and_remove_dead_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporter: str
) -> None:
    monkeypatch.setattr(export_onnx, "by_tracing", getattr(export_onnx, exporter))
    written = export(Small(), (torch.randn(1, 3, 8, 8),), tmp_path / "m.onnx")
    result = operators(written.path)
    assert result.count("Conv") == 2
    assert {"BatchNormalization", "Constant", "Identity"}.isdisjoint(result)
    assert len(result) == written.nodes
    graph = onnx.load(written.path).graph
    read = {name for node in graph.node for name in node.input}
    assert all(tensor.name in read for tensor in graph.initializer)
    assert all(read.union(value.name for value in graph.output).intersection(node.output) for node in graph.node)
    assert written.file_bytes < 4 * sum(p.numel() for p in Small().parameters()) + 4000
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.long
def test_an_operator_that_tracing_cannot_write_is_written_by_torch_export_in_opset_17(tmp_path: Path) -> None:
    model, x = Fourier().eval(), torch.randn(1, 4, 6)
    written = export(model, (x,), tmp_path / "m.onnx")
    assert written.exporter == "torch.export"
    assert written.opset == 17
    assert {"Pad", "ReduceMax"} <= set(operators(written.path))  # both changed with opset 18
    np.testing.assert_allclose(run(written.path, x)[0], model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 8, 8)
    for name in ("a", "b"):
        export(Small(), (x,), tmp_path / name, metadata={"recipe": "r", "b": "2"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / "a").metadata_props}
    assert stored.keys() == {"edgeprune", "recipe", "b"}


def test_the_mode_of_the_network_is_as_before_and_the_file_is_of_eval_mode(tmp_path: Path) -> None:
    model, x = Small(), torch.randn(1, 3, 8, 8)
    model.bn2.eval()
    before = model.bn1.running_mean.clone()
    export(model, (x,), tmp_path / "m.onnx")
    assert [model.training, model.bn1.training, model.bn2.training] == [True, True, False]
    assert torch.equal(model.bn1.running_mean, before)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", x)[0], model.eval()(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_several_inputs_by_name_and_nested_outputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> dict[str, object]:
            return {"sum": left + right, "parts": (left * 2, right.amax(1))}

    left, right = torch.randn(1, 4), torch.randn(1, 4)
    written = export(Two(), {"right": right, "left": left}, tmp_path / "m.onnx", dynamic_batch=True)
    assert written.input_names == ("right", "left")
    assert written.output_names == ("output_0", "output_1", "output_2")
    got = run(written.path, right, left)
    np.testing.assert_allclose(got[0], (left + right).numpy())
    np.testing.assert_allclose(got[2], right.amax(1).numpy())


class Nested(nn.Module):
    """Inputs in a dict and a list, with constants in between."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 8), nn.Linear(4, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, named: dict[str, Tensor], listed: list[object], flag: bool, scale: int | None = None) -> Tensor:
        (right, _), bias = listed  # type: ignore[misc]
        y = self.left(named["a"]) + self.right(right) if flag else self.left(named["a"])
        out: Tensor = self.out(y.relu() * (scale or 1)) + named["b"] + bias
        return out


def test_nested_inputs_with_constants_are_pruned_exported_and_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Nested().eval()
    a, right, b, bias = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 2), torch.randn(3, 1)
    example = ({"a": a, "b": b}, [(right, None), bias], True, 3)
    pruned = prune(network, example, budget={"params": 0.6}).model
    written = export(pruned, example, tmp_path / "m.onnx", dynamic_batch=True)
    assert written.input_names == ("input_0_a", "input_0_b", "input_1_0_0", "input_1_1")
    np.testing.assert_allclose(run(written.path, a, b, right, bias)[0], pruned(*example).detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("example", "names"),
    [
        (("x",), ("input",)),
        (("x", "x"), ("input_0", "input_1")),
        ({"image": "x", "mask": "x", "flag": True}, ("image", "mask")),
        ((["x", "x"],), ("input_0", "input_1")),
        (({"image": "x"}, ["x", None]), ("input_0_image", "input_1_0")),
        ({"features": ["x", ("x",)]}, ("features_0", "features_1_0")),
    ],
)
def test_names_of_inputs_follow_the_pytree(example: Any, names: tuple[str, ...]) -> None:
    tensors = tree_map(lambda leaf: torch.zeros(1) if leaf == "x" else leaf, example)
    assert input_names(tensors) == names


def test_attention_is_traced(tmp_path: Path) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    model, x = Attention().eval(), torch.randn(1, 6, 8)
    written = export(model, (x,), tmp_path / "m.onnx")
    assert written.exporter == "tracing"
    assert torch.backends.mha.get_fastpath_enabled()
    np.testing.assert_allclose(run(written.path, x)[0], model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_without_simplification_it_computes_the_same(tmp_path: Path) -> None:
    model, x = Small().eval(), torch.randn(1, 3, 8, 8)
    plain = export(model, (x,), tmp_path / "plain.onnx", simplify=False)
    simple = export(model, (x,), tmp_path / "simple.onnx")
    assert plain.nodes >= simple.nodes
    np.testing.assert_allclose(run(plain.path, x)[0], run(simple.path, x)[0], rtol=1e-5, atol=1e-6)


def test_requested_higher_opset_is_written(tmp_path: Path) -> None:
    model, x = Small().eval(), torch.randn(1, 3, 8, 8)
    for opset in (18, 21):
        written = export(model, (x,), tmp_path / f"{opset}.onnx", opset=opset)
        assert onnx.load(written.path).opset_import[0].version == written.opset == opset
        np.testing.assert_allclose(run(written.path, x)[0], model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


class ConstantQueries(nn.Module):
    """Attention of queries that are weights, as in the decoder of DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.rand(6, 1, 8))
        self.attention, self.layer = nn.MultiheadAttention(8, 2), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries.expand(-1, x.shape[0], -1)
        attended: Tensor = self.attention(queries, queries, queries)[0]
        return self.layer(x) + attended.mean(0)


class DoubleInTheMiddle(nn.Sequential):
    """A layer in float64, which the forward converts to."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self[0](x.double())
        return y.float()


def test_forward_that_converts_to_double_is_refused_with_the_cause(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"float32.*\.double\(\)"):
        export(DoubleInTheMiddle(nn.Linear(4, 3).double()), (torch.randn(1, 4),), tmp_path / "m.onnx")


def test_parts_without_inputs_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    x, network = torch.randn(1, 8), ConstantQueries().eval()
    written = export(network, (x,), tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")
    np.testing.assert_allclose(run(written.path, x)[0], network(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_exporters_print_into_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "edgeprune")
    export(Fourier(), (torch.randn(1, 4, 6),), tmp_path / "m.onnx")
    print("still here")
    assert capfd.readouterr() == ("still here\n", "")
    assert "export by tracing" in caplog.text
    assert "warned: " in caplog.text


def test_a_failing_forward_names_shape_and_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\(1, 4, 8, 8\).*channels"):
        export(Small(), (torch.randn(1, 4, 8, 8),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_for_one_batch_size_is_refused_when_the_batch_is_to_be_open(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(2, 12).relu()

    x = torch.randn(2, 3, 4)
    with pytest.raises(ModelError, match=r"batch size 2\b.* 4\b.*dynamic_batch"):
        export(Fixed(), (x,), tmp_path / "m.onnx", dynamic_batch=True)
    assert export(Fixed(), (x,), tmp_path / "m.onnx").nodes > 0


@pytest.mark.long
def test_an_operator_that_neither_can_write_is_named(tmp_path: Path) -> None:
    class Unknown(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x @ x.transpose(1, 2))

    with pytest.raises(ModelError, match=r"opset 17\n  by tracing: .*eig.*\n  by torch.export: "):
        export(Unknown(), (torch.randn(1, 4, 4),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_tensor_outputs_is_refused(tmp_path: Path) -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> float:
            return 1.0

    with pytest.raises(ModelError, match="tensor"):
        export(Nothing(), (torch.randn(1, 2),), tmp_path / "m.onnx")


def test_failed_export_preserves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(Small(), (torch.randn(1, 3, 8, 8),), path)
    before = path.read_bytes()
    with pytest.raises(ModelError):
        export(Small(), (torch.randn(1, 4, 8, 8),), path)
    assert path.read_bytes() == before


def test_boolean_masked_and_empty_outputs_are_exported(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 6)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            y = self.layer(x)
            return y > 0, y.masked_fill(y < 0, -torch.inf), y[:, :0], y.argmax(1)

    torch.manual_seed(0)
    network, x = Net().eval(), torch.randn(3, 4)
    written = export(network, (x,), tmp_path / "m.onnx")
    result = onnxruntime.InferenceSession(written.path).run(None, {"input": x.numpy()})
    for expected, got in zip(network(x), result, strict=True):
        torch.testing.assert_close(torch.from_numpy(got), expected.detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_network_in_another_number_format_is_exported_as_float32(
    dtype: torch.dtype, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network, x = Small().eval().to(dtype), torch.randn(2, 3, 8, 8)
    written = export(network, (x.to(dtype),), tmp_path / "net.onnx")
    assert str(dtype).removeprefix("torch.") in caplog.text
    assert network.linear.weight.dtype == dtype
    session = onnxruntime.InferenceSession(written.path)
    (actual,) = session.run(None, {written.input_names[0]: x.numpy()})
    with torch.no_grad():
        expected = network.double()(x.double())
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_operators_in_an_autocast_block_are_exported_as_float32(tmp_path: Path) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                x = self.first(x)
            return self.last(x.float())

    network, x = Block().eval(), torch.randn(2, 8)
    written = export(network, (x,), tmp_path / "net.onnx")
    (actual,) = onnxruntime.InferenceSession(written.path).run(None, {written.input_names[0]: x.numpy()})
    with torch.no_grad():
        assert network.first(x).dtype == torch.float32
        expected = network.last(network.first(x)).numpy()
        assert network(x).isclose(torch.from_numpy(expected), atol=0.1).all()
    np.testing.assert_allclose(actual, expected, atol=1e-5)
