"""Every fact about an operator, computed with torch, ONNX Runtime or LiteRT; and no other list of operators."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from edgeprune.export.onnx_export import export
from edgeprune.graph import capture
from edgeprune.graph.graph_operators import (
    argument_names,
    bind_arguments,
    call_operator,
    is_operator_call,
    operator_name,
)
from edgeprune.operator_facts.aten_operators import ATEN
from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.operator_facts.operator_table import OperatorTable
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.quantize.integer_fusion import executed
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_file import operator_name as tflite_operator_name
from edgeprune.tflite.tflite_file import read
from tests.conformance.examples import CAPTURED_AS, Draw, examples
from tests.tflite.tflite_files import FLOAT, INT32, File

_PACKAGE = Path(__file__).parents[2] / "edgeprune"
_RNG = np.random.default_rng(0)


def test_a_name_has_one_row() -> None:
    with pytest.raises(AssertionError, match="two rows for b"):
        OperatorTable([("ab", 1), ("b", 2)], default=0)


def test_every_name_is_an_operator() -> None:
    assert not [name for name in ATEN.names() if not hasattr(torch.ops.aten, name.removeprefix("aten."))]
    assert not [name for name in ONNX.names() if not onnx.defs.has(name)]
    assert not [name for name in TFLITE.names() if not hasattr(schema.BuiltinOperator, name)]


# ATen: the operators are called as the networks of tests/conformance/examples call them.


class _FixedDraw(Draw):
    """The same sizes in every run."""

    def __init__(self) -> None:
        pass

    def size(self, least: int, most: int) -> int:
        return min(max(least, 4), most)

    def one_of(self, *values: Any) -> Any:
        return values[0]

    def order(self, length: int) -> Tensor:
        return torch.arange(length).flip(0)


class _Recorder(fx.Interpreter):
    """Runs a program, and keeps the calls of one operator with the values of their arguments."""

    def __init__(self, module: fx.GraphModule, name: str) -> None:
        super().__init__(module)
        self.name = name
        self.calls: list[tuple[Any, dict[str, Any]]] = []

    def run_node(self, n: fx.Node) -> Any:
        if is_operator_call(n) and operator_name(n.target) == self.name:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            bound = bind_arguments(n.target, args, kwargs)
            self.calls.append((n.target, {key: _own(value) for key, value in bound.items()}))
        return super().run_node(n)


def _own(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _most_are_long(names: Iterable[str]) -> list[Any]:
    """Parameters of a test that captures an example of each operator; the fast tier has the first ones."""
    return [pytest.param(name, marks=[] if i < 20 else [pytest.mark.long]) for i, name in enumerate(names)]


@cache
def _calls(name: str) -> Sequence[tuple[Any, Mapping[str, Any]]]:
    """Calls of the operator ``name`` in its examples: target, and arguments by schema name."""
    results: list[tuple[Any, Mapping[str, Any]]] = []
    for build in examples()[name]:
        torch.manual_seed(0)
        example = build(_FixedDraw())
        program = capture(example.network.eval(), example.inputs)
        recorder = _Recorder(program.module, CAPTURED_AS.get(name, name))
        with torch.no_grad():
            recorder.run(*example.inputs, enable_io_processing=False)
        results += recorder.calls
    assert results, f"no example calls {name}"
    return results


def _call(target: Any, arguments: Mapping[str, Any], **changed: Any) -> list[Tensor]:
    with torch.no_grad():
        result = call_operator(target, {**arguments, **changed})
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _first(target: Any, arguments: Mapping[str, Any]) -> Tensor:
    """The first argument."""
    return arguments[argument_names(target)[0]]


def _with_first(target: Any, arguments: Mapping[str, Any], values: Tensor) -> list[Tensor]:
    """The operator on ``values`` instead of its first argument; constants that it fills in are zero."""
    changed: dict[str, Any] = {argument_names(target)[0]: values}
    if arguments.get("value") is not None:
        changed["value"] = 0.0
    return _call(target, arguments, **changed)


@pytest.mark.parametrize("name", _most_are_long(ATEN.names(lambda facts: facts.keeps_zero)))
def test_operators_that_map_zero_to_zero(name: str) -> None:
    for target, arguments in _zeroable(name):
        for result in _with_first(target, arguments, torch.zeros_like(_first(target, arguments))):
            assert not result.any()


def _zeroable(name: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Calls of the operator; of those without an example of their own, on a random tensor."""
    if name in examples():
        yield from _calls(name)
        return
    target = getattr(torch.ops.aten, name.removeprefix("aten.")).default
    x = torch.randn(2, 3, 4, 4)
    yield target, bind_arguments(target, (x,), {})


