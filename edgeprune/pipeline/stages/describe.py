"""Describe the network for the report: layers, memory, groups and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.pipeline.job import SCORES, Job
from edgeprune.pipeline.stage import Space, Stage
from edgeprune.report.facts import Facts

if TYPE_CHECKING:
    import numpy as np

    from edgeprune.graph.units import Group

_DIGITS = 4
"""Significant digits of a score."""


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    import numpy as np

    from edgeprune.cost.breakdown import layer_costs, live_bytes

    units, removed = job.units, job.removed
    path = job.file("score", SCORES)
    scores = np.load(path, allow_pickle=False) if path.is_file() else None
    return {
        "criterion": job.criterion.name,
        "select": job.selection.name,
        "repairs": list(job.repairs),
        "layers": [asdict(layer) for layer in layer_costs(units, removed)],
        "calls": [asdict(call) for call in live_bytes(units, removed)],
        "groups": [_group(group, removed.numpy(), scores) for group in units.groups],
    }


def _group(group: Group, removed: np.ndarray, scores: np.ndarray | None) -> Mapping[str, Any]:
    gone = removed[group.start : group.stop]
    entry = {
        "name": group.name,
        "units": len(group),
        "left": len(group) - int(gone.sum()),
        "frozen": group.frozen,
        "layers": [member.tensor.rpartition(".")[0] or member.tensor for member in group.producers],
    }
    if scores is not None and group.frozen is None:
        own = scores[group.start : group.stop]
        entry |= {"kept": _rising(own[~gone]), "removed": _rising(own[gone])}
    return entry


def _rising(scores: np.ndarray) -> list[float]:
    return [float(f"{score:.{_DIGITS}g}") for score in sorted(scores.tolist())]


def facts_of(job: Job) -> Facts:
    """Content of ``report.json``, from this stage and all later ones."""
    recipe, target, found = job.recipe, job.target, job.value("describe")
    trained = job.value("finetune")
    history = trained["history"] or {"epochs": (), "hyperparameters": {"epochs": 0}}
    epochs = history["epochs"]
    ended = {epoch["stretch"]: epoch["validation_accuracy"] for epoch in epochs}
    problems = {name: {"problem": made["problem"]} for name, made in job.value("quantize").items() if "problem" in made}
    return Facts.model_validate(
        {
            **{name: found[name] for name in ("layers", "calls", "groups")},
            "asked": {
                "description": recipe.description,
                "budget": {name: limit for name, limit in recipe.budget.given().items() if name != "require"},
                "criterion": found["criterion"],
                "select": found["select"],
                "repairs": found["repairs"],
                "schedule": recipe.schedule.name,
                "options": recipe.schedule.options,
                "epochs": history["hyperparameters"]["epochs"],
                "precision": recipe.quantize.precision,
                "max_accuracy_drop": recipe.quantize.max_accuracy_drop,
                "target": target.description,
                "runtime": target.runtime.name,
                "versions": target.runtime.versions,
                "hardware": target.hardware.model_dump(mode="json", exclude_defaults=True),
            },
            "sensitivity": job.value("sensitivity") or None,
            "start": trained.get("start"),
            "steps": [
                {"macs": macs, "accuracy": ended.get(number)}
                for number, macs in enumerate(trained.get("macs_by_stretch", ()), start=1)
            ],
            "epochs": epochs,
            "forms": {**job.value("parity"), **problems},
        }
    )


STAGE = Stage("describe", "describe", after=("group", "score", "select"), settings=lambda *_: {}, run=_run)
