"""Streamed statistics of activations and gradients at the sites that consume units."""

from __future__ import annotations

from edgeprune.statistics.consumer_sites import Site, sites_of
from edgeprune.statistics.forward_backward import backward, forward, parameter_gradients
from edgeprune.statistics.sample_batches import Loss, Samples

__all__ = ["Loss", "Samples", "Site", "backward", "forward", "parameter_gradients", "sites_of"]