@pytest.mark.parametrize("name", ["sigmoid", "exp", "cos", "hardsigmoid", "softplus"])
def test_operators_that_do_not_keep_zero_have_no_such_fact(name: str) -> None:
    assert getattr(torch.ops.aten, name)(torch.zeros(1)).all()
    assert not ATEN[f"aten.{name}"].keeps_zero


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.moves))
def test_moves(name: str) -> None:
    for target, arguments in _calls(name):
        x = _first(target, arguments)
        ids = torch.arange(1, x.numel() + 1, dtype=x.dtype).reshape(x.shape)
        for result in _with_first(target, arguments, ids):
            assert set(result.flatten().tolist()) <= {0.0, *ids.flatten().tolist()}


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.copies))
def test_copies(name: str) -> None:
    for target, arguments in _calls(name):
        (result,) = _call(target, arguments)
        assert torch.equal(result, _first(target, arguments))


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.scales))
def test_scales(name: str) -> None:
    target = getattr(torch.ops.aten, name.removeprefix("aten.")).Tensor
    x, other = torch.randn(3, 4), torch.rand(4) + 0.5
    assert torch.allclose(target(2 * x, other), 2 * target(x, other))
    assert not target(torch.zeros(3), 1.5).any()


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.multiplies_matrices))
def test_multiplies_matrices(name: str) -> None:
    """A factor for each column of the left matrix is the same as one for each row of the right one."""
    for target, arguments in _calls(name):
        *_, left, right = (key for key, value in arguments.items() if isinstance(value, Tensor))
        a, b = arguments[left], arguments[right]
        factors = torch.rand(a.shape[-1]) + 0.5
        rows = factors if b.ndim == 1 else factors[:, None]
        (one,) = _call(target, arguments, **{left: a * factors})
        (other,) = _call(target, arguments, **{right: b * rows})
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.scales_channels))
def test_scales_channels(name: str) -> None:
    """Factors in weight and bias are factors of the channels: the normalized dimensions, or dimension 1."""
    if name == "aten.cudnn_batch_norm" and not torch.cuda.is_available():
        pytest.skip("cudnn_batch_norm needs a GPU")
    affine = [(target, arguments) for target, arguments in _calls(name) if arguments.get("weight") is not None]
    assert affine
    for target, arguments in affine:
        weight, bias = arguments["weight"], arguments.get("bias")
        factors = torch.rand(weight.shape) + 0.5
        scaled = {"weight": weight * factors} | ({} if bias is None else {"bias": bias * factors})
        plain, *_ = _call(target, arguments)
        result, *_ = _call(target, arguments, **scaled)
        inner = "normalized_shape" in arguments
        assert torch.allclose(result, plain * (factors if inner else _along(factors, plain.ndim, 1)), atol=1e-5)


@pytest.mark.parametrize("name", ATEN.names(lambda facts: facts.layer))
def test_layer(name: str) -> None:
    """Factors for the rows of the weight are factors of the output channels; transposed, those of its columns."""
    for target, arguments in _calls(name):
        transposed = "transpose" in name or bool(arguments.get("transposed"))
        assert not transposed or ATEN[name].layer == "any_convolution"
        weight, groups = arguments["weight"], arguments.get("groups", 1)
        factors = torch.rand(weight.shape[int(transposed)]) + 0.5
        (plain,) = _call(target, arguments, bias=None)
        (result,) = _call(target, arguments, bias=None, weight=weight * _along(factors, weight.ndim, int(transposed)))
        channel = plain.ndim - 1 if ATEN[name].layer == "linear" else plain.ndim - weight.ndim + 1
        outputs = factors.repeat(groups) if transposed else factors
        assert torch.allclose(result, plain * _along(outputs, plain.ndim, channel), atol=1e-5)


