"""All checks over one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.backends.footprint import Footprint
from edgeprune.backends.tflm import sandbox
from edgeprune.backends.tflm.kernel_sizes import code_bytes
from edgeprune.backends.tflm.linting import board_limits, operator_checks, slow_paths
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
)
_LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class LintReport:
    """Result of linting a file.

    Attributes:
        path: Of the file.
        file_bytes: Its size.
        operators: How many of each there are.
        findings: Errors first, then by place.
        footprint: What it takes of RAM and flash; None where TFLite Micro cannot run it.
        boards: How it fits, by board.
    """

    path: Path
    file_bytes: int
    operators: Mapping[str, int]
    findings: tuple[Finding, ...]
    footprint: Footprint | None
    boards: tuple[BoardFit, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that keep it from running on microcontrollers, or on a requested one."""
        return tuple(finding for finding in self.findings if finding.level == "error")


def lint(path: Path, targets: Sequence[str] = ()) -> LintReport:
    """Check any TFLite file for microcontrollers.

    TFLite Micro itself runs the file, in a process of its own, unless a check has found a reason why it cannot.

    Args:
        path: Of the file.
        targets: Names of boards on which it must fit; none: it is held against all that are known, and need not fit.

    Raises:
        ModelError: It cannot be read, is no TFLite file, or is damaged.
        TargetError: A target is unknown, or no microcontroller.
    """
    wanted = board_limits.named(targets) if targets else board_limits.microcontrollers()
    model, content = load_file(path)
    network = TfliteNetwork(model)
    findings = [finding for check in _CHECKS for finding in check(network)]
    found: Footprint | None = None
    if not any(finding.level == "error" for finding in findings):
        try:
            found = footprint(path, sandbox.arena(path))
        except ModelError as problem:
            findings.append(
                Finding("error", "tflm-refuses", str(problem), "the message of TFLite Micro names operator and reason")
            )
    slow_on = slow_paths.boards_with_dsp(wanted)
    if slow_on:
        findings.extend(slow_paths.slow_paths(network))
    flash_bytes = len(content) + sum(code_bytes(op.kind for op in network.operators).values())
    fits = tuple(board_limits.fit(board, None if found is None else found.arena_bytes, flash_bytes) for board in wanted)
    if targets:
        findings.extend(board_limits.misfits(fits))
    findings.sort(key=lambda one: (_LEVELS.index(one.level), one.graph, -1 if one.op is None else one.op))
    return LintReport(path, len(content), network.counts, tuple(findings), found, fits)
