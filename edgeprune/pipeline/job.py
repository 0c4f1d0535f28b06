"""Context of one build: settings, results so far, and live objects that are made when a stage first needs them.

A stage whose result is in the cache makes no live object, so that a build that changes nothing loads no torch. Members
of ``Job`` import what they need themselves, as the key of a stage hashes the sources of the members that it uses; see
``stage_sources``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeprune.config import Recipe, Target, TrainingSettings
from edgeprune.config.target import Precision
from edgeprune.errors import RecipeError
from edgeprune.pipeline.cache import Finished
from edgeprune.pipeline.lock import Lock
from edgeprune.pipeline.stage import Space

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.backends import Backend
    from edgeprune.backends.footprint import Footprint
    from edgeprune.candidates import Candidate
    from edgeprune.cost import CostModel
    from edgeprune.criteria import Criterion
    from edgeprune.devices import Device
    from edgeprune.graph import Program, Rewritten, Units
    from edgeprune.graph.rewrite import Kept
    from edgeprune.model.data import Data, Split
    from edgeprune.schedules import Schedule
    from edgeprune.select import Constraint, Selection
    from edgeprune.statistics import Samples
    from edgeprune.training import Judge, Objective, Teacher

logger = logging.getLogger(__name__)

# Files that stages make, and under these names also those of the bundle.
WEIGHTS = "weights.safetensors"
PLAN = "plan.json"
SCORES = "scores.npy"
DENSE_ONNX = "dense.onnx"
PRUNED_ONNX = "model.onnx"
PROFILE = "profile.json"
GOLDEN = "golden.npz"


def bundle_folder(recipe: Recipe, target: Target, output: Path) -> Path:
    """The folder of the bundle in the output folder of a build."""
    return output / f"{recipe.name}-{target.name}"


def preferred_alignment(recipe: Recipe, target: Target) -> int:
    """Channels that the target's runtime likes multiples of; 1 for any number, or where the recipe says another."""
    runtime = target.runtime
    liked = runtime.align_int8 if demand(recipe, target) == "int8" else None
    return 1 if isinstance(recipe.prune.align, int) else (liked or runtime.align)


def precisions(recipe: Recipe, target: Target) -> tuple[Precision, ...]:
    """Precisions to export: float32 as the reference, and the demanded one or all that the target runs.

    Raises:
        RecipeError: The target does not run what is demanded.
    """
    demanded = demand(recipe, target)
    return tuple(dict.fromkeys(("float32", *(target.runtime.precisions if demanded == "auto" else (demanded,)))))


def demand(recipe: Recipe, target: Target) -> Precision | Literal["auto"]:
    """The one precision that must ship: the recipe's, or that of a target that runs no other; ``auto`` where any may.

    Raises:
        RecipeError: The target does not run what is demanded.
    """
    demanded, offered = recipe.quantize.precision, target.runtime.precisions
    if demanded == "auto":
        return offered[0] if len(offered) == 1 else "auto"
    if demanded not in offered:
        raise RecipeError(f"quantize.precision: got '{demanded}'; {target.name} runs {', '.join(offered)}, or 'auto'")
    return demanded


def auto(training: TrainingSettings) -> tuple[str, ...]:
    """Settings that training leaves to a measurement."""
    return tuple(name for name in ("precision", "channels_last") if getattr(training, name) == "auto")


