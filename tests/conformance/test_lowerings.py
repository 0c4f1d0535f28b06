"""Every lowering to TFLite, over random shapes, attributes and layouts: LiteRT gives what ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.conversion.ops import registered
from tests.conformance.examples.base import Draw
from tests.conformance.lowerings import Build, examples
from tests.conformance.lowerings.base import Maker, reference
from tests.example_count import example_count

_TOLERANCE = 1e-5
_CASES = [
    pytest.param(op, build, id=f"{op}-{index}")
    for op, builds in sorted(examples().items())
    for index, build in enumerate(builds)
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lowerings") / "model.tflite"


def test_every_lowering_has_an_example() -> None:
    missing = sorted(set(registered()) - set(examples()))
    assert not missing, f"operators without an example in tests/conformance/lowerings: {', '.join(missing)}"


@pytest.mark.parametrize(("op", "build"), _CASES)
@example_count(8, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_lowering(op: str, build: Build, data: st.DataObject, seed: int, path: Path) -> None:
    example = build(Maker(Draw(data), seed))
    assert op in {node.op_type for node in example.model.graph.node}
    converted = convert(example.model, path)
    got = LiteRTSession(converted.path).run([example.feed[port.name] for port in converted.inputs])
    for expected, value in zip(reference(example), got, strict=True):
        assert value.shape == expected.shape
        assert value.dtype == expected.dtype
        error = np.abs(value.astype(np.float64) - expected).max(initial=0.0)
        assert error <= _TOLERANCE * np.abs(expected).max(initial=1e-3), f"off by {error}"
