"""``cat`` and ``stack``."""

from __future__ import annotations

import torch

from tests.conformance.examples.base import Draw, Example, example, image, sequence


@example("cat")
def _cat(draw: Draw) -> Example:
    """A tensor beside itself."""
    times = draw.size(2, 3)
    dim = draw.one_of(1, -1, 2)
    op = lambda x: torch.cat([(at + 1.0) * x for at in range(times)], dim)
    return image(draw, op, draw.size(2, 6))


@example("concat")
def _concat(draw: Draw) -> Example:
    return image(draw, lambda x: torch.concat([x, x.relu()], 1), draw.size(2, 6))


@example("concatenate")
def _concatenate(draw: Draw) -> Example:
    return image(draw, lambda x: torch.concatenate([x, x.relu()], 1), draw.size(2, 6))


@example("cat")
def _cat_with_input(draw: Draw) -> Example:
    """Pixels of the input beside channels: those can go, these cannot."""
    channels = draw.size(2, 6)
    op = lambda x: torch.cat([x, x.new_ones(x.shape[0], 2, 4, 4)], 1)
    return image(draw, op, channels)


@example("stack")
def _stack(draw: Draw) -> Example:
    dim = draw.one_of(1, 2, -1)
    return image(draw, lambda x: torch.stack([x, x.relu(), -x], dim).mean(dim), draw.size(2, 6))


@example("stack")
def _stack_into_features(draw: Draw) -> Example:
    return sequence(draw, lambda x: torch.stack([x, x.relu()], -1).flatten(-2), draw.size(2, 6))
