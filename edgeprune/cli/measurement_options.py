"""Options of ``edgeprune profile`` that set how is measured, in place of the settings of the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def measurement_options(function: _F) -> _F:
    """Add the options that override ``[profile]`` and ``runtime.threads`` of a target to a command."""
    for option in reversed(
        (
            click.option(
                "--threads",
                metavar="N",
                type=click.IntRange(min=1),
                help="Threads of one inference.  [default: that of the target]",
            ),
            click.option(
                "--runs",
                metavar="N",
                type=click.IntRange(min=1),
                help="Minimum number of measured inferences for each model.  [default: that of the target]",
            ),
            click.option(
                "--blocks",
                metavar="N",
                type=click.IntRange(min=1),
                help="Number of alternating blocks for each model.  [default: that of the target]",
            ),
            click.option(
                "--warmup",
                metavar="N",
                type=click.IntRange(min=0),
                help="Number of unmeasured inferences before each block.  [default: that of the target]",
            ),
            click.option(
                "--noise",
                metavar="X",
                type=click.FloatRange(min=0),
                help="Allowed difference between the medians of blocks: 0.1 is 10 %.  [default: that of the target]",
            ),
            click.option(
                "--retries",
                metavar="N",
                type=click.IntRange(min=0),
                help="Number of repetitions of a measurement that is too noisy.  [default: that of the target]",
            ),
            click.option(
                "--timeout",
                "timeout_s",
                metavar="SECONDS",
                type=click.FloatRange(min=1),
                help="Timeout for one response of the device.  [default: 300]",
            ),
        )
    ):
        function = option(function)
    return function
