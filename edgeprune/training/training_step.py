"""Training step: gradients of a batch, and the update of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from edgeprune.config import TrainingSettings
from edgeprune.training.distributed import ProcessGroup
from edgeprune.training.hyperparameters import range_test
from edgeprune.training.objective import Objective
from edgeprune.training.phase import Hook
from edgeprune.training.precision_and_layout import StepExecution
from edgeprune.training.trained_network import TrainedNetwork, make_optimizer


class TrainingStep:
    """Training steps of a network in all processes, in the precision and memory format of ``execution``."""

    def __init__(
        self,
        network: TrainedNetwork,
        objective: Objective,
        execution: StepExecution,
        processes: ProcessGroup,
        settings: TrainingSettings,
    ) -> None:
        self._network = network
        self._objective = objective
        self._execution = execution
        self._processes = processes
        self._settings = settings

    def backward(self, inputs: Any, labels: Any, weight: float, *, due: bool) -> tuple[float, bool]:
        """Compute the gradients of this process.

        Args:
            inputs: Inputs of the part of the batch of this process.
            labels: Labels of the same samples.
            weight: Factor of the loss of this process.
            due: Whether a checkpoint is due in this process.

        Returns:
            Mean loss over the processes, and whether a checkpoint is due in any of them.
        """
        model = self._network.model
        self._network.optimizer.zero_grad()
        with self._processes.synchronize_batchnorm(model):
            loss = self._loss(model, inputs, labels)
            if weight != 1.0:
                loss = loss * weight
            loss.backward()  # type: ignore[no-untyped-call]
        # After the backward pass, because it waits for a GPU.
        return self._processes.all_reduce(loss.detach(), due=due)

    def update(self, hook: Hook, step: int) -> None:
        """Update the weights by the mean gradients of all processes.

        Args:
            hook: Hook of the phase.
            step: Number of the step in the phase, from 0.
        """
        network = self._network
        self._processes.average_gradients(network.model)
        if self._settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.model.parameters(), self._settings.gradient_clip)
        hook.before_update(step)
        network.optimizer.step()
        hook.after_update(step)
        if network.average is not None:
            network.average.update(network.model)

    def peak_rate(self, batches: Sequence[tuple[Any, Any]]) -> float:
        """Return the peak learning rate for the current network, from a range test; deterministic on a CPU."""
        return range_test(
            self._network.model,
            batches,
            self._loss,
            lambda model: make_optimizer(model, self._settings),
            settings=self._settings,
        )

    def _loss(self, model: nn.Module, inputs: Any, labels: Any) -> Tensor:
        return self._objective(model, inputs, labels, self._execution)
