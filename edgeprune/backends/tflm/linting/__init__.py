"""Linter for TFLite files on microcontrollers: finds problems and suggests remedies."""

from edgeprune.backends.tflm.linting.board_limits import BoardFit
from edgeprune.backends.tflm.linting.finding import Finding, Level
from edgeprune.backends.tflm.linting.run_checks import LintReport, lint

__all__ = ["BoardFit", "Finding", "Level", "LintReport", "lint"]
