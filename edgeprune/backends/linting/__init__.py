"""What is wrong with a TFLite file, for microcontrollers above all, and what to do about it."""

from edgeprune.backends.linting.boards import Fit
from edgeprune.backends.linting.finding import Finding, Level
from edgeprune.backends.linting.linting import Report, lint

__all__ = ["Finding", "Fit", "Level", "Report", "lint"]
