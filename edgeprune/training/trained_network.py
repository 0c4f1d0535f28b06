"""The network that is trained, with its optimizer and the average of its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.config import TrainingSettings
from edgeprune.training import hyperparameters
from edgeprune.training.ema import WeightAverage


class TrainedNetwork:
    """A network in training. If its shape changes between phases, all attributes change together.

    Attributes:
        model: The network. Replace it between phases if another object takes its place.
        optimizer: Its optimizer.
        average: Average of the weights; None if the settings have none.
    """

    def __init__(self, model: nn.Module, settings: TrainingSettings) -> None:
        self.model = model
        self.optimizer = make_optimizer(model, settings)
        self.average = WeightAverage(model, settings.ema) if settings.ema else None
        self._freezes_norms = settings.batchnorm == "freeze"

    @property
    def followers(self) -> tuple[nn.Module, ...]:
        """Modules with the same tensors as the network, which must change shape with it."""
        return () if self.average is None else (self.average.model,)

    @property
    def evaluated(self) -> nn.Module:
        """Module that validation evaluates and training returns: the average, or the network if there is no average."""
        return self.model if self.average is None else self.average.model

    @property
    def is_finite(self) -> bool:
        """Whether all weights and BatchNorm statistics are finite."""
        norms = [layer for layer in self.model.modules() if isinstance(layer, _BatchNorm)]
        statistics = [one for layer in norms for one in (layer.running_mean, layer.running_var) if one is not None]
        return all(bool(torch.isfinite(tensor).all()) for tensor in [*self.model.parameters(), *statistics])

    def move(self, device: torch.device) -> None:
        """Move network, average and optimizer state to ``device``; parameters remain the same objects."""
        for model in (self.model, *self.followers):
            model.to(device)
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim:  # step counts stay on the CPU
                    state[key] = value.to(parameter.device)

    def set_training_mode(self) -> None:
        """Switch to training mode, except for BatchNorm layers that the settings freeze."""
        self.model.train()
        if self._freezes_norms:
            for layer in self.model.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    @property
    def rate(self) -> float:
        """Learning rate of the last update."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Return the state that ``load_state_dict`` needs, as tensors and plain values."""
        average = self.average
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if average is None else [average.model.state_dict(), average.updates],
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned.

        Raises:
            RuntimeError: The network has another shape.
        """
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:
            state, self.average.updates = content["average"]
            self.average.model.load_state_dict(state)


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return an optimizer of ``model``, without weight decay for biases and normalization parameters."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    # The rate is set before every step.
    if hyperparameters.optimizer(settings) == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0)
