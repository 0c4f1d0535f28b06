"""Results of the stages that write model files and compare them with PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeprune.bundle.parity_report import ParityReport
from edgeprune.config.target import Precision
from edgeprune.pipeline.stage_result import ResultFile, StageResult


@dataclass(frozen=True, kw_only=True)
class ExportResult(StageResult):
    """The pruned network as ONNX.

    Attributes:
        file: The ONNX file.
        file_bytes: Its size.
    """

    file: ResultFile
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class PrecisionFiles:
    """The pruned network in one precision.

    Attributes:
        files: Its files, the one that runs on this machine first; none if the ONNX file itself is it, or if there is a
            problem.
        accuracy: Accuracy on validation data; None if there is a problem, or where it is not defined.
        float_nodes: Nodes that stay in float32.
        problem: Why there is no such file; None if there is one.
    """

    files: tuple[ResultFile, ...] = ()
    accuracy: float | None = None
    float_nodes: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuantizeResult(StageResult):
    """The pruned network in every precision that may ship.

    Attributes:
        precisions: By precision, float32 first.
    """

    precisions: Mapping[Precision, PrecisionFiles]

    def files(self, exported: ExportResult) -> dict[Precision, Path]:
        """File that runs on this machine, by precision, of those that were written."""
        return {
            precision: written.files[0] if written.files else exported.file
            for precision, written in self.precisions.items()
            if written.problem is None
        }

    def accuracy(self, precision: Precision) -> float:
        """Accuracy of a precision that was written, on validation data."""
        accuracy = self.precisions[precision].accuracy
        assert accuracy is not None, f"{precision} was not written"
        return accuracy

    @property
    def problems(self) -> dict[str, str]:
        """Why there is no file, by precision."""
        return {
            precision: written.problem for precision, written in self.precisions.items() if written.problem is not None
        }


@dataclass(frozen=True, kw_only=True)
class PrecisionParity:
    """One precision on its runtime beside the PyTorch network, on validation samples.

    Attributes:
        accuracy: Accuracy of the exported file; None where outputs are not logits of classes.
        report: Differences of the outputs, as the manifest has them.
    """

    accuracy: float | None
    report: ParityReport


@dataclass(frozen=True, kw_only=True)
class ParityResult(StageResult):
    """Parity of every exported file.

    Attributes:
        precisions: By precision.
    """

    precisions: Mapping[Precision, PrecisionParity]
