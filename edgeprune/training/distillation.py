"""Knowledge distillation from the dense network: its outputs, and features of the channels that remain."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune.config import DistillationSettings, TrainingSettings
from edgeprune.errors import InputError
from edgeprune.model.data import Split
from edgeprune.model.eval_mode import eval_mode
from edgeprune.model.splits import some
from edgeprune.training.checkpoint import identity
from edgeprune.training.evaluate import call, device_of, evaluate
from edgeprune.training.feature_distance import sampled_positions, squared_distance
from edgeprune.training.precision_and_layout import StepExecution

logger = logging.getLogger(__name__)

AUTO_WEIGHT = 0.9
"""Weight of the teacher's outputs, if the settings do not set one and the outputs can be compared."""
_MIN_ACCURACY = 0.95
_ACCURACY_SAMPLES = 512
_FOLDING_TOLERANCE = 1e-3  # of the largest output: rounding error that folding may cause


def is_accurate(dense: nn.Module, train: Split) -> bool:
    """Return whether ``dense`` classifies at least 95 % of 512 of its training samples correctly.

    A network below that has no spare capacity, and distillation makes its pruned version worse. The dense network of
    the README classifies 87 % of its training samples correctly. Pruned to half of its MACs, it reached 84.0 % on test
    samples from labels alone, 79.7 % with a teacher at temperature 4, and 81.8 % at temperature 1 (AdamW at a rate of
    0.01, one seed). Cho and Hariharan, "On the Efficacy of Knowledge Distillation" (2019), report the same for small
    students.

    Raises:
        DataError: See ``evaluate``.
        ModelError: See ``evaluate``.
    """
    accuracy = evaluate(dense, some(train, _ACCURACY_SAMPLES, key=(0,))).accuracy
    logger.info("the dense network classifies %.1f %% of its training samples correctly", 100 * accuracy)
    return accuracy >= _MIN_ACCURACY


