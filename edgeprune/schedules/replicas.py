"""Copies of one network in the processes that train it together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgeprune.errors import InputError
from edgeprune.training.distributed import ProcessGroup


class Replicas:
    """Copies of a network in the processes that train it; a single copy if ``model`` is not distributed.

    Raises:
        InputError: The process group of ``model`` does not contain all processes.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parallel: DistributedDataParallel | None = None
        self._processes = ProcessGroup()
        if isinstance(model, DistributedDataParallel):
            if model.process_group is not torch.distributed.group.WORLD:
                raise InputError(
                    "schedule: model: got DistributedDataParallel over a subset of the processes: use the default "
                    "process group"
                )
            self._parallel = model
            self._processes = ProcessGroup(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def broadcast(self) -> Callable[[Tensor], Tensor]:
        """Function that returns the tensor of process 0 in all processes, whose samples differ."""
        return self._processes.broadcast

    def renew(self) -> None:
        """Broadcast the changed network of process 0, and adapt the gradient buckets to its shapes.

        DistributedDataParallel creates its gradient buckets on construction and on unpickling. This method repeats the
        latter, so that the object, its settings and its hooks are preserved.
        """
        if self._parallel is None:
            return
        self._processes.broadcast_model(self._parallel.module)
        hooks, self._parallel._comm_hooks = self._parallel._comm_hooks, []  # noqa: SLF001
        self._parallel.__setstate__(self._parallel.__getstate__())  # type: ignore[no-untyped-call]
        for hook, state in hooks:
            self._parallel.register_comm_hook(state, hook)
