"""Process group of data-parallel training: a single process, or those of ``torchrun`` or ``accelerate launch``."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

# Its functions take the process group for a default argument. Imported when there is one, as the first optimizer does,
# they would keep it, with its threads, beyond the end of the interpreter, where such a thread may abort the process.
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune import extras
from edgeprune.distributed_env import started_processes


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that train one network together.

    Each process computes a training step on its part of the batch. With ``synchronize_batchnorm`` around the forward
    and backward pass, and ``average_gradients`` before the update, the result is that of one step on the whole batch.
    DistributedDataParallel would overlap communication with the backward pass. It does not support layers that a step
    skips, nor a user's training step that calls parts of the network.

    Attributes:
        rank: Rank of this process, from 0. Only process 0 writes files.
        count: Number of processes.
        device: Device on which this process trains. None: the device of the network.
    """

    rank: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def first(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    @contextmanager
    def synchronize_batchnorm(self, model: nn.Module) -> Iterator[None]:
        """Context in which BatchNorm layers in training mode use the statistics of the batches of all processes.

        torch.nn.SyncBatchNorm supports GPUs only.
        """
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)] if self.count > 1 else []
        for layer in layers:
            layer.forward = _synchronized(layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of ``model`` by their means over all processes."""
        if self.count == 1:
            return
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        has_gradient = trained[0].new_tensor([parameter.grad is not None for parameter in trained])
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
        flat = torch.cat([has_gradient, *(gradient.reshape(-1) for gradient in gradients)])
        torch.distributed.all_reduce(flat)
        has_gradient, *sums = torch.split(flat, [len(trained), *(gradient.numel() for gradient in gradients)])
        for index, (parameter, gradient, total) in enumerate(zip(trained, gradients, sums, strict=True)):
            if parameter.grad is None and not bool(has_gradient[index]):
                continue  # no process has one: the optimizer skips it, as in a single process
            parameter.grad = gradient.copy_(total.reshape(gradient.shape) / self.count)

    def all_reduce(self, loss: Tensor, *, due: bool) -> tuple[float, bool]:
        """Return the mean of the scalar ``loss`` over all processes, and whether ``due`` is True in any of them."""
        if self.count == 1:
            return loss.item(), due
        values = torch.stack([loss, loss.new_tensor(float(due))])
        torch.distributed.all_reduce(values)
        total, due_count = values.tolist()
        return total / self.count, due_count > 0

    def broadcast_model(self, model: nn.Module) -> None:
        """Copy the parameters and buffers of process 0 to ``model`` in all processes."""
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                contiguous = tensor.detach().contiguous()
                torch.distributed.broadcast(contiguous, 0)
                tensor.data.copy_(contiguous)

    def broadcast(self, value: Any) -> Any:
        """Return ``value`` of process 0 in all processes: plain values, and tensors on the CPU."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, 0)
        return values[0]

    def barrier(self) -> None:
        """Wait until all processes reach this call."""
        if self.count > 1:
            torch.distributed.barrier()


@cache
def process_group() -> ProcessGroup:
    """Return the processes that the launcher started, from its environment variables."""
    if started_processes() == 1:
        return ProcessGroup(device=torch.device("cuda") if torch.cuda.is_available() else None)
    from datetime import timedelta

    with extras.required("distributed"):
        from accelerate import PartialState

    if not torch.distributed.is_initialized():
        atexit.register(_destroy_process_group)
    # Between trainings, process 0 may work for a long time while the others wait.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7))
    return ProcessGroup(state.process_index, state.num_processes, state.device)


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Differentiable sum of a tensor over all processes."""

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


def _synchronized(layer: _BatchNorm) -> Any:
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
