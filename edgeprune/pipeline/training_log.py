"""Training curves of builds, written to TensorBoard or to a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeprune import extras
from edgeprune.config import TrainingSettings
from edgeprune.errors import InputError
from edgeprune.overwrite_guard import FileKind, check_output_file
from edgeprune.pipeline.results.pruning_results import TrainResult
from edgeprune.pipeline.stage import BuildObserver, Stage
from edgeprune.pipeline.stage_result import StageResult
from edgeprune.progress import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_KINDS = ("tensorboard", "csv")
_RUN, _PHASE, _EPOCH = "run", "phase", "epoch"
_CSV = FileKind("a CSV file of training curves", lambda head: head.startswith(f"{_RUN},{_PHASE},{_EPOCH}".encode()))


@dataclass(frozen=True)
class EpochScalars:
    """Values of one epoch.

    Attributes:
        number: Number of the epoch, from 1, over all phases.
        phase: Number of the training phase, from 1.
        scalars: Values by name: ``train/loss``, ``val/loss``, ``val/accuracy``, ``lr``.
    """

    number: int
    phase: int
    scalars: Mapping[str, float]


class TrainingLog(Protocol):
    """File or folder to which epochs are written."""

    def begin(self, run: str) -> None:
        """Begin the run of this name, and remove the epochs of an earlier one."""
        ...

    def write(self, epoch: EpochScalars) -> None:
        """Write an epoch of the run."""
        ...

    def close(self) -> None:
        """Write what is buffered."""
        ...


class CsvLog:
    """CSV file with a row for each epoch. Rows of other runs in the file are preserved.

    Args:
        path: Path of the file, which may not exist.

    Raises:
        InputError: The path is another file.
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_output_file(path, _CSV)
        self._path = path
        self._rows: list[dict[str, str]] = []
        self._run = ""
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))
        self._save()

    def begin(self, run: str) -> None:
        self._run = run
        self._rows = [row for row in self._rows if row[_RUN] != run]

    def write(self, epoch: EpochScalars) -> None:
        scalars = {name: repr(value) for name, value in epoch.scalars.items()}
        self._rows.append({_RUN: self._run, _PHASE: str(epoch.phase), _EPOCH: str(epoch.number), **scalars})
        self._save()

    def close(self) -> None:
        self._save()

    def _save(self) -> None:
        names = dict.fromkeys([_RUN, _PHASE, _EPOCH, *(name for row in self._rows for name in row)])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


class TensorBoardLog:
    """Folder of TensorBoard with one run for each build, or for each phase of it, if there are several.

    Args:
        folder: Log folder of TensorBoard.

    Raises:
        MissingPackageError: TensorBoard is not installed.
        OSError: The folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        extras.check("tensorboard")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._run = ""
        self._writers: dict[str, SummaryWriter] = {}

    def begin(self, run: str) -> None:
        self._run = run

    def write(self, epoch: EpochScalars) -> None:
        writer = self._writer(self._run if epoch.phase == 1 else f"{self._run}/phase-{epoch.phase}")
        for name, value in epoch.scalars.items():
            writer.add_scalar(name, value, epoch.number)
        writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            # TensorBoard discards the events of an earlier build with the same name.
            self._writers[run] = SummaryWriter(str(self._folder / run), purge_step=0)
        return self._writers[run]


def training_log(spec: str) -> TrainingLog:
    """Return the log that ``spec`` names: ``tensorboard:DIR`` or ``csv:FILE``.

    Raises:
        InputError: The spec has another form, or the path is another file.
        MissingPackageError: TensorBoard is not installed.
        OSError: The path cannot be written.
    """
    kind, _, path = spec.partition(":")
    if kind not in _KINDS or not path:
        raise InputError(f"--log: got '{spec}', must be tensorboard:DIR or csv:FILE")
    return CsvLog(Path(path)) if kind == "csv" else TensorBoardLog(Path(path))


@contextmanager
def training_logs(specs: Sequence[str]) -> Iterator[list[TrainingLog]]:
    """Open the logs that ``specs`` name, and close them at the end."""
    with ExitStack() as stack:
        logs = [training_log(spec) for spec in specs]
        for log in logs:
            stack.callback(log.close)
        yield logs


class LoggingObserver:
    """Build observer that writes training curves, and passes everything on to another observer.

    Epochs are written when they finish. Those that ran before, because training was resumed or its result is cached,
    are written from the result of the stage.

    Args:
        watcher: The other observer.
        logs: Logs to write to.
        run: Name of the build.
        training: Training settings of the recipe, for the name of the metric.
    """

    def __init__(
        self, watcher: BuildObserver, logs: Sequence[TrainingLog], run: str, training: TrainingSettings
    ) -> None:
        self._watcher = watcher
        self._logs = logs
        self._run = run
        self._metric = _metric(training)
        self._attempts = 0
        self._written = 0

    def expect(self, stages: int) -> None:
        self._watcher.expect(stages)
        self._attempts += 1
        self._written = 0

    def note(self, text: str) -> None:
        self._watcher.note(text)

    def begin(self, stage: Stage[Any], expected_s: Callable[[], float | None]) -> Progress:
        return _LoggedProgress(self._watcher.begin(stage, expected_s), self)

    def end(self, stage: Stage[Any], result: StageResult, *, seconds: float, cached: bool) -> None:
        if isinstance(result, TrainResult):
            for index, (epoch, lr) in enumerate(zip(result.epochs, result.lr_by_epoch, strict=True)):
                self.write(
                    epoch=index + 1,
                    phase=epoch.phase,
                    train_loss=epoch.train_loss,
                    validation_loss=epoch.validation_loss,
                    validation_accuracy=epoch.validation_accuracy,
                    lr=lr,
                )
        self._watcher.end(stage, result, seconds=seconds, cached=cached)

    def write(self, *, epoch: float, phase: float, **figures: float) -> None:
        """Write the next epoch; others were written before, or follow from the result of the stage."""
        if epoch != self._written + 1:
            return
        if epoch == 1:
            for log in self._logs:
                log.begin(self._run if self._attempts == 1 else f"{self._run}-{self._attempts}")
        self._written += 1
        names = {
            "train_loss": "train/loss",
            "validation_loss": "val/loss",
            "validation_accuracy": self._metric,
            "lr": "lr",
        }
        scalars = {name: figures[figure] for figure, name in names.items() if name is not None}
        for log in self._logs:
            log.write(EpochScalars(int(epoch), int(phase), scalars))


@dataclass(frozen=True)
class _LoggedProgress:
    """Progress bar that also writes finished epochs."""

    bar: Progress
    observer: LoggingObserver = field(repr=False)

    def start(self, total: int) -> None:
        self.bar.start(total)

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.bar.advance(steps, **figures)

    def finish_epoch(self, **figures: float) -> None:
        self.bar.finish_epoch(**figures)
        self.observer.write(**figures)


def _metric(training: TrainingSettings) -> str | None:
    """Return the name of the validation metric; None if it is the negative validation loss."""
    if training.metric is not None:
        return f"val/{training.metric.rpartition(':')[2]}"
    return "val/accuracy" if training.loss is None and training.step is None else None