def _along(values: Tensor, rank: int, dim: int) -> Tensor:
    return values.reshape([-1 if index == dim else 1 for index in range(rank)])


# What a TFLite file has as part of another operator.


class _Two(nn.Module):
    """An operator on the outputs of two convolutions, and an activation."""

    def __init__(self, op: Callable[[Tensor, Tensor], Tensor], activation: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)
        self.op, self.activation = op, activation or nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.op(self.first(x), self.second(x)))


_WITH_ACTIVATION: Mapping[str, Callable[[], nn.Module]] = {
    "aten.conv1d": lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU()),
    "aten.conv2d": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()),
    "aten.conv_transpose2d": lambda: nn.Sequential(nn.ConvTranspose2d(2, 4, 3), nn.ReLU()),
    "aten.linear": lambda: nn.Sequential(nn.Linear(8, 4), nn.ReLU()),
    "aten.batch_norm": lambda: nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()),
    "aten.add": lambda: _Two(torch.add),
    "aten.sub": lambda: _Two(torch.sub),
    "aten.mul": lambda: _Two(torch.mul),
    "aten.div": lambda: _Two(torch.div),
    "aten.max_pool2d": lambda: nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
    "aten.avg_pool2d": lambda: nn.Sequential(nn.AvgPool2d(2), nn.ReLU()),
    "aten.adaptive_avg_pool2d": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.ReLU()),
}
_NOT_CONVERTED = {"aten.conv3d", "aten.convolution", "aten.conv_transpose1d", "aten.conv_transpose3d"}
"""There is no lowering, or networks call it by another name."""
_ACTIVATIONS: Mapping[str, nn.Module] = {
    "aten.relu": nn.ReLU(),
    "aten.relu6": nn.ReLU6(),
    "aten.hardtanh": nn.Hardtanh(),
    "aten.clamp": nn.ReLU6(),  # what a clamp to 0 and 6 is exported as
}


def _operators(network: nn.Module, folder: Path, rank: int = 4) -> list[str]:
    """Operators of the TFLite file of ``network``."""
    torch.manual_seed(0)
    x = torch.randn(1, 2, *[8] * (rank - 2))
    written = export(network.eval(), (x,), folder / "m.onnx").path
    model = read(convert(written, folder / "m.tflite").path)
    return [tflite_operator_name(model, op) for op in model.subgraphs[0].operators]


def test_every_operator_that_takes_an_activation_has_a_case() -> None:
    assert set(_WITH_ACTIVATION) | _NOT_CONVERTED == set(ATEN.names(lambda facts: facts.takes_activation))
    assert set(_ACTIVATIONS) == set(ATEN.names(lambda facts: facts.fuses_into_producer))


@pytest.mark.parametrize("name", _WITH_ACTIVATION)
def test_operators_that_fuse_an_activation(name: str, tmp_path: Path) -> None:
    rank = 3 if name == "aten.conv1d" else 4
    result = _operators(_WITH_ACTIVATION[name](), tmp_path, rank)
    assert not {op for op in result if TFLITE[op].fuses_into_producer}
    assert {op for op in result if TFLITE[op].takes_activation}


@pytest.mark.parametrize("name", _ACTIVATIONS)
def test_fuses_into_producer(name: str, tmp_path: Path) -> None:
    assert _operators(nn.Sequential(nn.Conv2d(2, 4, 1), _ACTIVATIONS[name]), tmp_path) == ["CONV_2D"]


def test_activation_is_not_fused_into_an_operator_without_support(tmp_path: Path) -> None:
    assert _operators(nn.Sequential(nn.Conv2d(2, 4, 1), nn.Sigmoid(), nn.ReLU()), tmp_path)[-1] == "RELU"
    assert not ATEN["aten.sigmoid"].takes_activation


def test_a_batchnorm_folds_into_layers(tmp_path: Path) -> None:
    for layer, kind in ((nn.Conv2d(2, 4, 1), "CONV_2D"), (nn.ConvTranspose2d(2, 4, 1), "TRANSPOSE_CONV")):
        assert _operators(nn.Sequential(layer, nn.BatchNorm2d(4)), tmp_path) == [kind]


# ONNX: one node each on ONNX Runtime.

