"""Scripts that run on a device over SSH, besides the runner."""

from __future__ import annotations

MARK = "EDGEPRUNE_WORKSPACE"
"""Environment variable of every program that is started on the device: the folder it was started for."""
