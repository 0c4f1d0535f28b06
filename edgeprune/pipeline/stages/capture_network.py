"""Capture the dense network as one graph."""

from __future__ import annotations

from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.loading_results import CaptureResult, LoadResult
from edgeprune.pipeline.stage import Stage, StageDir


def _run(context: BuildContext, _stage_dir: StageDir) -> CaptureResult:
    program = context.program
    calls = sum(node.op == "call_function" for node in program.graph.nodes)
    return CaptureResult(calls=calls, dynamic_batch=program.dynamic_batch)


STAGE = Stage("capture", "capture", _run, after=(LoadResult,))