_W4 = _RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
_ONNX_CASES: Mapping[str, tuple[Sequence[Any], Mapping[str, Any]]] = {
    "Add": (["x", "y"], {}),
    "AveragePool": (["x"], {"kernel_shape": [2, 2]}),
    "Clip": (["x", np.float32(0), np.float32(6)], {}),
    "Concat": (["x", "y"], {"axis": 1}),
    "Conv": (["x", _W4, np.float32([1, 2, 3, 4])], {}),
    "ConvTranspose": (["x", _W4.transpose(1, 0, 2, 3).copy(), np.float32([1, 2, 3, 4])], {}),
    "Expand": (["x", np.array([2, 3, 8, 8])], {}),
    "Flatten": (["x"], {}),
    "Gather": (["x", np.array([2, 0])], {"axis": 1}),
    "Gemm": (["m", np.float32(_RNG.standard_normal((8, 4))), np.float32([1, 2, 3, 4])], {}),
    "GlobalAveragePool": (["x"], {}),
    "Identity": (["x"], {}),
    "LeakyRelu": (["x"], {"alpha": 0.2}),
    "MatMul": (["m", np.float32(_RNG.standard_normal((8, 4)))], {}),
    "Max": (["x", "y"], {}),
    "MaxPool": (["x"], {"kernel_shape": [2, 2]}),
    "Min": (["x", "y"], {}),
    "Mul": (["x", "y"], {}),
    "Pad": (["x", np.array([0, 0, 1, 1, 0, 0, 1, 1])], {}),
    "Relu": (["x"], {}),
    "Reshape": (["x", np.array([1, 3, 64])], {}),
    "Resize": (["x", np.zeros(0, np.float32), np.float32([1, 1, 2, 2])], {"mode": "linear"}),
    "Sigmoid": (["x"], {}),
    "Slice": (["x", np.array([1]), np.array([3]), np.array([1])], {}),
    "Split": (["x", np.array([1, 2])], {"axis": 1}),
    "Squeeze": (["x", np.array([0])], {}),
    "Sub": (["x", "y"], {}),
    "Tile": (["x", np.array([1, 2, 1, 1])], {}),
    "Transpose": (["x"], {"perm": [0, 2, 3, 1]}),
    "Unsqueeze": (["x", np.array([0])], {}),
}
"""Inputs and attributes. Images "x" and "y", a matrix "m"; all else is a constant."""
_SHAPES = {"x": (1, 3, 8, 8), "y": (1, 3, 8, 8), "m": (5, 8)}


def _onnx_model(op: str, constants: Mapping[int, np.ndarray] | None = None) -> onnx.ModelProto:
    """``op`` alone; ``constants`` replace inputs by their index."""
    inputs, attributes = _ONNX_CASES[op]
    inputs = [(constants or {}).get(index, value) for index, value in enumerate(inputs)]
    names = [value if isinstance(value, str) else f"c{index}" for index, value in enumerate(inputs)]
    outputs = ["z", "other"] if op == "Split" else ["z"]
    graph = helper.make_graph(
        [helper.make_node(op, names, outputs, "node", **attributes)],
        "one",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, _SHAPES[name]) for name in names if name in _SHAPES],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), f"c{i}") for i, v in enumerate(inputs) if not isinstance(v, str)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _feed(op: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: rng.standard_normal(_SHAPES[name]).astype(np.float32)
        for name in _ONNX_CASES[op][0]
        if isinstance(name, str)
    }


def _run(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed))


def test_every_fact_about_an_onnx_operator_has_a_case() -> None:
    assert set(_ONNX_CASES) - {"Sub"} == set(ONNX.names(lambda facts: not facts.cannot_fold))


@pytest.mark.parametrize("op", _ONNX_CASES)
def test_homogeneous(op: str) -> None:
    feed = _feed(op)
    plain, scaled = _run(_onnx_model(op), feed)[0], _run(_onnx_model(op), {k: 3 * v for k, v in feed.items()})[0]
    channels = plain.ndim == 4 and plain.shape[1] == 3 and plain.dtype == np.float32
    is_homogeneous = np.allclose(scaled, 3 * plain, atol=1e-5)
    if ONNX[op].homogeneous:
        assert channels
        assert is_homogeneous
    elif is_homogeneous:  # these mix or move channels, which the fact does not cover, or need a case of their own
        assert ONNX[op].moves or ONNX[op].commutative or ONNX[op].has_weights or op in ("Resize", "Sub")


