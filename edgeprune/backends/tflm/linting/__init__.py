"""Lint of TFLite files, above all for microcontrollers: problems, and remedies."""

from edgeprune.backends.tflm.linting.boards import Fit
from edgeprune.backends.tflm.linting.finding import Finding, Level
from edgeprune.backends.tflm.linting.linting import Report, lint

__all__ = ["Finding", "Fit", "Level", "Report", "lint"]
