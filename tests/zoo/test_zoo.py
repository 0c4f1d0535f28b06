"""A sample of the zoo; ``scripts/explore/run`` has all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tests.zoo import networks

pytestmark = [
    pytest.mark.skipif(not networks.available(), reason="no torchvision and timm: see scripts/install"),
    pytest.mark.filterwarnings("ignore"),  # theirs
]
_SAMPLE = ("shufflenet_v2_x1_0", "mobilenet_v3_small")


@pytest.mark.parametrize("name", _SAMPLE)
def test_zoo_network_is_pruned_and_exported(name: str, tmp_path: Path) -> None:
    import onnxruntime

    from edgeprune import prune
    from edgeprune.export.onnx_export import export

    network, example = networks.make(name)
    pruned = prune(network, example, budget={"macs": 0.5})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5
    assert 0.49 < pruned.after.macs / pruned.before.macs <= 0.5

    exported = export(pruned.model, example, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    got = session.run(None, {exported.input_names[0]: example[0].numpy()})
    with torch.no_grad():
        want = [leaf for leaf in pytree.tree_leaves(pruned.model.eval()(*example)) if isinstance(leaf, Tensor)]
    for a, b in zip(want, got, strict=True):
        torch.testing.assert_close(torch.from_numpy(b), a, rtol=1e-3, atol=1e-4 * float(a.abs().max()))