class Job:
    """One build.

    Attributes:
        recipe: What to do.
        target: For what.
        output: Folder for bundles.
        inputs: Content hashes of code, weights and data, by name, None for what does not exist; set before the first
            stage that reads them runs.
        lock: What was found by measuring, and is repeated; None: nothing was.
        device: Where models are measured.
        force: Whether the bundle may replace files that are not an earlier bundle.
        results: What the stages that ended found, by stage name.
        footprints: What TFLite Micro takes, by the mask of the units that went, as bytes.
    """

    def __init__(
        self,
        recipe: Recipe,
        target: Target,
        *,
        output: Path,
        device: Device,
        lock: Lock | None = None,
        force: bool = False,
    ) -> None:
        self.recipe = recipe
        self.target = target
        self.output = output
        self.inputs: Mapping[str, str | None] = {}
        self.lock = lock or Lock(None, recipe.name)
        self.device = device
        self.force = force
        self.results: dict[str, Finished] = {}
        self.footprints: dict[bytes, Footprint] = {}

    def value(self, stage: str) -> Mapping[str, Any]:
        """Values of the result of ``stage``."""
        return self.results[stage].values

    def file(self, stage: str, name: str) -> Path:
        """A file that ``stage`` made."""
        return self.results[stage].folder / name

    @cached_property
    def backend(self) -> Backend:
        """Backend of the target."""
        from edgeprune import backends

        return backends.for_target(self.target)

    @property
    def bundle_folder(self) -> Path:
        return bundle_folder(self.recipe, self.target, self.output)

    @property
    def archive(self) -> Path:
        from edgeprune.bundle import pack

        return pack.archive_of(self.bundle_folder)

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
    def exported(self) -> dict[Precision, Path]:
        """The files of the pruned network that were made, by precision."""
        made = self.value("quantize")
        files: dict[Precision, Path] = {"float32": self.file("export", PRUNED_ONNX)}
        for name in precisions(self.recipe, self.target):
            if made[name]["files"]:
                files[name] = self.file("quantize", made[name]["files"][0])
        return files

    @property
    def shipped_file(self) -> Path:
        """The one of them that was chosen."""
        return self.exported[self.value("choose")["precision"]]

    @property
    def reported_split(self) -> Split:
        """The split whose accuracy is told: no choice was made on it, where there is a test split."""
        return self.data.validation if self.data.test is None else self.data.test

    @cached_property
    def objective(self) -> Objective:
        """The loss, with what the recipe has of the user's own."""
        from edgeprune.training import Objective

        return Objective(self.recipe.training, base=self.recipe.folder)

    def judge(self, split: Split) -> Judge:
        """Says how good a network is on ``split``."""
        from edgeprune.training import Judge

        return Judge(split, self.recipe.training, base=self.recipe.folder)

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
        """Ways to choose what is removed, to be compared; one where the recipe leaves no choice, or its schedule."""
        from edgeprune.candidates import Candidate, combinations

        prune, preferred = self.recipe.prune, self.preferred_alignment
        select = "global" if prune.select == "auto" and prune.select_options else prune.select
        if self.recipe.schedule.name != "one_shot":
            return (Candidate(prune.criterion, "global" if select == "auto" else select, align=preferred),)
        # Options without a name belong to the criterion that "auto" means where nothing is compared.
        criterion = prune.criterion
        if criterion == "auto" and prune.criterion_options:
            criterion = self.create_criterion(criterion).name
        return combinations(
            criterion=criterion,
            select=select,
            aligns=(preferred, 1) if prune.align == "auto" else (preferred,),
            data=True,
            labels=self.recipe.training.step is None,
        )

    @property
    def candidate(self) -> Candidate:
        """The one that was chosen.

        Read after the stage ``candidates``, or where there is only one.
        """
        from edgeprune.candidates import Candidate

        if len(self.candidates) == 1:
            return self.candidates[0]
        return Candidate(**self.value("candidates")["chosen"])

    def create_criterion(self, name: str) -> Criterion:
        """The criterion called ``name``, with the options of the recipe."""
        from edgeprune.criteria import create

        prune, settings = self.recipe.prune, self.recipe.training
        # "auto" must not take one that needs the loss where a step of the user's own hides it.
        training = self.trains or settings.step is not None
        return create(name, prune.criterion_options, data=True, training=training, base=self.recipe.folder)

    def create_selection(self, candidate: Candidate) -> Selection:
        """The selection of ``candidate``, with the options of the recipe."""
        return candidate.selection(self.recipe.prune.select_options, base=self.recipe.folder)

    @cached_property
    def criterion(self) -> Criterion:
        """The one that was chosen; see ``candidate``."""
        return self.create_criterion(self.candidate.criterion)

    @cached_property
    def selection(self) -> Selection:
        """The one that was chosen; see ``candidate``."""
        return self.create_selection(self.candidate)

    @cached_property
    def repairs(self) -> tuple[str, ...]:
        from edgeprune.repair import chosen_repairs

        compared = len(self.candidates) > 1
        return chosen_repairs(self.recipe.prune.repair, data=True, training=self.trains and not compared)

    @cached_property
    def schedule(self) -> Schedule:
        from edgeprune.schedules import create

        settings = self.recipe.schedule
        return create(settings.name, settings.options, base=self.recipe.folder)

    def constraints(self, units: Units, *, preferred: int = 1) -> Sequence[Constraint]:
        """Numbers of units that the recipe allows each group, in multiples of ``preferred`` where possible."""
        from edgeprune.select import prefer_alignment, resolve

        prune = self.recipe.prune
        align = prune.align if isinstance(prune.align, int) else 1
        demanded = resolve(units, floor=prune.floor, align=align, layers=prune.layers)
        return prefer_alignment(units, demanded, preferred) if preferred > 1 else demanded

    @property
    def preferred_alignment(self) -> int:
        return preferred_alignment(self.recipe, self.target)

    @cached_property
    def _distils(self) -> bool:
        from edgeprune.training import Teacher, fits

        settings = self.recipe.training
        given = settings.distillation.weight is not None or settings.distillation.features > 0
        return Teacher.wanted(settings) and (given or fits(self.dense, self.data.train))

    def teacher(self, small: nn.Module, kept: Kept) -> Teacher | None:
        """The dense network to learn from, where the recipe wants that; ``kept`` is what ``small`` has of it."""
        from edgeprune.training import Teacher, feature_layers

        if not self._distils:
            return None
        layers = feature_layers(self.units.groups, self.dense, small, kept)
        return Teacher(self.dense, self.recipe.training.distillation, layers=layers)

    @property
    def training(self) -> TrainingSettings:
        """How the recipe trains, and where it leaves that to a measurement, as the lock says."""
        settings = self.recipe.training
        locked = self.lock.get("training")
        return settings.model_copy(update={name: locked[name] for name in auto(settings) if name in locked})

    @property
    def trains(self) -> bool:
        """Whether fine-tuning follows."""
        return self.recipe.training.trains

    def latency_model(self, wanted: bool) -> CostModel | None:
        """Cost model of the latency on the target; without a table that fits None, or an error if it is ``wanted``.

        That of a microcontroller follows from the multiply-adds, and is made only where it is wanted.

        Raises:
            TargetError: It is wanted, and there is no table, or one of another runtime or network.
        """
        from edgeprune.cost import Scaled, cost_model, load_table
        from edgeprune.errors import TargetError

        ms_per_mac = self.target.ms_per_mac
        if ms_per_mac is not None:
            return Scaled(cost_model("macs", self.units, self.dense), factor=ms_per_mac) if wanted else None
        try:
            return cost_model(
                "latency_ms",
                self.units,
                self.dense,
                table=load_table(self.target, installed=self.backend.installed_version),
            )
        except TargetError as problem:
            if wanted:
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

    @cached_property
    def removed(self) -> Tensor:
        """Mask of the units that the plan removes, (units,)."""
        from edgeprune.select import Plan

        return Plan.load(self.file("select", PLAN)).removed(self.units)

    @cached_property
    def rewritten(self) -> Rewritten:
        """The smaller network; stages change its weights, so take it with those of a stage from ``pruned``."""
        from edgeprune.graph.rewrite import rewrite

        return rewrite(self.dense, self.units, self.removed)

    def pruned(self, stage: str) -> nn.Module:
        """The smaller network with the weights that ``stage`` wrote, in eval mode."""
        from edgeprune.model import weights

        model = self.rewritten.model
        weights.load_into(model, self.file(stage, WEIGHTS))
        return model.eval()

    def write_weights(self, model: nn.Module, space: Space) -> None:
        """Make the weights of ``model`` part of a stage's result."""
        from edgeprune.model import weights

        weights.save(model.state_dict(), space.out / WEIGHTS)
