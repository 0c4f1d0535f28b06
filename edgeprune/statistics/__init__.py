"""What flows through the network on data: activations and gradients where units are consumed, streamed."""

from __future__ import annotations

from edgeprune.statistics.passes import backward, forward, parameter_gradients
from edgeprune.statistics.samples import Loss, Samples
from edgeprune.statistics.sites import Site, sites_of

__all__ = ["Loss", "Samples", "Site", "backward", "forward", "parameter_gradients", "sites_of"]
