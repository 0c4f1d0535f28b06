"""Build context: the settings of a build, its inputs and its lock, and live objects that are made on demand.

A stage whose result is in the cache makes no live object, so that a build that changes nothing loads no torch. Members
of ``BuildContext`` import what they need themselves, as the key of a stage hashes the sources of the members that it
uses; see ``stage_sources``.
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
    from edgeprune.graph.rewrite import Kept
    from edgeprune.model.data import Data, Split
    from edgeprune.pipeline.results.pruning_results import CandidatesResult, PlanResult, TrainResult
    from edgeprune.schedules import Schedule
    from edgeprune.selection import Constraint, Selection
    from edgeprune.statistics import Samples
    from edgeprune.training import Evaluator, Objective, Teacher

logger = logging.getLogger(__name__)


class BuildContext:
    """Everything that all stages of one build share.

    Attributes:
        settings: Settings and folders.
        lock: Measured values that builds repeat.
        inputs: SHA-256 of code, weights and data, by name, None for an input that does not exist; set before the first
            stage that reads them runs.
        footprints: RAM and flash of the int8 network, by the mask of the units that were removed, as bytes.
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
        """The dense network with its weights, in eval mode; nothing may change it."""
        return self.network(seed=self.recipe.seed)

    def network(self, *, seed: int, trained: bool = True) -> nn.Module:
        """Another dense network, with its weights or, not ``trained``, with those it begins with."""
        from edgeprune.model import network

        recipe = self.recipe
        path = recipe.weights_path if trained else None
        return network.load_model(recipe.model.factory, path, base=recipe.folder, seed=seed)

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
        """Split whose accuracy is reported: the test split, on which nothing is chosen, or else validation."""
        return self.data.validation if self.data.test is None else self.data.test

    @cached_property
    def objective(self) -> Objective:
        """The loss, with what the recipe has of the user's own."""
        from edgeprune.training import Objective

        return Objective(self.recipe.training, base=self.recipe.folder)

    def judge(self, split: Split) -> Evaluator:
        """Says how good a network is on ``split``."""
        from edgeprune.training import Evaluator

        return Evaluator(split, self.recipe.training, base=self.recipe.folder)

    @cached_property
    def samples(self) -> Samples:
        """Training samples, not augmented, to score, choose and repair with."""
        from edgeprune.statistics import Samples

        recipe = self.recipe
        size = min(recipe.training.sample_batch, recipe.prune.samples)
        loss = self.objective.of_outputs
        return Samples.of(self.data.train, count=recipe.prune.samples, batch_size=size, seed=recipe.seed, loss=loss)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Ways to choose what is removed; a single one where the recipe or its schedule leaves no choice."""
        from edgeprune.candidates import Candidate, combinations

        prune, preferred = self.recipe.prune, self.preferred_alignment
        selection = "global" if prune.selection == "auto" and prune.selection_options else prune.selection
        if not self.schedule.plans_ahead:
            return (Candidate(prune.criterion, "global" if selection == "auto" else selection, align=preferred),)
        # Options without a name belong to the criterion that "auto" means where nothing is compared.
        criterion = prune.criterion
        if criterion == "auto" and prune.criterion_options:
            criterion = self.criterion(criterion).name
        return combinations(
            criterion=criterion,
            select=selection,
            aligns=(preferred, 1) if prune.align == "auto" else (preferred,),
            data=True,
            labels=self.recipe.training.step is None,
        )

    def candidate(self, chosen: CandidatesResult) -> Candidate:
        """The candidate that was chosen."""
        from edgeprune.candidates import Candidate

        return Candidate(chosen.criterion, chosen.select, chosen.balance, chosen.align)

    def criterion(self, name: str) -> Criterion:
        """The criterion called ``name``, with the options of the recipe."""
        from edgeprune.criteria import create

        prune, settings = self.recipe.prune, self.recipe.training
        # "auto" must not take one that needs the loss where a step of the user's own hides it.
        training = self.trains or settings.step is not None
        return create(name, prune.criterion_options, data=True, training=training, base=self.recipe.folder)

    def selection(self, candidate: Candidate) -> Selection:
        """The selection of ``candidate``, with the options of the recipe."""
        return candidate.selection(self.recipe.prune.selection_options, base=self.recipe.folder)

    def repairs(self, *, compared: bool) -> tuple[str, ...]:
        """Repairs of the pruned network; they differ where candidates are ``compared``."""
        from edgeprune.repair import chosen_repairs

        return chosen_repairs(self.recipe.prune.repair, data=True, training=self.trains and not compared)

    @cached_property
    def schedule(self) -> Schedule:
        from edgeprune.schedules import create

        settings = self.recipe.schedule
        return create(settings.name, settings.options, base=self.recipe.folder)

    def constraints(self, units: Units, *, preferred: int = 1) -> Sequence[Constraint]:
        """Numbers of units that the recipe allows each group, in multiples of ``preferred`` where possible."""
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
        given = settings.distillation.weight is not None or settings.distillation.features > 0
        return Teacher.is_enabled(settings) and (given or is_accurate(self.dense, self.data.train))

    def teacher(self, small: nn.Module, kept: Kept) -> Teacher | None:
        """The dense network to learn from, where the recipe wants that; ``kept`` is what ``small`` has of it."""
        from edgeprune.training import Teacher, feature_layers

        if not self._distils:
            return None
        layers = feature_layers(self.units.groups, self.dense, small, kept)
        return Teacher(self.dense, self.recipe.training.distillation, layers=layers)

    @property
    def training(self) -> TrainingSettings:
        """Settings of training, with the measured ones that the lock has."""
        settings = self.recipe.training
        locked = self.lock.get("training")
        return settings.model_copy(
            update={name: locked[name] for name in measured_settings(settings) if name in locked}
        )

    @property
    def trains(self) -> bool:
        """Whether fine-tuning follows."""
        return self.recipe.training.trains

    def latency_model(self, *, required: bool) -> CostModel | None:
        """Cost model of the latency on the target; without a table that fits None, or an error if it is ``required``.

        That of a microcontroller follows from the multiply-adds, and is made only where it is required.

        Raises:
            TargetError: It is required, and there is no table, or one of another runtime or network.
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
        """Mask of the units that ``plan`` removes, (units,)."""
        from edgeprune.selection import Plan

        return Plan.load(plan.plan).removed(self.units)

    def pruned(self, plan: PlanResult, trained: TrainResult) -> nn.Module:
        """The pruned and trained network, in eval mode; nothing may change it."""
        from edgeprune.graph.rewrite import rewrite
        from edgeprune.model import weights

        if self._pruned is None or self._pruned[0] != trained.weights:
            model = rewrite(self.dense, self.units, self.removed(plan)).model
            weights.load_into(model, trained.weights)
            self._pruned = trained.weights, model.eval()
        return self._pruned[1]
