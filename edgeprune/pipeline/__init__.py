"""Build pipeline: stages, their order, their cache, and resuming. Importing this package does not import torch."""

from __future__ import annotations

from edgeprune.pipeline.build_pipeline import BuildResult, build, check_output, check_targets, dry_run
from edgeprune.pipeline.stage import BuildObserver, Stage
from edgeprune.pipeline.stage_forecast import StageForecast
from edgeprune.pipeline.stage_runner import StageReport

__all__ = [
    "BuildObserver",
    "BuildResult",
    "Stage",
    "StageForecast",
    "StageReport",
    "build",
    "check_output",
    "check_targets",
    "dry_run",
]
