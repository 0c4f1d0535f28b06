"""Linting of a TFLite file with all checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.backends.footprint import Footprint
from edgeprune.backends.tflm import sandbox
from edgeprune.backends.tflm.kernel_sizes import code_bytes
from edgeprune.backends.tflm.linting import board_limits, narrow_ranges, operator_checks, slow_paths
from edgeprune.backends.tflm.linting.board_limits import BoardFit
from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import TfliteNetwork
from edgeprune.backends.tflm.tflm_footprint import footprint
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_loading import load_file

_CHECKS: tuple[Callable[[TfliteNetwork], Iterator[Finding]], ...] = (
    operator_checks.hybrid,
    operator_checks.outside,
    operator_checks.dynamic,
    operator_checks.kernel,
    operator_checks.floats,
    operator_checks.unpacked_weights,
    narrow_ranges.narrow_ranges,
)
_LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class LintReport:
    """Result of linting a file.

    Attributes:
        path: Path of the file.
        file_bytes: Size of the file in bytes.
        operators: Number of operators of each kind.
        findings: Findings, sorted by severity and then by location.
        footprint: RAM and flash of the file; None if TFLite Micro cannot run it.
        boards: Sizes and limits for each board.
    """

    path: Path
    file_bytes: int
    operators: Mapping[str, int]
    findings: tuple[Finding, ...]
    footprint: Footprint | None
    boards: tuple[BoardFit, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings because of which the file does not run on microcontrollers, or on a requested board."""
        return tuple(finding for finding in self.findings if finding.level == "error")


def lint(path: Path, targets: Sequence[str] = ()) -> LintReport:
    """Check a TFLite file for microcontrollers.

    TFLite Micro runs the file in a separate process, unless a check finds an error first.

    Args:
        path: Path of the file.
        targets: Names of boards on which the file must fit. By default, it is compared with all available boards, and
            need not fit.

    Raises:
        ModelError: The file cannot be read, is not a TFLite file, or is damaged.
        TargetError: A target is unknown, or is not a microcontroller.
    """
    boards = board_limits.named(targets) if targets else board_limits.microcontrollers()
    model, content = load_file(path)
    network = TfliteNetwork(model)
    findings = [finding for check in _CHECKS for finding in check(network)]
    file_footprint: Footprint | None = None
    if not any(finding.level == "error" for finding in findings):
        try:
            file_footprint = footprint(path, sandbox.arena(path))
        except ModelError as problem:
            findings.append(
                Finding("error", "tflm-refuses", str(problem), "replace the operator that the message names")
            )
    slow_on = slow_paths.boards_with_dsp(boards)
    if slow_on:
        findings.extend(slow_paths.slow_paths(network))
    flash_bytes = len(content) + sum(code_bytes(op.kind for op in network.operators).values())
    fits = tuple(
        board_limits.fit(board, None if file_footprint is None else file_footprint.arena_bytes, flash_bytes)
        for board in boards
    )
    if targets:
        findings.extend(board_limits.misfits(fits))
    findings.sort(key=lambda one: (_LEVELS.index(one.level), one.graph, -1 if one.op is None else one.op))
    return LintReport(path, len(content), network.counts, tuple(findings), file_footprint, fits)
