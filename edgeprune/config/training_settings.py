"""The table ``[training]`` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.config.setting_types import Spec
from edgeprune.config.settings_base import Settings


class DistillationSettings(Settings):
    """Learning from the dense network besides the labels.

    Attributes:
        weight: Weight of the dense network's outputs in the loss, from 0 to 1; labels have the rest. None: 0.9, or 0
            if ``training.step`` hides the outputs, or if ``features`` is 0 and the dense network classifies less than
            95 % of its training samples correctly.
        temperature: That softens both answers.
        features: Weight of the distance between what BatchNorm layers give; 0 is none.
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
        momentum: Of ``sgd``.
        weight_decay: L2 decay of weights, in the optimizer's own sense.
        batch_size: Samples a step. ``auto`` follows from the number of samples.
        warmup_epochs: Length of the linear warm-up.
        label_smoothing: Of the cross entropy.
        gradient_clip: Largest norm of the gradient; None leaves it.
        ema: Decay of an exponential moving average of the weights, which is what is judged and kept; 0 is none.
        distillation: Learning from the dense network.
        batchnorm: Statistics of BatchNorm layers: ``train`` follows the batches; ``freeze`` keeps those there are;
            ``recalibrate`` follows the batches, and takes them anew of unchanged training samples at the end.
        keep: What training ends with: the network of the ``best`` epoch on validation, which may be the one before
            training, or of the ``last``.
        loss: The user's own: ``file.py:name`` of a function or module of (outputs, labels) that gives a scalar.
        step: The user's own training step: a function of (model, inputs, labels) that gives the loss, or a dict
            of losses, which are added. A build needs ``metric`` beside it.
        metric: How good a network is, the larger the better: a function of (model, split) that gives a number, where
            the model is called as the network is, but has no parts: it may be the exported file. None: accuracy of
            class labels, minus the mean loss for others.
        precision: Of the forward pass; ``auto`` takes bfloat16 where a measurement on this machine says it is faster.
        channels_last: Memory format; ``auto`` measures as well.
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
