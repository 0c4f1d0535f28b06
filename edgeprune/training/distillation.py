"""Learning from the dense network: its answers, and what its channels say where the small network has them too."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from edgeprune.config import DistillationSettings, TrainingSettings
from edgeprune.errors import InputError
from edgeprune.graph import Group
from edgeprune.model.data import Split
from edgeprune.model.eval_mode import eval_mode
from edgeprune.model.splits import some
from edgeprune.training.checkpoint import identity
from edgeprune.training.evaluate import call, device_of, evaluate
from edgeprune.training.feature_distance import _some_places, squared_distance
from edgeprune.training.precision_and_layout import StepExecution

logger = logging.getLogger(__name__)

AUTO_WEIGHT = 0.9
"""Weight of the teacher's outputs, if the settings do not set one and the outputs can be compared."""
_FITTED = 0.95
_FITTED_SAMPLES = 512
_FOLDED_WITHIN = 1e-3  # of the largest answer: what folding may change by rounding


def fits(dense: nn.Module, train: Split) -> bool:
    """Whether ``dense`` gets at least 95 % of the labels of 512 of its training samples right.

    A network that does not has no capacity to spare, and distillation makes its pruned version worse. The dense network
    of the README is right on 87 % of its training samples. Pruned to half of its MACs, it reached 84.0 % from labels
    alone, 79.7 % with a teacher at temperature 4 and 81.8 % at temperature 1 (AdamW at a rate of 0.01, one seed), on
    samples that took no part in training.
    Cho and Hariharan, "On the Efficacy of Knowledge Distillation" (2019), report the same for small students.

    Raises:
        DataError: As ``evaluate``.
        ModelError: As ``evaluate``.
    """
    accuracy = evaluate(dense, some(train, _FITTED_SAMPLES, key=(0,))).accuracy
    logger.info("the dense network gets %.1f %% of the labels of its training samples right", 100 * accuracy)
    return accuracy >= _FITTED


