"""One pass over the samples, with an accumulator for each site: memory does not grow with the samples."""

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
    """Is told the values of a site batch by batch, and keeps what is needed of them."""

    def add(self, values: Tensor) -> None:
        """Take in ``values`` (samples, units at the site, positions), floating point."""


A = TypeVar("A", bound=Accumulator)


@dataclass(frozen=True, eq=False)
class SiteView:
    """A site read unit by unit.

    Attributes:
        site: The site.
        units: The units there are at the site, each once, (m,).
        indices: For each of them as many of its indices along the site as every unit has, (m, k); None where the
            indices of the site are the units. They are further positions: flattened pixels, or widths of a head.
    """

    site: Site
    units: Tensor
    indices: Tensor | None

    @staticmethod
    def of(site: Site) -> SiteView:
        """The view of ``site``."""
        order = torch.argsort(site.units, stable=True)
        order = order[site.units[order] >= 0]
        units, counts = torch.unique_consecutive(site.units[order], return_counts=True)
        first = counts.cumsum(0) - counts
        indices = order[first[:, None] + torch.arange(int(counts.min()))]
        if torch.equal(indices.flatten(), torch.arange(len(site.units))) and indices.shape[1] == 1:
            return SiteView(site, units, None)
        return SiteView(site, units, indices)

    def values(self, value: Tensor) -> Tensor:
        """``value`` (samples, n, rest) of the site as (samples, m, positions)."""
        floating = value if value.is_floating_point() else value.float()
        if self.indices is None:
            return floating
        picked = floating[:, self.indices.to(value.device)]
        return picked.flatten(2)


def views_of(units: Units) -> list[SiteView]:
    """The view of every site, in the order of the program."""
    return [SiteView.of(site) for site in sites_of(units)]


def gather(units: Units, samples: Samples, make: Callable[[], A]) -> list[tuple[SiteView, A]]:
    """Every view with an accumulator of its own, which was told all that its site consumes."""
    found = [(view, make()) for view in views_of(units)]
    stream(found, units, samples)
    return found


def stream(
    views: Sequence[tuple[SiteView, Accumulator]],
    units: Units,
    samples: Samples,
    *,
    labels: Callable[[Any], None] | None = None,
) -> None:
    """Tell the accumulator of each view what its site consumes; ``labels`` as ``forward``."""
    by_site = {id(view.site.consumption): (view, into) for view, into in views}

    def seen(site: Site, value: Tensor) -> None:
        view, into = by_site[id(site.consumption)]
        into.add(view.values(value))

    forward(units, samples, seen, labels=labels)
