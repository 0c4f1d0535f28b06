"""Lint of TFLite files, above all for microcontrollers: problems, and remedies."""

from edgeprune.backends.linting.boards import Fit
from edgeprune.backends.linting.finding import Finding, Level
from edgeprune.backends.linting.linting import Report, lint

__all__ = ["Finding", "Fit", "Level", "Report", "lint"]
