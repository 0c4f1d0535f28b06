"""Make up for what was removed, in closed form, before any training."""

from __future__ import annotations

from edgeprune.repair.reconstruct import put, reconstruct

__all__ = ["put", "reconstruct"]
