"""The main job: stage order, cache, resume. Importing it imports no torch."""

from __future__ import annotations

from edgeprune.pipeline.building import BuildResult, build, check_output, check_targets
from edgeprune.pipeline.stage import Stage, Watcher
from edgeprune.pipeline.stage_runner import StageReport

__all__ = ["BuildResult", "Stage", "StageReport", "Watcher", "build", "check_output", "check_targets"]
