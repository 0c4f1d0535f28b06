"""The processes that train together: this one alone, or those that ``torchrun`` or ``accelerate launch`` started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.launch import started_processes


@dataclass(frozen=True)
class Processes:
    """Those that train together.

    Attributes:
        rank: Of this process, from 0. Only process 0 writes files.
        count: How many there are.
        device: Where this one trains; None: where the network is.
    """

    rank: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    @contextmanager
    def together(self, model: nn.Module) -> Iterator[nn.Module]:
        """``model`` to run steps with: gradients are averaged, BatchNorm layers see the batches of all processes."""
        if self.count == 1:
            yield model
            return
        from torch.nn.parallel import DistributedDataParallel

        on_gpu = self.device is not None and self.device.type == "cuda"
        with _one_batch(model):
            yield DistributedDataParallel(model, device_ids=[self.device] if on_gpu else None, broadcast_buffers=False)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a scalar over the processes."""
        if self.count == 1:
            return value
        summed = value.clone()
        torch.distributed.all_reduce(summed)
        return summed / self.count

    def same(self, model: nn.Module) -> None:
        """Give ``model`` the tensors of process 0."""
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                torch.distributed.broadcast(tensor.data, 0)

    def tell(self, value: Any) -> Any:
        """What process 0 has: plain values."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, 0)
        return box[0]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


@cache
def processes() -> Processes:
    """Those that this one was started with; a launcher says so in the environment."""
    if started_processes() == 1:
        return Processes(device=torch.device("cuda") if torch.cuda.is_available() else None)
    from datetime import timedelta

    from accelerate import Accelerator, InitProcessGroupKwargs

    # Process 0 may work alone for long, between training, while the others wait.
    patient = InitProcessGroupKwargs(timeout=timedelta(days=7))
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patient])
    return Processes(accelerator.process_index, accelerator.num_processes, accelerator.device)


@contextmanager
def _one_batch(model: nn.Module) -> Iterator[None]:
    """BatchNorm layers in training mode normalise by the batches of all processes as one.

    torch.nn.SyncBatchNorm does so on GPUs alone.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    for layer in layers:
        layer.forward = _synchronised(layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _synchronised(layer: _BatchNorm) -> Any:
    from torch.distributed.nn import functional

    def all_reduce(tensor: Tensor) -> Tensor:
        """The sum over the processes, which gradients go back through."""
        summed: Tensor = functional.all_reduce(tensor)  # type: ignore[no-untyped-call]
        return summed

    def forward(inputs: Tensor) -> Tensor:
        if not layer.training:
            return type(layer).forward(layer, inputs)
        x = inputs.float()
        dims = [0, *range(2, x.ndim)]
        count = all_reduce(x.new_tensor(x.numel() / x.shape[1]))
        mean = all_reduce(x.sum(dims)) / count
        shape = (1, -1) + (1,) * (x.ndim - 2)
        centred = x - mean.reshape(shape)
        variance = all_reduce(centred.square().sum(dims)) / count
        if layer.running_mean is not None and layer.running_var is not None:
            with torch.no_grad():
                assert layer.num_batches_tracked is not None
                layer.num_batches_tracked += 1
                step = layer.momentum if layer.momentum is not None else 1 / float(layer.num_batches_tracked)
                layer.running_mean.lerp_(mean.detach(), step)
                layer.running_var.lerp_(variance.detach() * count / (count - 1), step)
        result = centred * (variance + layer.eps).rsqrt().reshape(shape)
        if layer.affine:
            result = result * layer.weight.reshape(shape) + layer.bias.reshape(shape)
        return result.to(inputs.dtype)

    return forward
