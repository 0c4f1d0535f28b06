"""``edgeprune build --dry-run``: the stages of a build, and which of them are cached."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.cli.console_output import echo, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.config import Recipe, Target
    from edgeprune.pipeline import StageForecast

_UNKNOWN = "-"


def show(recipe: Recipe, targets: Sequence[Target], *, as_json: bool, **options: Any) -> None:
    """Print the forecast of the build for each target.

    Args:
        recipe: Recipe of the builds.
        targets: Targets of the builds.
        as_json: Whether to print JSON.
        options: Further arguments of ``dry_run``.
    """
    from edgeprune.pipeline import dry_run, lock_file

    forecasts = {
        target.name: dry_run(recipe.for_target(*target.labels), target, lock=lock_file.path_of(recipe), **options)
        for target in targets
    }
    if as_json:
        reports = [
            {"target": target, "stages": [asdict(stage) for stage in stages], "seconds": _seconds(stages)}
            for target, stages in forecasts.items()
        ]
        print_json(reports[0] if len(reports) == 1 else {"targets": reports})
        return
    for target, stages in forecasts.items():
        echo(f"{recipe.name} for {target}")
        rows = [(stage.title, stage.state, _duration(stage.seconds), stage.reason) for stage in stages]
        print_table(("stage", "state", "seconds", "reason"), rows, right=("seconds",))
        echo(_summary(stages))


def _running(stages: Sequence[StageForecast]) -> list[StageForecast]:
    return [stage for stage in stages if stage.state != "cached"]


def _seconds(stages: Sequence[StageForecast]) -> float | None:
    """Return the sum of the known durations of the stages that may run; None if none is known."""
    known_seconds = [stage.seconds for stage in _running(stages) if stage.seconds is not None]
    return round(sum(known_seconds), 3) if known_seconds or not _running(stages) else None


def _duration(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds:.2f}"


def _summary(stages: Sequence[StageForecast]) -> str:
    running, seconds = _running(stages), _seconds(stages)
    if not running:
        return f"all {len(stages)} stages are cached"
    unknown = sum(stage.seconds is None for stage in running)
    is_upper_limit = any(stage.state == "may run" for stage in running)
    text = f"{'up to ' * is_upper_limit}{len(running)} of {len(stages)} stages run"
    if seconds is None:
        return f"{text}; the cache has no earlier duration of them"
    return f"{text}, in about {seconds:.0f} s{f' and {unknown} of unknown duration' if unknown else ''}"
