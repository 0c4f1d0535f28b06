"""Q/DQ pairs stand where TensorRT fuses them, and what stands elsewhere is found. Run on ONNX Runtime, not TensorRT."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgeprune.backends.tensorrt import qdq_fusion_rules
from edgeprune.backends.tensorrt.qdq_fusion_rules import check, violations
from edgeprune.backends.tensorrt.qdq_placement import fit
from edgeprune.errors import ModelError
from edgeprune.quantize.activation_ranges import calibrate
from edgeprune.quantize.prepare_onnx import prepare
from tests.backends.tensorrt.residual import error, exported, images, quantized, run, samples

CPU = {  # what ONNX Runtime's own defaults give
    "quant_format": QuantFormat.QDQ,
    "activation_type": QuantType.QInt8,
    "weight_type": QuantType.QInt8,
    "per_channel": True,
    "extra_options": {"ActivationSymmetric": True},
}


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self._samples = samples(16, seed=1)

    def get_next(self) -> Any:
        return next(self._samples, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("placement")


@pytest.fixture(scope="module")
def plain(folder: Path) -> ModelProto:
    return exported(folder / "model.onnx")


@pytest.fixture(scope="module")
def fitted(folder: Path, plain: ModelProto) -> ModelProto:
    return quantized(folder / "model.onnx")


@pytest.fixture(scope="module")
def for_cpu(folder: Path, plain: ModelProto) -> ModelProto:
    quantize_static(folder / "model.onnx", folder / "cpu.onnx", Reader(), **CPU)
    return onnx.load(folder / "cpu.onnx")


def rules(model: ModelProto, **how: Any) -> set[str]:
    return {violation.rule for violation in violations(model, **how)}


def named(model: ModelProto, kind: str, index: int = 0) -> NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][index]


def copied(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def feeds(model: ModelProto) -> dict[str, Counter[str]]:
    """How often each input of each kind of node comes from a DQ."""
    results = {name: node.op_type for node in model.graph.node for name in node.output}
    by_name: dict[str, Counter[str]] = {}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if results.get(name) == "DequantizeLinear":
                by_name.setdefault(node.op_type, Counter())[str(index)] += 1
    return by_name


def test_every_convolution_is_quantised_and_every_addition_on_its_skip_input_alone(fitted: ModelProto) -> None:
    assert violations(fitted) == []
    assert feeds(fitted) == {
        "Conv": {"0": 8, "1": 8},
        "Gemm": {"0": 1, "1": 1},
        "Add": {"1": 3},
    }
    onnx.checker.check_model(fitted, full_check=True)


def test_network_computes_the_same_after_placement(plain: ModelProto, fitted: ModelProto) -> None:
    inputs = images(32)
    assert error(run(plain, inputs), run(fitted, inputs)) < 0.05


def test_weights_are_a_quarter_or_float_for_old_releases(folder: Path, plain: ModelProto, fitted: ModelProto) -> None:
    old = quantized(folder / "model.onnx", float_weights=True)
    assert violations(old, float_weights=True) == []
    assert rules(fitted, float_weights=True) == {"weights"}
    assert len(fitted.SerializeToString()) < len(plain.SerializeToString()) < len(old.SerializeToString())
    inputs = images(8)
    assert error(run(fitted, inputs), run(old, inputs)) < 1e-5


def test_quantizers_placed_for_a_cpu_are_moved(plain: ModelProto, for_cpu: ModelProto) -> None:
    assert rules(for_cpu) == {"bias", "residual", "shared", "stray"}
    moved = fit(for_cpu)
    assert violations(moved) == []
    assert feeds(moved) == {"Conv": {"0": 8, "1": 8}, "Gemm": {"0": 1, "1": 1}, "Add": {"1": 3}}
    assert [value.name for value in moved.graph.output] == ["output"]
    inputs = images(32)
    assert error(run(plain, inputs), run(moved, inputs)) <= error(run(plain, inputs), run(for_cpu, inputs))


def test_placing_qdq_pairs_is_idempotent_and_copies_the_model(for_cpu: ModelProto) -> None:
    before = for_cpu.SerializeToString(deterministic=True)
    once = fit(for_cpu)
    assert fit(once).SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)
    assert for_cpu.SerializeToString(deterministic=True) == before


def test_a_float_network_breaks_no_rule(plain: ModelProto) -> None:
    assert violations(plain) == []


def test_float_convolution_does_not_make_its_addition_float(folder: Path, plain: ModelProto) -> None:
    first_add = named(plain, "Add")
    main = next(node for node in plain.graph.node if node.output[0] == first_add.input[0])
    mixed = quantized(folder / "model.onnx", kept_float=[main.name])
    assert violations(mixed) == []
    results = {name: node.op_type for node in mixed.graph.node for name in node.output}
    add = next(node for node in mixed.graph.node if node.name == first_add.name)
    assert "DequantizeLinear" not in {results[name] for name in add.input}


def set_constant(model: ModelProto, name: str, values: np.ndarray) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def asymmetric(model: ModelProto) -> str:
    node = named(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(3, np.int8))
    return node.name


def unsigned(model: ModelProto) -> str:
    node = named(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(0, np.uint8))
    return node.name


def one_scale_for_all_channels(model: ModelProto) -> str:
    conv = named(model, "Conv")
    dequantize = next(node for node in model.graph.node if conv.input[1] in node.output)
    set_constant(model, dequantize.input[1], np.array(0.01, np.float32))
    return conv.name


def wrong_axis(model: ModelProto) -> str:
    # The second convolution of the second block has as many inputs as outputs.
    conv = next(node for node in model.graph.node if node.op_type == "Conv" and "4/second" in node.name)
    dequantize = next(node for node in model.graph.node if conv.input[1] in node.output)
    next(item for item in dequantize.attribute if item.name == "axis").i = 1
    return conv.name


def float_input(model: ModelProto) -> str:
    conv = named(model, "Conv")
    conv.input[0] = "input"
    return conv.name


def quantised_bias(model: ModelProto) -> str:
    conv = named(model, "Conv")
    constants = [
        numpy_helper.from_array(np.zeros(8, np.int32), "bias_int32"),
        numpy_helper.from_array(np.float32(0.1), "bias_scale"),
    ]
    model.graph.initializer.extend(constants)
    node = helper.make_node("DequantizeLinear", ["bias_int32", "bias_scale"], ["bias_float"], "bias_dq")
    model.graph.node.insert(0, node)
    conv.input[2] = "bias_float"
    return conv.name


def pair_after(model: ModelProto, value: str) -> str:
    """Put a pair behind ``value``; returns its output."""
    like = named(model, "QuantizeLinear")
    position = next(index for index, node in enumerate(model.graph.node) if value in node.output) + 1
    quantize = helper.make_node("QuantizeLinear", [value, *like.input[1:]], ["planted_q"], "planted_q")
    dequantize = helper.make_node("DequantizeLinear", ["planted_q", *like.input[1:]], ["planted"], "planted")
    model.graph.node.insert(position, dequantize)
    model.graph.node.insert(position, quantize)
    return "planted"


def main_input_quantised(model: ModelProto) -> str:
    add = named(model, "Add")
    add.input[0] = pair_after(model, add.input[0])
    return add.name


def skip_in_float(model: ModelProto) -> str:
    add = named(model, "Add")
    dequantize = next(node for node in model.graph.node if add.input[1] in node.output)
    quantize = next(node for node in model.graph.node if dequantize.input[0] in node.output)
    add.input[1] = quantize.input[0]
    return add.name


def before_a_relu(model: ModelProto) -> str:
    relu = named(model, "Relu")
    relu.input[0] = pair_after(model, relu.input[0])
    return "planted"


def shared_by_two(model: ModelProto) -> str:
    add, conv = named(model, "Add"), named(model, "Conv", 1)
    add.input[1] = conv.input[0]
    return next(node.name for node in model.graph.node if conv.input[0] in node.output)


PLANTED: dict[Callable[[ModelProto], str], str] = {
    asymmetric: "int8",
    unsigned: "int8",
    one_scale_for_all_channels: "weights",
    wrong_axis: "weights",
    float_input: "weights",
    quantised_bias: "bias",
    main_input_quantised: "residual",
    skip_in_float: "residual",
    before_a_relu: "stray",
    shared_by_two: "shared",
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_violation_is_found_at_its_node(fitted: ModelProto, plant: Callable[[ModelProto], str]) -> None:
    model = copied(fitted)
    node = plant(model)
    result = violations(model)
    assert (PLANTED[plant], node) in {(violation.rule, violation.node) for violation in result}
    assert {violation.rule for violation in result} == {PLANTED[plant]}
    with pytest.raises(ModelError, match=rf"{re.escape(node)}: "):
        check(model)


@pytest.mark.parametrize("plant", [quantised_bias, main_input_quantised, before_a_relu, shared_by_two])
def test_violations_without_a_new_scale_are_fixed(fitted: ModelProto, plant: Callable[[ModelProto], str]) -> None:
    model = copied(fitted)
    plant(model)
    assert violations(fit(model)) == []


def test_an_addition_of_a_constant_is_left_alone(tmp_path: Path) -> None:
    """As where positions are added to a sequence."""
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32), "w")
    bias = numpy_helper.from_array(np.ones((3, 4), np.float32), "b")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 4)) for name in ("input", "y")]
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["m"], "matmul"),
        helper.make_node("Add", ["m", "b"], ["y"], "add"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", value[:1], value[1:], [weights, bias]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "linear.onnx")
    prepared = prepare(tmp_path / "linear.onnx")
    inputs = [np.random.default_rng(seed).standard_normal((1, 3, 4)).astype(np.float32) for seed in range(4)]
    result = qdq_fusion_rules.quantized(
        prepared.model, calibrate(prepared, inputs, op_types=qdq_fusion_rules.QUANTIZED)
    )
    results = {name: node.op_type for node in result.graph.node for name in node.output}
    assert [results.get(name) for name in named(result, "MatMul").input] == ["DequantizeLinear"] * 2
    assert [results.get(name) for name in named(result, "Add").input] == ["MatMul", None]
