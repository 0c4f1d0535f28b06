"""Base class of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgeprune.backends.conversion import Conversion, ConvertedModel, Quantization, ShippedModel
from edgeprune.backends.runner_scripts import RunnerScripts
from edgeprune.config import Target
from edgeprune.errors import TargetError
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.backends.accuracy import Accuracy
    from edgeprune.backends.agreement import Agreement
    from edgeprune.backends.batching import Array, Inputs
    from edgeprune.backends.footprint import Footprint
    from edgeprune.backends.latency_estimate import LatencyEstimate
    from edgeprune.config.target import Precision
    from edgeprune.extras import Extra
    from edgeprune.model.data import Split


class Backend(ABC):
    """A runtime for which EdgePrune writes, checks, runs, measures and bundles model files.

    A backend has no state: there is one instance of each class. Methods import the modules that they need when they are
    called, so that looking up a backend is cheap.
    """

    name: ClassVar[str]
    """``runtime.name`` in target files."""
    title: ClassVar[str]
    """Name of the runtime in messages and reports."""
    package: ClassVar[str | None] = None
    """Distribution on PyPI that runs its files on this machine; None if no such distribution exists."""
    extra: ClassVar[Extra | None] = None
    """Extra of EdgePrune that installs ``package``; None if EdgePrune always installs it."""
    suffix: ClassVar[str]
    """Suffix of its model files, with the dot."""
    is_default_for_suffix: ClassVar[bool] = False
    """Whether this backend runs a file with its suffix if the runtime is not known."""

    runner: ClassVar[RunnerScripts | None] = None
    """Scripts that run its models on a device with an operating system; None for firmware."""
    chooses_precision_on_device: ClassVar[bool] = False
    """Whether the device measures all precisions within the accuracy limit and selects the fastest."""
    measures_layers: ClassVar[bool] = False
    """Whether ``edgeprune calibrate`` can measure single layers with it, for a latency table."""

    @property
    def reported_names(self) -> tuple[str, ...]:
        """Names under which devices report this runtime; by default, its own."""
        return (self.name,)

    @property
    def host(self) -> Backend:
        """Backend that runs its files on this machine, to evaluate and compare them; by default, itself."""
        return self

    @property
    def installed_version(self) -> str | None:
        """Installed version of ``package``; None if it is not installed."""
        try:
            return None if self.package is None else version(self.package)
        except PackageNotFoundError:
            return None

    def check_target(self, target: Target) -> None:
        """Check that ``target`` has the tables that this backend reads, and only those.

        Raises:
            TargetError: A table is missing or superfluous, or an option is not valid.
        """
        if target.microcontroller is not None:
            raise TargetError(
                f"{target.name}: the table [microcontroller] needs the runtime tflm, but runtime.name is "
                f"'{self.name}': remove the table, or set runtime.name = 'tflm'"
            )
        self.check_options(target)

    def check_options(self, target: Target) -> None:
        """Check ``runtime.options`` of the target; by default, options are not allowed.

        Raises:
            TargetError: An option is missing, unknown, or has a value that is not valid.
        """
        options = target.runtime.options
        if options:
            raise TargetError(
                f"{target.name}: expected no options, as the runtime {self.name} has none, found "
                f"{', '.join(options)} in [runtime.options]: remove the table"
            )

    def conversion_settings(self, target: Target) -> Mapping[str, Any]:
        """Settings of the target that the model files depend on, as JSON values. They are part of cache keys."""
        return {"runtime": [self.name, target.runtime.versions]}

    def write_float32(self, source: Path, folder: Path) -> Path:
        """Write the float32 file from the exported ONNX file ``source``; by default, return ``source``.

        Args:
            source: The exported ONNX file.
            folder: Folder for the new file, which has the stem of ``source`` and the suffix of this backend.

        Raises:
            ModelError: An operator is not supported, or the outputs of the new file differ.
        """
        return source

    def check_network(self, dense: Conversion) -> Path:
        """Check that the target can run the dense network, before training starts.

        ``export.preflight`` has the checks that apply to all targets.

        Returns:
            File that has the footprint of the dense network; by default, the float32 file.

        Raises:
            TargetError: The target cannot run the network. The message names the operators and a remedy.
        """
        return dense.file

    @abstractmethod
    def write(self, precision: Precision, conversion: Quantization) -> ConvertedModel:
        """Write a network in another precision than float32.

        Raises:
            ModelError: The network cannot be converted. The build continues without this precision.
        """

    def write_for_footprint(self, conversion: Conversion) -> Path:
        """Write a file with the final footprint, but not the final weights and ranges; by default, the float32 file.

        Raises:
            ModelError: The network cannot be converted.
        """
        return conversion.file

    def footprint(self, path: Path, target: Target) -> Footprint | None:
        """RAM and flash of the model file ``path`` on ``target``; None if only a device can measure them.

        Raises:
            ModelError: The runtime cannot run the file.
        """
        return None

    def estimate_latency(self, footprint: Footprint, target: Target, macs: int) -> LatencyEstimate | None:
        """Latency of a file with this footprint and ``macs`` multiply-adds; None for a backend without footprints."""
        return None

    def compare_with_host(
        self, path: Path, samples: Array, *, classes: bool, labels: Array | None, progress: Progress = SILENT
    ) -> Agreement | None:
        """Compare the outputs of its kernels and of ``host`` on the same samples; None if its kernels do not run here.

        Args:
            path: The model file.
            samples: Samples (N, ...).
            classes: Whether outputs are scores of classes.
            labels: Labels (N,) for accuracies; None without them.
            progress: Progress indicator, which advances by one for each sample.

        Raises:
            ModelError: A runtime cannot run the file, or the outputs differ by more than rounding.
        """
        return None

    def effective_precision(self, precision: Precision) -> Precision:
        """Precision of the arithmetic on the device, which determines the tolerance of its outputs."""
        return precision

    def bundle_files(self, model: ShippedModel) -> Mapping[str, Path | str]:
        """Files of a bundle that run the model on the device, by path in the bundle.

        Values are paths of files to copy, or file contents. By default, these are the scripts of ``runner``.

        Raises:
            ModelError: EdgePrune cannot write a program for the model.
        """
        runner = self.runner
        if runner is None:
            return {}
        requirements = {"requirements.txt": runner.requirements} if runner.requirements else {}
        names = "run.py", *(path.name for path in runner.companions)
        return {**dict(zip(names, runner.contents, strict=True)), **requirements}

    @abstractmethod
    def check_file(self, path: Path) -> None:
        """Check a model file of unknown origin before a runtime reads it.

        Raises:
            ModelError: The file cannot be read, is damaged or exceeds a limit.
        """

    @abstractmethod
    def predictor(self, path: Path) -> Callable[[Inputs], list[Array]]:
        """Load the model file ``path`` on this machine.

        Returns:
            Function of inputs (N, ...) that returns each output (N, ...). It uses all cores.

        Raises:
            ModelError: The runtime cannot load the file.
        """

    @abstractmethod
    def evaluate(self, path: Path, split: Split, *, progress: Progress = SILENT) -> Accuracy:
        """Evaluate the top-1 accuracy of the model file ``path`` on ``split``, on this machine.

        Raises:
            DataError: The split is empty.
            ModelError: The runtime cannot load the file or fails, or an output is not finite.
        """
