"""Learning from the dense network: its answers, and what its channels say where the small network has them too."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from edgeprune.config import DistillationSettings, TrainingSettings
from edgeprune.errors import InputError
from edgeprune.graph import Group
from edgeprune.training.evaluate import device_of
from edgeprune.training.execution import Execution, call

logger = logging.getLogger(__name__)

AUTO_WEIGHT = 0.9
"""Of the teacher's answers where the settings say nothing, and where outputs are there to compare."""


class Teacher:
    """The dense network, to learn from.

    The loss is ``(1 - weight) * labels + weight * T**2 * KL(teacher || student)``, both softened by the temperature T:
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015). With ``features`` what BatchNorm
    layers give is compared as well, channel by channel for those that are left: the mean squared distance over the mean
    square of the teacher's, mean over the layers. After Romero et al., "FitNets" (2015); no layer is needed in between,
    as every channel of the small network has one in the dense network that it was.

    Args:
        model: The dense network. It is copied; where it can be traced, BatchNorms are folded into the copy.
        settings: Weights and temperature.
        layers: For ``features``: the layers to compare, each with the indices of the teacher's channels that the
            network still has, None where it has all; see ``feature_layers``.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: DistillationSettings,
        *,
        layers: Mapping[str, Tensor | None] | None = None,
    ) -> None:
        self._settings = settings
        self._weight = AUTO_WEIGHT if settings.weight is None else settings.weight
        self._layers = dict(layers or {}) if settings.features else {}
        if settings.features and not self._layers:
            raise InputError(
                "training.distillation.features: the dense and the small network have no BatchNorm layer in common to "
                "compare; set it to 0"
            )
        own = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        folded = None if self._layers else _folded(own)
        self._model = folded or own
        self._folded = folded is not None
        self._said: dict[tuple[str, str], Tensor] = {}
        self._watched: list[torch.utils.hooks.RemovableHandle] = []

    @staticmethod
    def wanted(settings: TrainingSettings) -> bool:
        """Whether ``settings`` ask for a teacher: by themselves where outputs are there to compare."""
        weight, features = settings.distillation.weight, settings.distillation.features
        return bool(features) or (settings.step is None if weight is None else weight > 0)

    def compare(self, layers: Mapping[str, Tensor | None]) -> None:
        """From the next ``begin`` on, compare these ``layers``: the network has lost channels since."""
        if self._layers:
            self._layers = dict(layers)

    def begin(self, student: nn.Module, inputs: Any, execution: Execution) -> None:
        """Get ready to teach ``student`` as ``execution`` says, and answer once, before any step is spent.

        Raises:
            InputError: The outputs of the two differ in shape, or are no tensor (N, classes, ...).
        """
        # As a whole of that type autocast need not convert its weights at every step; a BatchNorm would suffer by it.
        low = self._folded and execution.precision == "bfloat16"
        self._model.to(device_of(student), torch.bfloat16 if low else torch.float32)
        execution.place(self._model)
        training = student.training
        with torch.no_grad():
            own = execution.forward(student.eval(), inputs)
        student.train(training)
        answer = self._answer(inputs, execution)
        shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in (answer, own)]
        if shapes[0] != shapes[1] or not isinstance(own, Tensor) or own.ndim < 2:
            raise InputError(
                f"training.distillation: the teacher gives {shapes[0]}, the network {shapes[1]}; both must be one "
                "tensor (N, classes, ...) of the same shape. Set training.distillation.weight = 0, or take another "
                "teacher"
            )
        self.end()
        for who, model in (("teacher", self._model), ("student", student)):
            layers = dict(model.named_modules())
            for name in self._layers:
                self._watched.append(layers[name].register_forward_hook(self._listen(who, name)))

    def end(self) -> None:
        """Listen to no layer any more."""
        for handle in self._watched:
            handle.remove()
        self._watched.clear()

    def mixed(self, loss: Tensor, outputs: Tensor, inputs: Any, execution: Execution) -> Tensor:
        """``loss`` by labels, and how far ``outputs`` are from the teacher's answer to ``inputs``, by their weights."""
        settings, weight = self._settings, self._weight
        answer = self._answer(inputs, execution)
        soft = settings.temperature
        distance = functional.kl_div(
            functional.log_softmax(outputs / soft, 1),
            functional.log_softmax(answer / soft, 1),
            reduction="none",
            log_target=True,
        )
        mixed = (1 - weight) * loss + weight * soft**2 * distance.sum(1).mean()
        if self._layers:
            mixed = mixed + settings.features * self._features_apart()
        return mixed

    def _answer(self, inputs: Any, execution: Execution) -> Any:
        with torch.no_grad():
            if next(self._model.parameters()).dtype == torch.float32:
                answer = execution.forward(self._model, inputs)
            else:
                low = pytree.tree_map_only(Tensor, _lowered, execution.moved(self._model, inputs))
                answer = pytree.tree_map_only(Tensor, Tensor.float, call(self._model, low))
        return answer

    def _listen(self, who: str, layer: str) -> Any:
        def heard(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._said[who, layer] = output

        return heard

    def _features_apart(self) -> Tensor:
        apart = []
        for layer, kept in self._layers.items():
            theirs, own = self._said["teacher", layer], self._said["student", layer]
            want = (theirs if kept is None else theirs.index_select(1, kept.to(theirs.device))).float()
            apart.append(functional.mse_loss(own.float(), want) / want.square().mean().clamp(min=1e-6))
        self._said.clear()
        return torch.stack(apart).mean()


def feature_layers(
    groups: Sequence[Group], dense: nn.Module, small: nn.Module, kept: Mapping[str, Mapping[int, Tensor]]
) -> dict[str, Tensor | None]:
    """The last BatchNorm layer of each group that both networks have, with the channels of it that are left."""
    layers: dict[str, Tensor | None] = {}
    there = dict(small.named_modules())
    for group in groups:
        names = [member.tensor.rpartition(".")[0] for member in group.members if member.tensor.endswith(".weight")]
        norms = [name for name in names if isinstance(there.get(name), _BatchNorm)]
        if norms and isinstance(dense.get_submodule(norms[-1]), _BatchNorm):
            layers[norms[-1]] = kept.get(f"{norms[-1]}.weight", {}).get(0)
    return layers


def _lowered(tensor: Tensor) -> Tensor:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _folded(model: nn.Module) -> nn.Module | None:
    """``model`` with every BatchNorm behind a convolution folded into it; None where it cannot be traced."""
    from torch.fx.experimental.optimization import fuse

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fuse(model)
    except Exception as problem:  # noqa: BLE001  tracing runs the user's forward, which may do anything
        logger.info("the teacher's BatchNorms are not folded: %s", problem)
        return None
