"""Export the pruned network to ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import PRUNED_ONNX
from edgeprune.pipeline.results.export_results import ExportResult
from edgeprune.pipeline.results.pruning_results import PlanResult, TrainResult
from edgeprune.pipeline.stage import Stage, StageDir

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.export.onnx_export import OnnxModel


def settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Return the settings that an exported file depends on, besides the network."""
    export = recipe.export
    return {"dynamic_batch": export.dynamic_batch, "simplify": export.simplify, "opset": target.onnx.opset}


def write(context: BuildContext, model: nn.Module, path: Path) -> OnnxModel:
    """Write ``model`` to the ONNX file ``path``."""
    from edgeprune.export import onnx_export

    export = context.recipe.export
    return onnx_export.export(
        model,
        context.example,
        path,
        opset=context.target.onnx.opset,
        dynamic_batch=export.dynamic_batch,
        simplify=export.simplify,
    )


def _run(context: BuildContext, stage_dir: StageDir, plan: PlanResult, trained: TrainResult) -> ExportResult:
    exported = write(context, context.pruned(plan, trained), stage_dir.out / PRUNED_ONNX)
    return ExportResult(file=exported.path, file_bytes=exported.file_bytes)


STAGE = Stage("export", "export ONNX", _run, settings)