@pytest.mark.parametrize("op", _ONNX_CASES)
def test_onnx_moves(op: str) -> None:
    """All results are values of the inputs, or the zeros of a padding, wherever the inputs go."""
    feed = {name: 5 * value for name, value in _feed(op).items()}
    available = np.concatenate([np.zeros(1, np.float32), *(value.ravel() for value in feed.values())])
    moves = all(np.isin(result, available).all() for result in _run(_onnx_model(op), feed))
    assert moves == (ONNX[op].moves or op in ("Max", "MaxPool", "Min", "Relu"))  # these choose by value


@pytest.mark.parametrize("op", ["Add", "Max", "Min", "Mul", "Sub"])
def test_commutative(op: str) -> None:
    feed = _feed(op)
    swapped = {"x": feed["y"], "y": feed["x"]}
    same = np.array_equal(_run(_onnx_model(op), feed)[0], _run(_onnx_model(op), swapped)[0])
    assert same == ONNX[op].commutative


@pytest.mark.parametrize("op", ONNX.names(lambda facts: facts.has_weights))
def test_has_weights(op: str) -> None:
    """The result is linear in the second input, and the third is added to every channel."""
    feed, weights = _feed(op), _ONNX_CASES[op][0][1]
    bias = {} if op == "MatMul" else {2: np.zeros(4, np.float32)}
    plain = _run(_onnx_model(op, bias), feed)[0]
    assert np.allclose(_run(_onnx_model(op, {1: 2 * weights, **bias}), feed)[0], 2 * plain, atol=1e-4)
    if bias:
        shape = (1, 4, 1, 1) if plain.ndim == 4 else (1, 4)
        added = np.float32([1, 2, 3, 4]).reshape(shape)
        assert np.allclose(_run(_onnx_model(op), feed)[0], plain + added, atol=1e-4)


def test_cannot_fold() -> None:
    """Operators that read whole graphs, and those that give another result each time."""
    graphs = {
        entry.name
        for entry in onnx.defs.get_all_schemas()
        if not entry.domain
        and any(value.type == onnx.defs.OpSchema.AttrType.GRAPH for value in entry.attributes.values())
    }
    unfoldable = set(ONNX.names(lambda facts: facts.cannot_fold))
    assert graphs - {"SequenceMap"} <= unfoldable  # SequenceMap reads sequences, which are never constants
    for op in unfoldable - graphs:
        session = onnxruntime.InferenceSession(_random(op).SerializeToString(), providers=["CPUExecutionProvider"])
        assert not np.array_equal(session.run(None, {})[0], session.run(None, {})[0])


def _random(op: str) -> onnx.ModelProto:
    value = np.full((1, 1000), 0.5, np.float32)
    reads = op in ("Bernoulli", "Multinomial") or op.endswith("Like")
    attributes = {"sample_size": 1000} if op == "Multinomial" else {} if reads else {"shape": [1000]}
    constant = numpy_helper.from_array(value, "c")
    kind = TensorProto.INT32 if op == "Multinomial" else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(op, ["c"] if reads else [], ["z"], "node", **attributes)],
        "one", [], [helper.make_tensor_value_info("z", kind, None)], [constant] if reads else [],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("op", ONNX.names(lambda facts: facts.onnxruntime_int8 == "gains"))
