"""Every importer, over random shapes and attributes: the module gives what ONNX Runtime gives."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from edgeprune.export.onnx_functions import defined_by_functions
from edgeprune.model.output_difference import tensors
from edgeprune.onnx_import import shape_arithmetic
from edgeprune.onnx_import.import_network import import_file
from edgeprune.onnx_import.operators import registered
from tests.conformance.examples.base import Draw
from tests.conformance.lowerings import examples as lowered
from tests.conformance.lowerings.base import Build, Maker, reference
from tests.example_count import example_count
from tests.onnx_import.examples import examples

_TOLERANCE = 1e-4
_ALL = {op: [*lowered().get(op, ()), *examples().get(op, ())] for op in {*lowered(), *examples()}}
_CASES = [
    pytest.param(op, build, id=f"{op}-{index}", marks=[pytest.mark.long] if index else [])
    for op, builds in sorted(_ALL.items())
    for index, build in enumerate(builds)
]


def test_every_importer_has_an_example() -> None:
    missing = sorted({*registered(), *shape_arithmetic.registered()} - set(_ALL))
    assert not missing, f"operators without an example in tests/onnx_import/examples: {', '.join(missing)}"


def test_every_operator_that_can_be_lowered_can_be_imported() -> None:
    missing = set(lowered()) - set(registered())
    assert missing == set(defined_by_functions(missing, onnx.defs.onnx_opset_version()))


@pytest.mark.parametrize(("op", "build"), _CASES)
@example_count(6, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_importer(
    op: str, build: Build, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    example = build(Maker(Draw(data), seed))
    assert op in {node.op_type for node in example.model.graph.node}
    path = tmp_path_factory.getbasetemp() / f"{op}.onnx"
    onnx.save(example.model, path)
    network = import_file(path)
    with torch.no_grad():
        actual = tensors(network(*(torch.from_numpy(value.copy()) for value in example.feed.values())))
    for expected, value in zip(reference(example), actual, strict=True):
        assert value.shape == expected.shape
        assert value.numpy().dtype == expected.dtype
        np.testing.assert_allclose(
            value.numpy().astype(np.float64), expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max(initial=1e-3)
        )
