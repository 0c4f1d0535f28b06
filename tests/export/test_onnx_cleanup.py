"""Removal and renaming by ``tidy``; the model computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeprune.export.onnx_cleanup import tidy


def branching() -> ModelProto:
    """Branches that read outer values, a constant node, a dead node, doc strings and an unused domain."""
    branches = {
        name: helper.make_graph(
            [
                helper.make_node(
                    op, ["/network/Relu_output_0", "network.weight"], [f"/network/{name}"], f"/network/{op}"
                )
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"/network/{name}", TensorProto.FLOAT, (3,))],
        )
        for name, op in (("then", "Add"), ("else", "Mul"))
    }
    nodes = [
        helper.make_node("Constant", [], ["onnx::Add_7"], value=numpy_helper.from_array(np.float32([1, 2, 3]))),
        helper.make_node("Add", ["x", "onnx::Add_7"], ["/network/Add_output_0"], "/network/Add", doc_string="traced"),
        helper.make_node("Relu", ["/network/Add_output_0"], ["/network/Relu_output_0"], "/network/Relu"),
        helper.make_node("Exp", ["network.unused"], ["dead"], "/network/Exp"),
        helper.make_node(
            "If", ["positive"], ["y"], "/network/If", then_branch=branches["then"], else_branch=branches["else"]
        ),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (3,)) for name in ("x", "y")]
    condition = helper.make_tensor_value_info("positive", TensorProto.BOOL, ())
    weights = [numpy_helper.from_array(np.float32([4, 5, 6]), f"network.{name}") for name in ("weight", "unused")]
    graph = helper.make_graph(nodes, "g", [value[0], condition], value[1:], weights, doc_string="graph")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: ModelProto, *, positive: bool) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.float32([-3, 0, 3]), "positive": np.array(positive)})[0]


def test_names_lose_the_wrapper_inside_branches_too_and_unneeded_parts_are_removed() -> None:
    model = branching()
    expected = [run(model, positive=positive) for positive in (True, False)]
    tidied = tidy(ir.from_proto(model))
    onnx.checker.check_model(tidied, full_check=True)
    for positive, values in zip((True, False), expected, strict=True):
        np.testing.assert_array_equal(run(tidied, positive=positive), values)
    assert [node.name for node in tidied.graph.node] == ["/Add", "/Relu", "/If"]
    assert [tensor.name for tensor in tidied.graph.initializer] == ["weight", "Add_7"]
    inner = [attribute.g.node[0] for attribute in tidied.graph.node[2].attribute]
    assert [list(node.input) for node in inner] == [["/Relu_output_0", "weight"]] * 2
    assert [entry.domain for entry in tidied.opset_import] == [""]
    assert tidied.ir_version == 8
    assert not any(noted.doc_string for noted in (tidied.graph, *tidied.graph.node))