class Teacher:
    """The dense network, to learn from.

    The loss is ``(1 - weight) * labels + weight * T**2 * KL(teacher || student)``, both softened by the temperature T:
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015). With ``features`` what BatchNorm
    layers give is compared as well, channel by channel for those that are left, at every other row and column: the
    mean squared distance over the mean square of the teacher's on the first batch, mean over the layers. After Romero
    et al., "FitNets" (2015); no layer is needed in between, as every channel of the small network has one in the dense
    network that it was.

    Args:
        model: The dense network. It is copied; where it can be traced, BatchNorms are folded into the copy.
        settings: Weights and temperature.
        layers: For ``features``: the layers to compare, each with the indices of the teacher's channels that the
            network still has, None where it has all; see ``feature_layers``.

    Raises:
        InputError: Features are wanted, and there are no layers.
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
        self._features = settings.features
        self._layers: dict[str, Tensor | None] = {}
        self._model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.identity = identity(self._model.state_dict())
        self._folded = _folded(self._model)
        self._inside: Mapping[str, str] = {}
        self._answering = self._model
        self._said: dict[tuple[str, str], Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._watched: list[torch.utils.hooks.RemovableHandle] = []
        self.compare(layers or {})

    @staticmethod
    def wanted(settings: TrainingSettings) -> bool:
        """Whether ``settings`` ask for a teacher: by themselves where class labels are learned, and so are logits."""
        weight, features = settings.distillation.weight, settings.distillation.features
        plain = settings.step is None and settings.loss is None
        return bool(features) or (plain if weight is None else weight > 0)

    @property
    def answers(self) -> bool:
        """Whether the teacher's answers are part of the loss."""
        return self._weight > 0

    def compare(self, layers: Mapping[str, Tensor | None]) -> None:
        """From the next ``begin`` on, compare these ``layers``: the network has lost channels since.

        Raises:
            InputError: As on construction.
        """
        if not self._features:
            return
        if not layers:
            raise InputError(
                "training.distillation.features: the dense and the small network have no BatchNorm layer in common to "
                "compare; set it to 0"
            )
        self._layers = dict(layers)

    def begin(self, student: nn.Module, inputs: Any, execution: StepExecution) -> None:
        """Get ready to teach ``student`` as ``execution`` says, and answer once, before any step is spent.

        Raises:
            InputError: The outputs of the two differ in shape, or are no tensor (N, classes, ...); a layer to compare
                has another number of channels than are left of the teacher's.
        """
        self.end()
        device = device_of(student)
        self._prepare(device, inputs, execution)
        self._listen(student)
        with eval_mode(student), torch.no_grad():
            own = execution.forward(student, inputs)
        answer = self._answer(inputs, execution)
        if self._weight:
            shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in (answer, own)]
            if shapes[0] != shapes[1] or not isinstance(own, Tensor) or own.ndim < 2:
                raise InputError(
                    f"training.distillation: the teacher gives {shapes[0]}, the network {shapes[1]}; both must be one "
                    "tensor (N, classes, ...) of the same shape. Set training.distillation.weight = 0, or take another "
                    "teacher"
                )
        if self._layers:
            self._squares = {layer: theirs.square().mean().clamp(min=1e-6) for layer, theirs, _ in self._heard()}
            if not self._squares:
                raise InputError(
                    "training.distillation.features: none of the BatchNorm layers to compare is used in both the dense "
                    "and the small network; set it to 0"
                )

    def end(self) -> None:
        """Listen to no layer any more."""
        for handle in self._watched:
            handle.remove()
        self._watched.clear()
        self._said.clear()

    def mixed(self, loss: Tensor, outputs: Any, inputs: Any, execution: StepExecution) -> Tensor:
        """``loss`` by labels, and how far ``outputs`` are from the teacher's answer to ``inputs``, by their weights."""
        weight, soft = self._weight, self._settings.temperature
        answer = self._answer(inputs, execution)
        mixed = (1 - weight) * loss
        if weight:
            distance = functional.kl_div(
                functional.log_softmax(outputs / soft, 1),
                functional.log_softmax(answer / soft, 1),
                reduction="none",
                log_target=True,
            )
            mixed = mixed + weight * soft**2 * distance.sum(1).mean()
        if self._layers:
            apart = [
                squared_distance(own, theirs) / self._squares[layer]
                for layer, theirs, own in self._heard()
                if layer in self._squares
            ]
            if apart:
                mixed = mixed + self._features * torch.stack(apart).mean()
        return mixed

    def _prepare(self, device: torch.device, inputs: Any, execution: StepExecution) -> None:
        """Bring the network that answers to ``device``, in the fastest form that gives the answers of the dense one."""
        self._model.to(device)
        if self._folded is not None:
            folded_model, folded_into = self._folded
            folded_model.to(device)
            with torch.no_grad():
                right, with_folded = (
                    call(model, execution.moved(model, inputs)) for model in (self._model, folded_model)
                )
            if _close(with_folded, right):
                self._model, self._inside = folded_model, folded_into
            else:  # each of two BatchNorms behind a convolution that is called twice was folded into it, say
                logger.info("the teacher's BatchNorms are not folded: it would give other answers")
            self._folded = None
        self._answering = self._model
        if self._inside and execution.precision == "bfloat16":
            # As a whole of that type: autocast would convert its weights at every step. A BatchNorm would suffer by it.
            low = copy.deepcopy(self._model).bfloat16()
            try:
                with torch.no_grad():
                    call(low, pytree.tree_map_only(Tensor, _lowered, execution.moved(low, inputs)))
                self._answering = low
            except RuntimeError as problem:
                logger.info("the teacher does not run in bfloat16 as a whole: %s", problem)
        execution.place(self._answering)

    def _answer(self, inputs: Any, execution: StepExecution) -> Any:
        with torch.no_grad():
            if self._answering is self._model:
                return execution.forward(self._model, inputs)
            low = pytree.tree_map_only(Tensor, _lowered, execution.moved(self._answering, inputs))
            return pytree.tree_map_only(Tensor, _raised, call(self._answering, low))

    def _listen(self, student: nn.Module) -> None:
        for who, model, inside in (("teacher", self._answering, self._inside), ("student", student, {})):
            layers = dict(model.named_modules())
            self._watched += [
                layers[place].register_forward_hook(self._hearing(who, name))
                for name in self._layers
                if (place := inside.get(name, name)) in layers  # tracing leaves out what only training uses
            ]

    def _hearing(self, who: str, layer: str) -> Any:
        def heard(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._said[who, layer] = output

        return heard

    def _heard(self) -> list[tuple[str, Tensor, Tensor]]:
        """Features of the teacher's layers, with the channels that remain, and those of the network."""
        heard = []
        for layer, kept in self._layers.items():
            if ("teacher", layer) not in self._said or ("student", layer) not in self._said:
                continue  # of a branch that only training uses, say
            theirs, own = self._said["teacher", layer], self._said["student", layer]
            left = theirs[_some_places(theirs)]
            left = left if kept is None else left.index_select(1, kept.to(theirs.device))
            if left.shape != own[_some_places(own)].shape:
                shape = (*left.shape[:2], *theirs.shape[2:])
                raise InputError(
                    f"training.distillation.features: {layer} of the teacher gives {shape} for the "
                    f"channels that are left, that of the network {tuple(own.shape)}; take the teacher it was pruned "
                    "from, or set it to 0"
                )
            heard.append((layer, left.float(), own))
        self._said.clear()
        return heard


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


def _close(one: Any, other: Any) -> bool:
    """Whether two answers, of any structure, are equal but for rounding."""
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(
        float((a - b).abs().max()) <= _FOLDED_WITHIN * float(b.abs().max())
        for a, b in pairs
        if isinstance(a, Tensor) and a.is_floating_point() and a.numel()
    )


def _lowered(tensor: Tensor) -> Tensor:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _raised(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _folded(model: nn.Module) -> tuple[fx.GraphModule, dict[str, str]] | None:
    """``model`` with BatchNorms behind convolutions folded into them, and which into which; None: nothing can be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself, on being imported and on tracing
            from torch.fx.experimental.optimization import fuse

            folded, whole = cast("fx.GraphModule", fuse(model)), fx.symbolic_trace(model)
    except Exception as problem:  # noqa: BLE001  tracing runs the user's forward, which may do anything
        logger.info("the teacher's BatchNorms are not folded: %s", problem)
        return None
    left = {node.target for node in folded.graph.nodes}
    gone = [node for node in whole.graph.nodes if node.op == "call_module" and node.target not in left]
    return (folded, {str(node.target): str(node.args[0].target) for node in gone}) if gone else None
