"""Streamed activations and gradients at the sites that consume units."""

from __future__ import annotations

from edgeprune.statistics.passes import backward, forward, parameter_gradients
from edgeprune.statistics.samples import Loss, Samples
from edgeprune.statistics.sites import Site, sites_of

__all__ = ["Loss", "Samples", "Site", "backward", "forward", "parameter_gradients", "sites_of"]
