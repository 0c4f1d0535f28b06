"""Table ``[training]`` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.config.setting_types import Spec
from edgeprune.config.settings_base import Settings


class DistillationSettings(Settings):
    """Knowledge distillation from the dense network.

    Attributes:
        weight: Weight of the dense network's outputs in the loss, from 0 to 1; labels have the rest. None: 0.9, or 0
            if ``training.step`` hides the outputs, or if ``features`` is 0 and the dense network classifies less than
            95 % of its training samples correctly.
        temperature: Temperature that softens the outputs of both networks.
        features: Weight of the distance between the outputs of BatchNorm layers; 0 disables it.
    """

    weight: Annotated[float, Field(ge=0, le=1)] | None = None
    temperature: Annotated[float, Field(gt=0)] = 4.0
    features: Annotated[float, Field(ge=0)] = 0.0


_SAMPLE_BATCH = 64


class TrainingSettings(Settings):
    """Fine-tuning after pruning, with a cosine learning-rate schedule.

    Attributes:
        epochs: Passes over the training split; 0 skips fine-tuning. ``auto`` follows from the number of samples.
        optimizer: ``sgd`` (Nesterov momentum) or ``adamw``. ``auto`` is ``adamw`` if ``lr`` is ``auto``, and ``sgd``
            if ``lr`` is a number.
        lr: Peak learning rate. ``auto`` is found by a range test on the network to be trained.
        momentum: Momentum of ``sgd``.
        weight_decay: Weight decay of the optimizer: L2 for ``sgd``, decoupled for ``adamw``.
        batch_size: Number of samples per step. ``auto`` follows from the number of samples.
        warmup_epochs: Length of the linear warm-up in epochs.
        label_smoothing: Label smoothing of the cross entropy.
        gradient_clip: Maximum norm of the gradient. None: gradients are not clipped.
        ema: Decay of an exponential moving average of the weights, which is evaluated and returned; 0 disables it.
        distillation: Knowledge distillation from the dense network.
        batchnorm: Statistics of BatchNorm layers: ``train`` updates them from the batches; ``freeze`` does not change
            them; ``recalibrate`` updates them, and recomputes them from unaugmented training samples at the end.
        keep: Network that training returns: that of the ``best`` epoch on validation data, which may be the one before
            training, or that of the ``last`` epoch.
        loss: User-defined loss: ``file.py:name`` of a function or module of (outputs, labels) that returns a scalar.
        step: User-defined training step: a function of (model, inputs, labels) that returns the loss, or a dict of
            losses, which are added. A build also needs ``metric``.
        metric: User-defined quality of a network, larger is better: a function of (model, split) that returns a number.
            The model is a callable with the signature of the network and without submodules, because it may be an
            exported file. None: accuracy for class labels, otherwise the negative mean loss.
        precision: Precision of the forward pass. ``auto`` is bfloat16 if a measurement on this machine is faster.
        channels_last: Whether the memory format is channels-last. ``auto`` is the format that measures faster.
    """

    epochs: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    optimizer: Literal["auto", "sgd", "adamw"] = "auto"
    lr: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    distillation: DistillationSettings = DistillationSettings()
    batchnorm: Literal["train", "freeze", "recalibrate"] = "train"
    keep: Literal["best", "last"] = "best"
    loss: Spec | None = None
    step: Spec | None = None
    metric: Spec | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: Literal["auto", True, False] = "auto"

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.epochs != 0

    @property
    def sample_batch(self) -> int:
        """Batch size for samples that are only read: to score, repair and evaluate."""
        return _SAMPLE_BATCH if self.batch_size == "auto" else self.batch_size
