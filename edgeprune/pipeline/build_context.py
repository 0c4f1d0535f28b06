"""Build context: settings, inputs and lock of a build, and objects that are created on demand.

A stage that is read from the cache creates none of these objects, so a build without changes does not load torch.
Members of ``BuildContext`` contain their own imports, because the cache key of a stage hashes the sources of the
members that it uses; see ``stage_sources``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.config import Recipe, Target, TrainingSettings
from edgeprune.pipeline.build_settings import BuildSettings, measured_settings, preferred_alignment
from edgeprune.pipeline.lock_file import Lock

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.backends import Backend
    from edgeprune.backends.footprint import Footprint
    from edgeprune.candidates import Candidate
    from edgeprune.cost import CostModel
    from edgeprune.criteria import Criterion
    from edgeprune.devices import Device
    from edgeprune.graph import Program, Units
    from edgeprune.graph.rewrite import KeptIndices
    from edgeprune.model.data import Data, Split
    from edgeprune.pipeline.results.pruning_results import CandidatesResult, PlanResult, TrainResult
    from edgeprune.schedules import Schedule
    from edgeprune.selection import Constraint, Selection
    from edgeprune.statistics import Samples
    from edgeprune.training import Evaluator, Objective, Teacher

logger = logging.getLogger(__name__)


class BuildContext:
    """State that the stages of one build share.

    Attributes:
        settings: Settings and folders of the build.
        lock: Measured values that later builds reuse.
        inputs: SHA-256 of code, weights and data, by name; None for an input that does not exist. Set before the first
            stage that reads inputs runs.
        footprints: RAM and flash of the int8 network, by the mask of the removed units as bytes.
    """

    def __init__(self, settings: BuildSettings, lock: Lock | None = None) -> None:
        self.settings = settings
        self.lock = lock or Lock(None, settings.recipe.name)
        self.inputs: Mapping[str, str | None] = {}
        self.footprints: dict[bytes, Footprint] = {}
        self._pruned: tuple[Path, nn.Module] | None = None

    @property
    def recipe(self) -> Recipe:
        return self.settings.recipe

    @property
    def target(self) -> Target:
        return self.settings.target

    @property
    def device(self) -> Device:
        return self.settings.device

    @cached_property
    def backend(self) -> Backend:
        """Backend of the target."""
        from edgeprune import backends

        return backends.for_target(self.target)

    @cached_property
    def dense(self) -> nn.Module:
        """Dense network with its weights, in eval mode. It must not be modified."""
        return self.network(seed=self.recipe.seed)

    def network(self, *, seed: int, trained: bool = True) -> nn.Module:
        """Return a new dense network with its trained weights, or with its initial weights if not ``trained``."""
        from edgeprune.model import network

        recipe = self.recipe
        path = recipe.weights_path if trained else None
        shape = recipe.model.input
        return network.load_model(recipe.model.factory, path, base=recipe.folder, shape=shape, seed=seed)

    @cached_property
    def example(self) -> tuple[Tensor, ...]:
        from edgeprune.model import network

        return network.example_inputs(self.recipe.model.input, self.recipe.seed)

    @cached_property
    def data(self) -> Data:
        from edgeprune.model import data

        recipe = self.recipe
        return data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)

    @property
    def reported_split(self) -> Split:
        """Split whose accuracy is reported: the test split if there is one, else the validation split."""
        return self.data.validation if self.data.test is None else self.data.test

    @cached_property
    def objective(self) -> Objective:
        """Loss or training step, from the recipe or the defaults."""
        from edgeprune.training import Objective

        return Objective(self.recipe.training, base=self.recipe.folder)

    def evaluator(self, split: Split) -> Evaluator:
        """Return the evaluator of networks on ``split``."""
        from edgeprune.training import Evaluator

        return Evaluator(split, self.recipe.training, base=self.recipe.folder)

    @cached_property
    def samples(self) -> Samples:
        """Training samples without augmentation, for scores, selection and repair."""
        from edgeprune.statistics import Samples

        recipe = self.recipe
        size = min(recipe.training.sample_batch, recipe.prune.samples)
        loss = self.objective.of_outputs
        return Samples.of(self.data.train, count=recipe.prune.samples, batch_size=size, seed=recipe.seed, loss=loss)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Candidate combinations of criterion and selection; a single one if recipe and schedule leave no choice."""
        from edgeprune.candidates import Candidate, combinations

        prune, preferred = self.recipe.prune, self.preferred_alignment
        selection = "global" if prune.selection == "auto" and prune.selection_options else prune.selection
        if not self.schedule.plans_ahead:
            return (Candidate(prune.criterion, "global" if selection == "auto" else selection, align=preferred),)
        # Options without a criterion belong to the criterion that "auto" means if nothing is compared.
        criterion = prune.criterion
        if criterion == "auto" and prune.criterion_options:
            criterion = self.criterion(criterion).name
        return combinations(
            criterion=criterion,
            selection=selection,
            aligns=(preferred, 1) if prune.align == "auto" else (preferred,),
            data=True,
            labels=self.recipe.training.step is None,
        )

    def candidate(self, chosen: CandidatesResult) -> Candidate:
        """Return the chosen candidate."""
        from edgeprune.candidates import Candidate

        return Candidate(chosen.criterion, chosen.selection, chosen.balance, chosen.align)

    def criterion(self, name: str) -> Criterion:
        """Return the criterion ``name`` with the options of the recipe."""
        from edgeprune.criteria import create

        prune, settings = self.recipe.prune, self.recipe.training
        # "auto" must not choose a criterion that needs the loss if a custom training step hides it.
        training = self.trains or settings.step is not None
        return create(name, prune.criterion_options, data=True, training=training, base=self.recipe.folder)

    def selection(self, candidate: Candidate) -> Selection:
        """Return the selection of ``candidate`` with the options of the recipe."""
        return candidate.create_selection(self.recipe.prune.selection_options, base=self.recipe.folder)

    def repairs(self, *, compared: bool) -> tuple[str, ...]:
        """Return the names of the repairs of the pruned network; they differ while candidates are ``compared``."""
        from edgeprune.repair import chosen_repairs

        return chosen_repairs(self.recipe.prune.repair, data=True, training=self.trains and not compared)

    @cached_property
    def schedule(self) -> Schedule:
        from edgeprune.schedules import create

        settings = self.recipe.schedule
        return create(settings.name, settings.options, base=self.recipe.folder)

    def constraints(self, units: Units, *, preferred: int = 1) -> Sequence[Constraint]:
        """Return the unit counts that the recipe allows each group, as multiples of ``preferred`` where possible."""
        from edgeprune.selection import prefer_alignment, resolve

        prune = self.recipe.prune
        align = prune.align if isinstance(prune.align, int) else 1
        demanded = resolve(units, min_units=prune.min_units, align=align, layers=prune.layers)
        return prefer_alignment(units, demanded, preferred) if preferred > 1 else demanded

    @property
    def preferred_alignment(self) -> int:
        return preferred_alignment(self.recipe, self.target)

    @cached_property
    def _distils(self) -> bool:
        from edgeprune.training import Teacher, is_accurate

        settings = self.recipe.training
        explicit = settings.distillation.weight is not None or settings.distillation.features > 0
        return Teacher.is_enabled(settings) and (explicit or is_accurate(self.dense, self.data.train))

    def teacher(self, small: nn.Module, kept_indices: KeptIndices) -> Teacher | None:
        """Return the teacher for knowledge distillation; None if the recipe uses none.

        Args:
            small: The pruned network.
            kept_indices: Indices of the dense network that ``small`` keeps.
        """
        from edgeprune.training import Teacher, feature_layers

        if not self._distils:
            return None
        layers = feature_layers(self.units.groups, self.dense, small, kept_indices)
        return Teacher(self.dense, self.recipe.training.distillation, layers=layers)

    @property
    def training(self) -> TrainingSettings:
        """Training settings, with measured values from the lock."""
        settings = self.recipe.training
        locked = self.lock.get("training")
        return settings.model_copy(
            update={name: locked[name] for name in measured_settings(settings) if name in locked}
        )

    @property
    def trains(self) -> bool:
        """Whether the recipe trains the pruned network."""
        return self.recipe.training.trains

    def latency_model(self, *, required: bool) -> CostModel | None:
        """Return the cost model of the latency on the target; None if the target has no matching latency table.

        The latency of a microcontroller follows from the multiply-adds. Its model is created only if ``required``.

        Raises:
            TargetError: A latency model is required but the target has no matching latency table.
        """
        from edgeprune.cost import ScaledCost, cost_model, load_table
        from edgeprune.errors import TargetError

        ms_per_mac = self.target.ms_per_mac
        if ms_per_mac is not None:
            return ScaledCost(cost_model("macs", self.units, self.dense), factor=ms_per_mac) if required else None
        try:
            return cost_model(
                "latency_ms",
                self.units,
                self.dense,
                table=load_table(self.target, installed=self.backend.installed_version),
            )
        except TargetError as problem:
            if required:
                raise
            logger.info("no latency is predicted: %s", problem)
            return None

    @cached_property
    def program(self) -> Program:
        from edgeprune import graph

        return graph.capture(self.dense, self.example)

    @cached_property
    def units(self) -> Units:
        from edgeprune import graph

        prune = self.recipe.prune
        return graph.units_of(self.program, exclude=prune.exclude, attention=prune.attention)

    def removed(self, plan: PlanResult) -> Tensor:
        """Return the mask of the units that ``plan`` removes, (units,)."""
        from edgeprune.selection import Plan

        return Plan.load(plan.plan).removed(self.units)

    def pruned(self, plan: PlanResult, trained: TrainResult) -> nn.Module:
        """Return the pruned and trained network, in eval mode. It must not be modified."""
        from edgeprune.graph.rewrite import rewrite
        from edgeprune.model import weights

        if self._pruned is None or self._pruned[0] != trained.weights:
            model = rewrite(self.dense, self.units, self.removed(plan)).model
            weights.load_into(model, trained.weights)
            self._pruned = trained.weights, model.eval()
        return self._pruned[1]
