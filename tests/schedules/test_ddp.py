"""Two processes train one network with data of their own; what is removed is removed in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgeprune.errors import InputError
from edgeprune.schedules import create
from tests import processes
from tests.schedules import run_distributed

pytestmark = pytest.mark.long

_PROCESSES = 2


def _run(schedule: str, folder: Path) -> list[dict[str, Any]]:
    results = [folder / f"{rank}.pt" for rank in range(_PROCESSES)]
    running = [
        processes.start(
            run_distributed.main, rank, _PROCESSES, str(folder / "store"), schedule, result,
            folder=folder, log=result,
        )
        for rank, result in enumerate(results)
    ]  # fmt: skip
    for process, result in zip(running, results, strict=True):
        process.join(1500)
        assert process.exitcode == 0, result.with_suffix(".err").read_text()
    return [torch.load(result) for result in results]


@pytest.mark.parametrize("schedule", ["iterative", "at_init", "penalty", "variational_dropout", "mask_learning"])
def test_all_processes_have_the_same_weights_after_pruning(schedule: str, tmp_path: Path) -> None:
    first, second = _run(schedule, tmp_path)

    assert first["losses"] != second["losses"], "each has data of its own"
    assert first["losses"][-1] < first["losses"][0]
    assert first["share"] <= 0.5
    for what in ("state", "average"):
        assert first[what].keys() == second[what].keys()
        for name, tensor in first[what].items():
            assert tensor.shape == first["state"][name].shape
            if "running" not in name:  # statistics of the last batches, which the next step would make equal
                assert torch.equal(tensor, second[what][name]), f"{what}: {name}"
    for name, dims in first["kept"].items():
        assert all(torch.equal(index, second["kept"][name][dim]) for dim, index in dims.items())
    assert first["hooks"] == (1 if schedule == "at_init" else 0)


def test_process_subgroup_is_refused(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)).eval()
        parallel = DistributedDataParallel(model, process_group=torch.distributed.new_group([0]))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(InputError, match=r"schedule: model: .*DistributedDataParallel"):
            create("one_shot").attach(
                parallel, (torch.randn(1, 1, 8, 8),), optimizer=optimizer, budget={"macs": 0.5}, steps=2
            )
    finally:
        torch.distributed.destroy_process_group()
