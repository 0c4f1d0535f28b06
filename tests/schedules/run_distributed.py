"""One of several processes that train a network and prune it.

Every process has data of its own. What is left after training goes into the file RESULT, with what happened on the way.
"""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgeprune import schedules
from tests.schedules.tiny import Small, split

STEPS = 12


def main(rank: int, count: int, store: str, schedule: str, result: Path) -> None:
    torch.manual_seed(rank)  # the processes differ in all but what DistributedDataParallel makes equal
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    torch.save(train(rank, schedule), result)
    # A DistributedDataParallel that outlives the group waits for gloo's threads while it holds the interpreter's lock,
    # which such a thread may need for its end.
    gc.collect()
    torch.distributed.destroy_process_group()


def train(rank: int, schedule: str) -> dict[str, Any]:
    """What is left, and what happened on the way."""
    model = Small(fixed=schedule == "one_shot").eval()
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=schedule == "at_init")
    if schedule == "at_init":
        parallel.register_comm_hook(None, allreduce_hook)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.05, momentum=0.9)
    ema = AveragedModel(parallel, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    options = {
        "iterative": {"rounds": 3},
        "at_init": {"draws": 2, "proxy": 0.5, "criterion": "random"},
        "mask_learning": {"agent": "policy", "evaluations": 8},
    }
    data, losses = list(split(seed=rank).batches(16)), []
    with schedules.create(schedule, options.get(schedule)).attach(
        parallel,
        (data[0][0][:2],),
        optimizer=optimizer,
        budget={"macs": 0.5},
        steps=STEPS,
        data=data,
        options={"criterion": "taylor", "exclude": ["bn1"] if model.fixed else []},
        loop=schedules.LoopOptions(ema=ema),
    ) as pruning:
        for inputs, labels in islice(data * STEPS, STEPS + 2):
            loss = functional.cross_entropy(parallel.train()(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ema.update_parameters(parallel)
            losses.append(loss.item())
    return {
        "state": dict(parallel.module.state_dict()),
        "average": dict(ema.module.module.state_dict()),
        "kept": pruning.state_dict()["kept"],
        "share": pruning.plan.after.macs / pruning.plan.before.macs,
        "losses": losses,
        "hooks": len(parallel._comm_hooks),
        "outputs": parallel.eval()(data[0][0] * 0 + 1).detach(),
    }
