"""Sensitivity scan of ``edgeprune inspect``: accuracy while units of one group at a time are removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console_output import echo, print_table, print_text
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import InputError
from edgeprune.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.config import Recipe
    from edgeprune.criteria import Criterion
    from edgeprune.graph import Units
    from edgeprune.model.data import Data
    from edgeprune.selection.sensitivity_scan import GroupSensitivity, ScanPoint, SensitivityScan
    from edgeprune.training import Objective

SAMPLES = 512


@dataclass(frozen=True)
class ScanOutput:
    """Result of a sensitivity scan.

    Attributes:
        criterion: Name of the importance score.
        measured: Loss and accuracy of all groups.
    """

    criterion: str
    measured: SensitivityScan


@dataclass(frozen=True)
class ScanInputs:
    """Checked inputs of a sensitivity scan.

    Attributes:
        recipe: Recipe of the network.
        network: Network with its weights.
        data: Training and validation data.
        criterion: Importance score.
        objective: Loss and metric of the recipe.
        picture: Path of the PNG file, in an existing folder; None for no picture.
    """

    recipe: Recipe
    network: nn.Module
    data: Data
    criterion: Criterion
    objective: Objective
    picture: Path | None

    @staticmethod
    def of(
        recipe: Recipe, network: nn.Module, example: tuple[Tensor, ...], criterion: str | None, picture: Path | None
    ) -> ScanInputs:
        """Load the data, and the weights into ``network``.

        Raises:
            click.UsageError: The picture cannot be written.
            InputError: The criterion does not exist, or weights, data and network do not match.
        """
        from edgeprune import criteria
        from edgeprune.model import data, weights
        from edgeprune.model.network import check_forward
        from edgeprune.training import Objective

        base = Path.cwd() if criterion else recipe.folder
        # The criterion that a build of the recipe would use.
        training = recipe.training.trains
        selected_criterion = criteria.create(
            criterion or recipe.prune.criterion, data=True, training=training, base=base
        )
        if picture is not None:
            with _writing(picture):
                picture.parent.mkdir(parents=True, exist_ok=True)
        # Data first: if the data folder is missing, the weights may be missing for the same reason.
        loaded = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
        if recipe.weights_path is not None:
            weights.load_into(network, recipe.weights_path)
        objective = Objective(recipe.training, base=recipe.folder)
        outputs = check_forward(network, example)
        data.check(loaded, outputs, sample=recipe.model.input[1:], classes=objective.is_default)
        return ScanInputs(recipe, network, loaded, selected_criterion, objective, picture)

    def measure(self, units: Units, count: int) -> ScanOutput:
        """Score units on training samples, measure on validation samples, and write the picture.

        Args:
            units: Units of the network.
            count: Maximum number of samples of each split.

        Raises:
            click.UsageError: The picture cannot be written.
            InputError: No group can be pruned, or scores or losses are not finite.
        """
        from edgeprune import criteria
        from edgeprune.report.sensitivity_plot import png
        from edgeprune.selection.sensitivity_scan import measure_sensitivity
        from edgeprune.statistics import Samples

        name, seed = self.recipe.name, self.recipe.seed
        if not bool(units.prunable.any()):
            raise InputError(
                f"{name}: no group can be pruned: run 'edgeprune inspect' without --sensitivity for the reasons"
            )
        scored, measured_on = (
            Samples.of(split, count=min(count, len(split)), seed=seed, loss=self.objective.of_outputs)
            for split in (self.data.train, self.data.validation)
        )
        with bar("sensitivity") as progress:
            scores = criteria.score(self.criterion, criteria.Network(self.network, units, seed, scored))
            measured = measure_sensitivity(units, scores, measured_on, progress=progress)
        if self.picture is not None:
            by_group = {group.name: scores[group.start : group.stop].tolist() for group in units.groups}
            picture_content = png(measured, by_group, title=name, criterion=self.criterion.name)
            with _writing(self.picture):
                write_atomic(self.picture, picture_content)
            echo(f"written {self.picture}", err=True)
        return ScanOutput(self.criterion.name, measured)


def as_json(scan: ScanOutput) -> dict[str, Any]:
    """Return the sensitivity of all groups as JSON values."""
    return {"criterion": scan.criterion, "split": "validation", **asdict(scan.measured)}


def show(scan: ScanOutput) -> None:
    """Print the accuracy, or else the loss, by group and by fraction of removed units."""
    from edgeprune.report.sensitivity_plot import fraction_text

    measured = scan.measured
    fractions = [f"-{fraction_text(point.ratio)}" for point in measured.groups[0].points]
    print_text(
        f"{'loss' if measured.accuracy is None else 'accuracy'} on {measured.samples:,} validation samples, dense "
        f"{_figure(measured)}; one group at a time without a fraction of its units, those with the lowest "
        f"{scan.criterion} scores"
    )
    print_table(
        ("group", "units", *fractions, "MACs removed"),
        [_row(group) for group in measured.groups],
        right=("units", *fractions, "MACs removed"),
    )


def _row(group: GroupSensitivity) -> tuple[str, ...]:
    first, last = group.points[0], group.points[-1]
    removed = f"{first.macs_removed:.1%} to {last.macs_removed:.1%}"
    return group.group, f"{group.units:,}", *map(_figure, group.points), removed


def _figure(point: SensitivityScan | ScanPoint) -> str:
    return f"{point.loss:.3g}" if point.accuracy is None else f"{100 * point.accuracy:.1f} %"


@contextmanager
def _writing(picture: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.UsageError(f"--png: cannot write {picture}: {error.strerror}") from error