def test_gains_by_int8_on_onnxruntime(op: str) -> None:
    """ONNX Runtime puts an integer kernel in the place of the operator between Q and DQ."""
    inputs, attributes = _ONNX_CASES[op]
    weights = np.round(inputs[1] * 20).clip(-127, 127).astype(np.int8)
    constants = {
        "scale": np.float32(0.05), "zero": np.uint8(128), "weights": weights, "weight_scale": np.float32(0.05),
        "weight_zero": np.int8(0),
    }  # fmt: skip
    nodes = [
        *_pair(inputs[0], "a"),
        helper.make_node("DequantizeLinear", ["weights", "weight_scale", "weight_zero"], ["w"]),
        helper.make_node(op, ["a_dq", "w"], ["b"], "node", **attributes),
        *_pair("b", "z"),
    ]
    graph = helper.make_graph(
        nodes, "one", [helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, _SHAPES[inputs[0]])],
        [helper.make_tensor_value_info("z_dq", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = executed(model, "uint8")
    assert (result.integer, result.float32) == ({"node"}, frozenset())


def _pair(source: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_dq"]),
    ]


# TFLite: one operator each on LiteRT. Kernels of TFLite Micro are checked in tests/backends/tflm/linting and test_int8.


def _litert(file: File, inputs: Sequence[int], outputs: Sequence[int], *values: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=file.content(inputs, outputs))
    interpreter.allocate_tensors()
    for entry, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()]


_OF_POSITIVE = frozenset({"LOG", "RSQRT", "SQRT"})


def _unary(kind: str, x: np.ndarray) -> np.ndarray:
    file, x = File(), np.abs(x) if kind in _OF_POSITIVE else x
    options = {
        "LEAKY_RELU": schema.LeakyReluOptionsT(alpha=0.2),
        "GELU": schema.GeluOptionsT(),
        "SOFTMAX": schema.SoftmaxOptionsT(beta=1.0),
    }.get(kind)
    first, last = file.tensor("x", x.shape, FLOAT), file.tensor("y", x.shape, FLOAT)
    file.op(kind, (first,), (last,), options)
    return _litert(file, (first,), (last,), x)[0]


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.by_element or facts.fuses_into_producer))
def test_by_element(kind: str) -> None:
    x = (4 * np.random.default_rng(2).standard_normal((1, 40))).astype(np.float32)
    order = np.random.default_rng(3).permutation(40)
    result = _unary(kind, x)
    assert TFLITE[kind].by_element
    assert np.allclose(_unary(kind, x[:, order]), result[:, order], atol=1e-6)
    assert TFLITE[kind].never_negative == bool(result.min() >= 0)


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.by_element or facts.result_range is not None))
def test_result_range(kind: str) -> None:
    values = np.concatenate([np.linspace(-10, 10, 2000), [-1000, -100, 1e-9, 100, 1000]]).astype(np.float32)
    result = _unary(kind, values[None])
    width, expected = float(result.max()) - float(result.min()), TFLITE[kind].result_range
    assert width > 20 if expected is None else width == pytest.approx(expected, abs=1e-3)


def _binary(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    file = File()
    first, second = file.tensor("x", x.shape, FLOAT), file.tensor("y", y.shape, FLOAT, y)
    last = file.tensor("z", x.shape, FLOAT)
    file.op(kind, (first, second), (last,))
    return _litert(file, (first,), (last,), x)[0]


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.combines_elements))
def test_combines_elements(kind: str) -> None:
    rng = np.random.default_rng(2)
    x, y = (np.float32(rng.standard_normal((1, 40))) for _ in range(2))
    order = rng.permutation(40)
    result = _binary(kind, x, y)
    assert np.allclose(_binary(kind, x[:, order], y[:, order]), result[:, order], atol=1e-6)
    one = y[:, :1]
    assert np.allclose(_binary(kind, x, one), _binary(kind, x, np.repeat(one, 40, axis=1)), atol=1e-6)


def test_activations_are_options() -> None:
    """Every activation that fuses is a value of the option, and every operator that takes one has the option."""
    for kind in TFLITE.names(lambda facts: facts.fuses_into_producer):
        assert hasattr(schema.ActivationFunctionType, kind)
    named = {"FULLY_CONNECTED": "FullyConnected", "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D"}
    for kind in TFLITE.names(lambda facts: facts.takes_activation):
        name = named.get(kind, "".join(part.capitalize() for part in kind.removesuffix("_2D").split("_")))
        name = {"Conv": "Conv2D", "DepthwiseConv": "DepthwiseConv2D"}.get(name, name)
        assert hasattr(getattr(schema, f"{name}OptionsT")(), "fusedActivationFunction"), kind