class Teacher:
    """Dense network as the teacher of the pruned network.

    The loss is ``(1 - weight) * labels + weight * T**2 * KL(teacher || student)``, with both outputs softened by the
    temperature T: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015).

    With ``features``, the outputs of BatchNorm layers are also compared, for the remaining channels and at every other
    row and column. The distance is the mean squared difference, divided by the teacher's mean square on the first
    batch, averaged over the layers. After Romero et al., "FitNets" (2015). No connector layer is needed, because every
    channel of the pruned network corresponds to a channel of the dense one.

    Args:
        model: The dense network. It is copied. If it can be traced, BatchNorms are folded into the copy.
        settings: Weights and temperature.
        layers: Layers to compare with ``features``, each with the indices of the teacher's channels that remain, or
            None if all remain; see ``feature_layers``.

    Raises:
        InputError: ``features`` is set, and there are no layers to compare.
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
        self._folded_into: Mapping[str, str] = {}
        self._inference_model = self._model
        self._features_by_layer: dict[tuple[str, str], Tensor] = {}
        self._mean_squares: dict[str, Tensor] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.compare(layers or {})

    @staticmethod
    def is_enabled(settings: TrainingSettings) -> bool:
        """Return whether ``settings`` use a teacher: by default if the loss is cross entropy with class labels."""
        weight, features = settings.distillation.weight, settings.distillation.features
        is_default = settings.step is None and settings.loss is None
        return bool(features) or (is_default if weight is None else weight > 0)

    @property
    def uses_outputs(self) -> bool:
        """Whether the outputs of the teacher are part of the loss."""
        return self._weight > 0

    def compare(self, layers: Mapping[str, Tensor | None]) -> None:
        """Set the ``layers`` to compare from the next ``begin`` on, after channels were removed from the network.

        Raises:
            InputError: See the constructor.
        """
        if not self._features:
            return
        if not layers:
            raise InputError(
                "training.distillation.features: the dense and the pruned network have no common BatchNorm layer to "
                "compare: set it to 0"
            )
        self._layers = dict(layers)

    def begin(self, student: nn.Module, inputs: Any, execution: StepExecution) -> None:
        """Prepare the training of ``student``, and compare the outputs for ``inputs`` once before the first step.

        Raises:
            InputError: The outputs of teacher and student differ in shape or are not a tensor (N, classes, ...), or a
                layer to compare has another number of channels than remain of the teacher's.
        """
        self.end()
        device = device_of(student)
        self._prepare(device, inputs, execution)
        self._register_hooks(student)
        with eval_mode(student), torch.no_grad():
            own = execution.forward(student, inputs)
        target = self._outputs(inputs, execution)
        if self._weight:
            shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in (target, own)]
            if shapes[0] != shapes[1] or not isinstance(own, Tensor) or own.ndim < 2:
                raise InputError(
                    f"training.distillation: the teacher returns {shapes[0]}, but the network {shapes[1]}; both must "
                    "return "
                    "one tensor (N, classes, ...) of the same shape. Set training.distillation.weight = 0, or use "
                    "another teacher"
                )
        if self._layers:
            pairs = self._feature_pairs()
            self._mean_squares = {layer: theirs.square().mean().clamp(min=1e-6) for layer, theirs, _ in pairs}
            if not self._mean_squares:
                raise InputError(
                    "training.distillation.features: none of the BatchNorm layers to compare is used in both the dense "
                    "and the pruned network: set it to 0"
                )

    def end(self) -> None:
        """Remove the hooks from all layers."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._features_by_layer.clear()

    def combined_loss(self, loss: Tensor, outputs: Any, inputs: Any, execution: StepExecution) -> Tensor:
        """Return the weighted sum of the label ``loss`` and the distance of ``outputs`` from those of the teacher."""
        weight, temperature = self._weight, self._settings.temperature
        target = self._outputs(inputs, execution)
        combined = (1 - weight) * loss
        if weight:
            distance = functional.kl_div(
                functional.log_softmax(outputs / temperature, 1),
                functional.log_softmax(target / temperature, 1),
                reduction="none",
                log_target=True,
            )
            combined = combined + weight * temperature**2 * distance.sum(1).mean()
        if self._layers:
            distances = [
                squared_distance(own, theirs) / self._mean_squares[layer]
                for layer, theirs, own in self._feature_pairs()
                if layer in self._mean_squares
            ]
            if distances:
                combined = combined + self._features * torch.stack(distances).mean()
        return combined

    def _prepare(self, device: torch.device, inputs: Any, execution: StepExecution) -> None:
        """Move the teacher to ``device``, in its fastest variant whose outputs equal those of the dense network."""
        self._model.to(device)
        if self._folded is not None:
            folded_model, folded_into = self._folded
            folded_model.to(device)
            with torch.no_grad():
                expected, folded_outputs = (
                    call(model, execution.moved(model, inputs)) for model in (self._model, folded_model)
                )
            if _close(folded_outputs, expected):
                self._model, self._folded_into = folded_model, folded_into
            else:  # for example if two BatchNorms behind a convolution that is called twice were both folded into it
                logger.info("the teacher's BatchNorms are not folded: its outputs would change")
            self._folded = None
        self._inference_model = self._model
        if self._folded_into and execution.precision == "bfloat16":
            # All weights are converted: autocast would convert them at every step. BatchNorms would lose accuracy.
            low = copy.deepcopy(self._model).bfloat16()
            try:
                with torch.no_grad():
                    call(low, pytree.tree_map_only(Tensor, _to_bfloat16, execution.moved(low, inputs)))
                self._inference_model = low
            except RuntimeError as problem:
                logger.info("the teacher cannot be converted to bfloat16: %s", problem)
        execution.set_memory_format(self._inference_model)

    def _outputs(self, inputs: Any, execution: StepExecution) -> Any:
        """Return the outputs of the teacher for ``inputs``."""
        with torch.no_grad():
            if self._inference_model is self._model:
                return execution.forward(self._model, inputs)
            low = pytree.tree_map_only(Tensor, _to_bfloat16, execution.moved(self._inference_model, inputs))
            return pytree.tree_map_only(Tensor, _to_float32, call(self._inference_model, low))

    def _register_hooks(self, student: nn.Module) -> None:
        networks: tuple[tuple[str, nn.Module, Mapping[str, str]], ...] = (
            ("teacher", self._inference_model, self._folded_into),
            ("student", student, {}),
        )
        for role, model, folded_into in networks:
            layers = dict(model.named_modules())
            self._handles += [
                layers[path].register_forward_hook(self._recorder(role, name))
                for name in self._layers
                if (path := folded_into.get(name, name)) in layers  # tracing omits layers that only training uses
            ]

    def _recorder(self, role: str, layer: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._features_by_layer[role, layer] = output

        return record

    def _feature_pairs(self) -> list[tuple[str, Tensor, Tensor]]:
        """Return name, remaining teacher channels and student features of each recorded layer, and clear them."""
        pairs = []
        recorded = self._features_by_layer
        for layer, channels in self._layers.items():
            if ("teacher", layer) not in recorded or ("student", layer) not in recorded:
                continue  # for example in a branch that only training uses
            theirs, own = recorded["teacher", layer], recorded["student", layer]
            remaining = theirs[sampled_positions(theirs)]
            remaining = remaining if channels is None else remaining.index_select(1, channels.to(theirs.device))
            if remaining.shape != own[sampled_positions(own)].shape:
                shape = (*remaining.shape[:2], *theirs.shape[2:])
                raise InputError(
                    f"training.distillation.features: {layer} of the teacher has shape {shape} for the remaining "
                    f"channels, but {tuple(own.shape)} in the network: use the dense network as the teacher, or set "
                    "features to 0"
                )
            pairs.append((layer, remaining.float(), own))
        recorded.clear()
        return pairs


def _close(one: Any, other: Any) -> bool:
    """Return whether two outputs of any structure are equal up to rounding."""
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(
        float((a - b).abs().max()) <= _FOLDING_TOLERANCE * float(b.abs().max())
        for a, b in pairs
        if isinstance(a, Tensor) and a.is_floating_point() and a.numel()
    )


def _to_bfloat16(tensor: Tensor) -> Tensor:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _folded(model: nn.Module) -> tuple[fx.GraphModule, dict[str, str]] | None:
    """Return ``model`` with BatchNorms folded into convolutions, and their names by BatchNorm; None if not possible."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of torch itself during import and tracing
            from torch.fx.experimental.optimization import fuse

            folded, traced = cast("fx.GraphModule", fuse(model)), fx.symbolic_trace(model)
    except Exception as problem:  # noqa: BLE001  tracing runs the user's forward, which may do anything
        logger.info("the teacher's BatchNorms are not folded: %s", problem)
        return None
    remaining = {node.target for node in folded.graph.nodes}
    norms = [node for node in traced.graph.nodes if node.op == "call_module" and node.target not in remaining]
    return (folded, {str(node.target): str(node.args[0].target) for node in norms}) if norms else None
