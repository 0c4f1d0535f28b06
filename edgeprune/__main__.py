"""``python -m edgeprune``, and ``torchrun -m edgeprune``."""

from __future__ import annotations

from edgeprune.cli import main

main()
