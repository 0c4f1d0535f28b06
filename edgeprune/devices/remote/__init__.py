"""Scripts that run on a device over ssh, besides the runner."""

from __future__ import annotations

MARK = "EDGEPRUNE_WORKSPACE"
"""In the environment of every program that was started there: the folder that it was started for."""
