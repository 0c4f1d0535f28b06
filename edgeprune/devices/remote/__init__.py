"""What runs on a device that is reached over ssh, beside the runner itself."""

from __future__ import annotations

MARK = "EDGEPRUNE_WORKSPACE"
"""In the environment of every program that was started there: the folder that it was started for."""
