"""Several processes that train one network together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgeprune.errors import InputError
from edgeprune.training.distributed import ProcessGroup


class Replicas:
    """The copies of a network in the processes that train it; one alone where ``model`` is not distributed.

    Raises:
        InputError: They are some of all processes only.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parallel: DistributedDataParallel | None = None
        self._processes = ProcessGroup()
        if isinstance(model, DistributedDataParallel):
            if model.process_group is not torch.distributed.group.WORLD:
                raise InputError(
                    "schedule: model: got DistributedDataParallel over a process group of its own; allowed is the one "
                    "of all processes"
                )
            self._parallel = model
            self._processes = ProcessGroup(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def broadcast(self) -> Callable[[Tensor], Tensor]:
        """Function that returns the tensor of process 0 in all processes, whose samples differ."""
        return self._processes.broadcast

    def renew(self) -> None:
        """The network was changed: its weights are those of process 0 again, and gradients are gathered by its shapes.

        Buckets of gradients are laid out when DistributedDataParallel is made, or unpickled: that part of it is done
        again, so that it stays the same object, with what was set and registered.
        """
        if self._parallel is None:
            return
        self._processes.broadcast_model(self._parallel.module)
        hooks, self._parallel._comm_hooks = self._parallel._comm_hooks, []  # noqa: SLF001
        self._parallel.__setstate__(self._parallel.__getstate__())  # type: ignore[no-untyped-call]
        for hook, state in hooks:
            self._parallel.register_comm_hook(state, hook)
