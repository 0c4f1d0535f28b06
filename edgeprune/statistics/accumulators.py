"""Accumulators of statistics, one for each site, in one pass over the samples with constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.statistics.consumer_sites import Site, sites_of
from edgeprune.statistics.forward_backward import forward
from edgeprune.statistics.sample_batches import Samples


class Accumulator(Protocol):
    """Statistic that is updated with the values of a site, batch by batch."""

    def add(self, values: Tensor) -> None:
        """Add the floating-point ``values``, (samples, units at the site, positions)."""


A = TypeVar("A", bound=Accumulator)


@dataclass(frozen=True, eq=False)
class SiteView:
    """View of the values of a site by unit.

    Attributes:
        site: Site to read.
        units: Distinct units of the site, (m,).
        indices: Indices of each unit along the site, (m, k), with k the smallest number of indices of a unit. They are
            additional positions: flattened pixels, or dimensions of a head. None if each index is one unit.
    """

    site: Site
    units: Tensor
    indices: Tensor | None

    @staticmethod
    def of(site: Site) -> SiteView:
        """Return the view of ``site``."""
        order = torch.argsort(site.units, stable=True)
        order = order[site.units[order] >= 0]
        units, counts = torch.unique_consecutive(site.units[order], return_counts=True)
        first = counts.cumsum(0) - counts
        indices = order[first[:, None] + torch.arange(int(counts.min()))]
        if torch.equal(indices.flatten(), torch.arange(len(site.units))) and indices.shape[1] == 1:
            return SiteView(site, units, None)
        return SiteView(site, units, indices)

    def values(self, value: Tensor) -> Tensor:
        """Return ``value``, (samples, n, positions of the site), as (samples, m, positions)."""
        floating = value if value.is_floating_point() else value.float()
        if self.indices is None:
            return floating
        by_unit = floating[:, self.indices.to(value.device)]
        return by_unit.flatten(2)


def views_of(units: Units) -> list[SiteView]:
    """Return the views of all sites, in the order of the program."""
    return [SiteView.of(site) for site in sites_of(units)]


def gather(units: Units, samples: Samples, make: Callable[[], A]) -> list[tuple[SiteView, A]]:
    """Return each view with a new accumulator, updated with all values that its site consumes."""
    accumulators = [(view, make()) for view in views_of(units)]
    stream(accumulators, units, samples)
    return accumulators


def stream(
    views: Sequence[tuple[SiteView, Accumulator]],
    units: Units,
    samples: Samples,
    *,
    labels: Callable[[Any], None] | None = None,
) -> None:
    """Update the accumulator of each view with the values that its site consumes. ``labels`` is as in ``forward``."""
    by_site = {id(view.site.consumption): (view, into) for view, into in views}

    def record(site: Site, value: Tensor) -> None:
        view, into = by_site[id(site.consumption)]
        into.add(view.values(value))

    forward(units, samples, record, labels=labels)
