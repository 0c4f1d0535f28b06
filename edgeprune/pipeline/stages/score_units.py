"""Score every unit. A larger score means a larger expected loss from its removal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.file_names import SCORES
from edgeprune.pipeline.results.pruning_results import CandidatesResult, ScoreResult
from edgeprune.pipeline.stage import Stage, StageDir


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    prune = recipe.prune
    return {
        "criterion": prune.criterion,
        "options": dict(prune.criterion_options),
        "samples": prune.samples,
        "batch_size": recipe.training.sample_batch,
        "repair": prune.repair,
        "training": recipe.training.trains,
        "seed": recipe.seed,
    }


def _run(context: BuildContext, stage_dir: StageDir, candidate: CandidatesResult) -> ScoreResult:
    import numpy as np

    from edgeprune import pruning
    from edgeprune.criteria import Network

    if not candidate.plans_ahead:
        return ScoreResult(scores=None)
    network = Network(context.dense, context.units, context.recipe.seed, context.samples)
    scores = pruning.score(
        context.criterion(candidate.criterion), network, context.repairs(compared=bool(candidate.compared))
    )
    np.save(stage_dir.out / SCORES, scores.numpy(), allow_pickle=False)
    return ScoreResult(scores=stage_dir.out / SCORES)


STAGE = Stage("score", "score", _run, _settings)
