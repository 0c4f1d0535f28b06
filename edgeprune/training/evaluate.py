"""Accuracy and loss of a network on a split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune.errors import DataError, ModelError
from edgeprune.model.class_labels import IGNORED, check_shape
from edgeprune.model.data import Split, check_batch
from edgeprune.model.eval_mode import eval_mode
from edgeprune.progress import SILENT, Progress


class BrokenError(ModelError):
    """The network gives numbers that are not finite: training may have broken its weights."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How well a network does.

    Attributes:
        accuracy: Fraction of labels that are the class of the largest output, 0 to 1; ignored labels do not count.
        loss: Mean cross entropy of a label that counts, natural logarithm.
        samples: How many.
        seconds: Wall clock, reading the samples included.
        correct: One bit for each sample, as ``numpy.packbits`` packs them: 1 where the class is right. Empty
            unless exactly one label of each sample counts.
    """

    accuracy: float
    loss: float
    samples: int
    seconds: float
    correct: bytes = b""


def evaluate(model: nn.Module, split: Split, *, batch_size: int = 64, progress: Progress = SILENT) -> Evaluation:
    """Run ``model`` in eval mode and float32 over all of ``split``; the mode of every module is restored afterwards.

    On a CPU, images are handed over in channels-last order and in batches of 64: on 2 cores of an AMD EPYC (AVX-512)
    ResNet-56 took 330 ms for 256 CIFAR images so, 640 ms contiguous in one batch of 256, which leaves the cache.

    Raises:
        DataError: The split is empty, or has labels of another shape or out of range, ignored labels alone, or inputs
            that are not finite.
        ModelError: The network gives something else than logits (N, classes, ...); BrokenError: they are not finite.
    """
    if len(split) == 0:
        raise DataError("there is nothing to evaluate on: the split is empty")
    device = device_of(model)
    correct, loss, samples, counted = 0, 0.0, 0, 0
    hits: list[Tensor] = []
    single = True
    started = time.perf_counter()
    progress.start(-(-len(split) // batch_size))
    with eval_mode(model), torch.inference_mode():
        for inputs, labels in split.batches(batch_size):
            outputs = logits(call(model, moved(inputs, device, channels_last=device.type == "cpu"))).float().cpu()
            check(inputs, labels, outputs.shape, where="evaluation")
            if not bool(torch.isfinite(outputs).all()):
                raise BrokenError(
                    "the network gives NaN or infinite outputs for finite samples: its weights are broken"
                )
            hit = outputs.argmax(1) == labels
            correct += int(hit.sum())
            loss += float(functional.cross_entropy(outputs, labels, reduction="sum"))
            samples += len(labels)
            here = int((labels != IGNORED).sum())
            counted += here
            single = single and labels.numel() == len(labels) == here
            if single:
                hits.append(hit.flatten())
            progress.advance(accuracy=correct / max(1, counted))
    if not counted:
        raise DataError(f"there is nothing to evaluate on: all labels of the split are {IGNORED}, which is ignored")
    seconds = time.perf_counter() - started
    return Evaluation(
        accuracy=correct / counted,
        loss=loss / counted,
        samples=samples,
        seconds=seconds,
        correct=np.packbits(torch.cat(hits).numpy()).tobytes() if single else b"",
    )


def device_of(model: nn.Module) -> torch.device:
    """Device of the network, and so of its samples."""
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


def to_device(inputs: Tensor, device: torch.device, *, channels_last: bool) -> Tensor:
    """``inputs`` on ``device``, images (N, C, H, W) in channels-last order if asked for."""
    if channels_last and inputs.ndim == 4:
        return inputs.to(device, memory_format=torch.channels_last)
    return inputs.to(device)


def moved(batch: Any, device: torch.device, *, channels_last: bool) -> Any:
    """``batch`` with all its tensors as ``to_device``."""
    if isinstance(batch, Tensor):
        return to_device(batch, device, channels_last=channels_last)
    return pytree.tree_map_only(Tensor, lambda one: to_device(one, device, channels_last=channels_last), batch)


def call(model: nn.Module, inputs: Any) -> Any:
    """Outputs of ``model`` for one input, a tuple or list of positional inputs, or a dict of keyword inputs."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def logits(outputs: Any) -> Tensor:
    """``outputs``; raises ModelError unless they are one tensor (N, classes, ...), as cross entropy needs."""
    if isinstance(outputs, Tensor) and outputs.ndim > 1:
        return outputs
    got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
    raise ModelError(
        f"the network gives {got}; cross entropy needs one tensor (N, classes): set training.loss or training.step to "
        "one's own"
    )


def check(inputs: Any, labels: Any, outputs: Sequence[int], *, where: str) -> None:
    """Raise DataError for labels that are not classes of ``outputs``, and for inputs that are not finite.

    Args:
        inputs: Of the batch.
        labels: Integers in 0..classes-1, or ``IGNORED``.
        outputs: Shape of the logits of the batch.
        where: For messages.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.numel() == 0:
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise DataError(
            f"{where}: class labels must be a tensor of integers, got {got}; for others set training.loss or "
            "training.step"
        )
    check_shape(labels.shape, outputs, where=where)
    classes = outputs[1]
    low, high = labels.aminmax()
    outside = bool(high >= classes) or (bool(low < 0) and bool(((labels < 0) & (labels != IGNORED)).any()))
    for tensor in pytree.tree_leaves(inputs):
        # A sum is twenty times faster than a look at every number, and tells of the few batches that need one.
        if isinstance(tensor, Tensor) and (outside or not bool(torch.isfinite(tensor.sum()))):
            check_batch(tensor, labels, classes, where=where)
