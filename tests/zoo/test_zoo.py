"""A sample of the zoo, and the MACs of all its networks; ``scripts/explore/run`` has all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree

from edgeprune import prune
from edgeprune.graph import capture, units_of
from edgeprune.model.output_difference import distance
from scripts.counted_macs import counted_macs, macs_by_operator, macs_differences, run
from tests.zoo import networks

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of the networks
_SAMPLE = ("shufflenet_v2_x1_0", "mobilenet_v3_small", "bc-resnet", "tcn", "nafnet", "x3d", "mobile-face-net")
_COUNTED_OTHERWISE: Mapping[str, frozenset[str]] = {}
"""Kinds of operators, by network, whose MACs torch counts otherwise or not at all."""


def _make(name: str) -> networks.Made:
    if missing := networks.missing_packages(name):
        pytest.skip(f"{', '.join(missing)} is not installed: see scripts/bench_zoo.py")
    return networks.make(name)


@pytest.mark.parametrize("name", _SAMPLE)
def test_zoo_network_is_pruned_replayed_and_exported(name: str, tmp_path: Path) -> None:
    import onnxruntime

    from edgeprune.export.onnx_export import export

    network, example = _make(name)
    pruned = prune(network, example, budget={"macs": 0.5})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5
    assert 0.45 < pruned.after.macs / pruned.before.macs <= 0.5
    replayed = pruned.plan.apply(network, example, verify=False)
    assert distance(run(pruned.model, example), run(replayed, example)) == 0

    exported = export(pruned.model, example, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    inputs = [leaf.numpy() for leaf in pytree.tree_leaves(example)]
    outputs = session.run(None, dict(zip(exported.input_names, inputs, strict=True)))
    assert distance(run(pruned.model.eval(), example), [torch.from_numpy(output) for output in outputs]) < 1e-4


@pytest.mark.parametrize("name", networks.NAMES)
def test_macs_equal_those_that_torch_counts_in_the_modules(name: str) -> None:
    network, example = _make(name)
    own = macs_by_operator(units_of(capture(network, example)))
    counted = counted_macs(network, example)
    differences = macs_differences(own, counted)
    assert set(differences) == _COUNTED_OTHERWISE.get(name, frozenset()), differences
