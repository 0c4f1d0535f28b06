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
    """Pruned network in ONNX format.

    Attributes:
        file: ONNX file.
        file_bytes: Size of the file in bytes.
    """

    file: ResultFile
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class PrecisionFiles:
    """Pruned network in one precision.

    Attributes:
        files: Model files, starting with the one that runs on this machine; empty if the ONNX file is the model, or if
            there is a problem.
        accuracy: Accuracy on validation data; None if there is a problem, or if it is not defined.
        float_nodes: Names of the nodes that remain in float32.
        problem: Reason why the model could not be written; None if it was.
    """

    files: tuple[ResultFile, ...] = ()
    accuracy: float | None = None
    float_nodes: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuantizeResult(StageResult):
    """Pruned network in every precision that may be selected.

    Attributes:
        precisions: Model files by precision, float32 first.
    """

    precisions: Mapping[Precision, PrecisionFiles]

    def files(self, exported: ExportResult) -> dict[Precision, Path]:
        """Return the file that runs on this machine, for each precision that was written."""
        return {
            precision: model.files[0] if model.files else exported.file
            for precision, model in self.precisions.items()
            if model.problem is None
        }

    def accuracy(self, precision: Precision) -> float:
        """Return the accuracy of a written precision on validation data."""
        accuracy = self.precisions[precision].accuracy
        assert accuracy is not None, f"{precision} was not written"
        return accuracy

    @property
    def problems(self) -> dict[str, str]:
        """Reasons why models could not be written, by precision."""
        return {precision: model.problem for precision, model in self.precisions.items() if model.problem is not None}


@dataclass(frozen=True, kw_only=True)
class PrecisionParity:
    """Comparison of one precision on its runtime with the PyTorch network, on validation samples.

    Attributes:
        accuracy: Accuracy of the exported file; None if the outputs are not class logits.
        report: Differences of the outputs, in the format of the manifest.
    """

    accuracy: float | None
    report: ParityReport


@dataclass(frozen=True, kw_only=True)
class ParityResult(StageResult):
    """Parity of every exported file.

    Attributes:
        precisions: Comparisons by precision.
    """

    precisions: Mapping[Precision, PrecisionParity]
