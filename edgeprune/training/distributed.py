"""The processes that train together: this one alone, or those that ``torchrun`` or ``accelerate launch`` started."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

# Its functions take the process group for a default argument. Imported when there is one, as the first optimiser does,
# they would keep it, with its threads, beyond the end of the interpreter, where such a thread may abort the process.
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune import extras
from edgeprune.distributed_env import started_processes


@dataclass(frozen=True)
class ProcessGroup:
    """Those that train together.

    A training step in each, on its part of the batch, is one step on the whole batch: within ``together``, and with
    ``average_gradients`` before the update. DistributedDataParallel would overlap these with the backward pass, but
    forbids layers that a step leaves out, and a step of the user's own to call parts of the network.

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
    def together(self, model: nn.Module) -> Iterator[None]:
        """Within it BatchNorm layers of ``model`` in training mode see the batches of all processes as one.

        torch.nn.SyncBatchNorm does so on GPUs alone.
        """
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)] if self.count > 1 else []
        for layer in layers:
            layer.forward = _synchronised(layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward

    def average_gradients(self, model: nn.Module) -> None:
        """Give the parameters of ``model`` the mean of their gradients in all processes."""
        if self.count == 1:
            return
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        there = trained[0].new_tensor([parameter.grad is not None for parameter in trained])
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
        flat = torch.cat([there, *(part.reshape(-1) for part in parts)])
        torch.distributed.all_reduce(flat)
        there, *means = torch.split(flat, [len(trained), *(part.numel() for part in parts)])
        for index, (parameter, part, mean) in enumerate(zip(trained, parts, means, strict=True)):
            if parameter.grad is None and not bool(there[index]):
                continue  # no process has one: the optimiser leaves it alone, as without others
            parameter.grad = part.copy_(mean.reshape(part.shape) / self.count)

    def agreed(self, loss: Tensor, *, due: bool) -> tuple[float, bool]:
        """The mean of a scalar over the processes, and whether something is ``due`` in any of them."""
        if self.count == 1:
            return loss.item(), due
        values = torch.stack([loss, loss.new_tensor(float(due))])
        torch.distributed.all_reduce(values)
        total, due_in = values.tolist()
        return total / self.count, due_in > 0

    def same(self, model: nn.Module) -> None:
        """Give ``model`` the tensors of process 0."""
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                whole = tensor.detach().contiguous()
                torch.distributed.broadcast(whole, 0)
                tensor.data.copy_(whole)

    def tell(self, value: Any) -> Any:
        """Broadcast ``value`` of process 0: plain values, and tensors on the CPU."""
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
def processes() -> ProcessGroup:
    """Those that this one was started with; a launcher says so in the environment."""
    if started_processes() == 1:
        return ProcessGroup(device=torch.device("cuda") if torch.cuda.is_available() else None)
    from datetime import timedelta

    with extras.required("distributed"):
        from accelerate import PartialState

    if not torch.distributed.is_initialized():
        atexit.register(_leave)
    # Process 0 may work alone for long, between training, while the others wait.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7))
    return ProcessGroup(state.process_index, state.num_processes, state.device)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the processes, which gradients go back through."""

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_context, gradient)


def _summed(tensor: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return summed


def _synchronised(layer: _BatchNorm) -> Any:
    def forward(inputs: Tensor) -> Tensor:
        if not layer.training:
            return type(layer).forward(layer, inputs)
        x = inputs if inputs.dtype == torch.float64 else inputs.float()
        dims = [0, *range(2, x.ndim)]
        sums = _summed(torch.cat([x.sum(dims), x.new_tensor([x.numel() / x.shape[1]])]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        shape = (1, -1) + (1,) * (x.ndim - 2)
        centred = x - mean.reshape(shape)
        variance = _summed(centred.square().sum(dims)) / count
        if layer.running_mean is not None and layer.running_var is not None:
            with torch.no_grad():
                assert layer.num_batches_tracked is not None
                layer.num_batches_tracked += 1
                step = layer.momentum if layer.momentum is not None else 1 / float(layer.num_batches_tracked)
                layer.running_mean.lerp_(mean, step)
                layer.running_var.lerp_(variance * count / (count - 1), step)
        result = centred * (variance + layer.eps).rsqrt().reshape(shape)
        if layer.affine:
            result = result * layer.weight.reshape(shape) + layer.bias.reshape(shape)
        return result.to(inputs.dtype)

    return forward