def _layer(kind: str, weights: np.ndarray, bias: np.ndarray, *, same: bool = False) -> np.ndarray:
    """The layer ``kind`` on random values."""
    file = File()
    padding = schema.Padding.SAME if same else schema.Padding.VALID
    shape = (1, 8) if kind == "FULLY_CONNECTED" else (1, 6, 6, 4)
    sizes = {
        "FULLY_CONNECTED": (1, 4), "TRANSPOSE_CONV": (1, 8, 8, 4),
    }.get(kind, (1, 6, 6, 4) if same else (1, 4, 4, 4))  # fmt: skip
    x, y = file.tensor("x", shape, FLOAT), file.tensor("y", sizes, FLOAT)
    w = file.tensor("w", weights.shape, FLOAT, weights)
    b = file.tensor("b", bias.shape, FLOAT, bias)
    options = {
        "CONV_2D": schema.Conv2DOptionsT(padding=padding, strideW=1, strideH=1),
        "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptionsT(
            padding=padding, strideW=1, strideH=1, depthMultiplier=1
        ),
        "TRANSPOSE_CONV": schema.TransposeConvOptionsT(padding=padding, strideW=1, strideH=1),
        "FULLY_CONNECTED": schema.FullyConnectedOptionsT(),
    }  # fmt: skip
    inputs = [x, w, b]
    if kind == "TRANSPOSE_CONV":
        inputs = [file.tensor("size", (4,), INT32, np.int32(sizes)), w, x, b]
    assert inputs[TFLITE[kind].bias_input] == b
    file.op(kind, inputs, (y,), options[kind])
    values = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    return _litert(file, (x,), (y,), values)[0]


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.channel_axis is not None))
def test_channel_axis_and_bias(kind: str) -> None:
    """Factors along the axis are factors of the output channels; a bias is added to them."""
    axis = TFLITE[kind].channel_axis
    assert axis is not None
    shape = {"FULLY_CONNECTED": (4, 8), "DEPTHWISE_CONV_2D": (1, 3, 3, 4)}.get(kind, (4, 3, 3, 4))
    weights, none = np.random.default_rng(5).standard_normal(shape).astype(np.float32), np.zeros(4, np.float32)
    factors = np.float32([1, 2, 3, 4])
    plain = _layer(kind, weights, none)
    along = [-1 if index == axis else 1 for index in range(len(shape))]
    assert np.allclose(_layer(kind, weights * factors.reshape(along), none), plain * factors, atol=1e-4)
    assert np.allclose(_layer(kind, weights, factors), plain + factors, atol=1e-4)


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.pads_with_zeros))
def test_pads_with_zeros(kind: str) -> None:
    shape = (1, 3, 3, 4) if kind == "DEPTHWISE_CONV_2D" else (4, 3, 3, 4)
    weights, none = np.random.default_rng(5).standard_normal(shape).astype(np.float32), np.zeros(4, np.float32)
    assert np.allclose(_layer(kind, weights, none, same=True)[:, 1:-1, 1:-1], _layer(kind, weights, none), atol=1e-5)


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.scales_channels))
def test_scales_channels_of_the_layer_before(kind: str, tmp_path: Path) -> None:
    """A constant for each channel goes into the layer before, and the file computes the same."""
    op = {"MUL": torch.mul, "ADD": torch.add, "SUB": torch.sub, "DIV": torch.div}[kind]

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.values = nn.Conv2d(2, 4, 1), nn.Parameter(torch.rand(4, 1, 1) + 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return op(self.layer(x), self.values)

    assert _operators(Scaled(), tmp_path) == ["CONV_2D"]


_MOVING: Mapping[str, tuple[Sequence[np.ndarray], tuple[int, ...], Any]] = {
    "CONCATENATION": ([], (1, 8, 4), schema.ConcatenationOptionsT(axis=1)),
    "GATHER": ([np.int32([2, 0])], (1, 2, 4), schema.GatherOptionsT(axis=1)),
    "MIRROR_PAD": ([np.int32([[0, 0], [1, 1], [0, 0]])], (1, 6, 4), schema.MirrorPadOptionsT()),
    "PAD": ([np.int32([[0, 0], [1, 1], [0, 0]])], (1, 6, 4), schema.PadOptionsT()),
    "PADV2": ([np.int32([[0, 0], [1, 1], [0, 0]]), np.float32(0)], (1, 6, 4), schema.PadV2OptionsT()),
    "RESHAPE": ([np.int32([4, 4])], (4, 4), schema.ReshapeOptionsT(newShape=[4, 4])),
    "SLICE": ([np.int32([0, 1, 0]), np.int32([1, 2, 4])], (1, 2, 4), schema.SliceOptionsT()),
    "SPLIT": ([], (1, 2, 4), schema.SplitOptionsT(numSplits=2)),
    "STRIDED_SLICE": (
        [np.int32([0, 0, 0]), np.int32([1, 4, 4]), np.int32([1, 2, 1])], (1, 2, 4), schema.StridedSliceOptionsT(),
    ),
    "TRANSPOSE": ([np.int32([0, 2, 1])], (1, 4, 4), schema.TransposeOptionsT()),
}  # fmt: skip
"""Constants behind the input (1, 4, 4), shape of the output, options."""


@pytest.mark.parametrize("kind", TFLITE.names(lambda facts: facts.moves))
def test_tflite_moves(kind: str) -> None:
    constants, shape, options = _MOVING[kind]
    file = File()
    x, y = file.tensor("x", (1, 4, 4), FLOAT), file.tensor("y", shape, FLOAT)
    behind = [
        file.tensor(f"c{index}", value.shape, FLOAT if value.dtype == np.float32 else INT32, value)
        for index, value in enumerate(constants)
    ]
    inputs, outputs = [x, *behind], [y]
    if kind == "SPLIT":
        inputs, outputs = [file.tensor("axis", (), INT32, np.int32(1)), x], [y, file.tensor("z", shape, FLOAT)]
    elif kind == "CONCATENATION":
        inputs = [x, x]
    file.op(kind, inputs, outputs, options)
    values = np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4)
    for result in _litert(file, (x,), outputs, values):
        assert np.isin(result, [0, *values.ravel()]).all()


def test_casts_change_the_type_alone(tmp_path: Path) -> None:
    file = File()
    x, q, y = file.tensor("x", (1, 40), FLOAT), file.tensor("q", (1, 40)), file.tensor("y", (1, 40), FLOAT)
    into, back = TFLITE.names(lambda facts: facts.casts)[::-1]
    file.op(into, (x,), (q,))
    file.op(back, (q,), (y,))
    values = (4 * np.random.default_rng(2).standard_normal((1, 40))).astype(np.float32)
    assert np.abs(_litert(file, (x,), (y,), values)[0] - values).max() <= 0.25  # half a step


# Lists of operators elsewhere.

_OTHER_LISTS: Mapping[str, str] = {
    "tflite/conversion/ops": "translations of ONNX operators to TFLite",
    "graph/captured_module.py": "modules that replace operators",
    "graph/random_draws.py": "values that replace random draws",
    "graph/rules": "operators of each rule",
    "onnx_import": "translations of ONNX operators to PyTorch",
    "operator_facts": "the tables",
}
"""Files and folders with lists of operators, and what these are if not facts."""


def test_no_other_module_lists_operators() -> None:
    available = {
        *(entry.name for entry in onnx.defs.get_all_schemas()),
        *(name for name in vars(schema.BuiltinOperator) if not name.startswith("_")),
    }
    results = {
        path.relative_to(_PACKAGE).as_posix(): names
        for path in sorted(_PACKAGE.rglob("*.py"))
        for names in _lists(ast.parse(path.read_text(encoding="utf-8")))
        if all(name in available or name.startswith("aten.") for name in names)
    }
    expected = {other for other in _OTHER_LISTS if any(path.startswith(other) for path in results)}
    assert {path: names for path, names in results.items() if not path.startswith(tuple(_OTHER_LISTS))} == {}
    assert expected == set(_OTHER_LISTS)


def _lists(tree: ast.Module) -> Iterator[list[str]]:
    """Tuples, lists, sets and keys of dicts that are three or more strings alone; words given to ``aten``."""
    for node in ast.walk(tree):
        items: Sequence[ast.expr | None] = ()
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            items = node.elts
        elif isinstance(node, ast.Dict):
            items = node.keys
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "aten":
            yield [f"aten.{name}" for name in ast.literal_eval(node.args[0]).split()]
        names = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if len(names) == len(items) > 2:  # two are a distinction that the code makes, with a branch for each
            yield names
