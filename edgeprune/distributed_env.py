"""Environment variables of a launcher such as ``torchrun``, and the wait policy of OpenMP threads."""

from __future__ import annotations

import os
import sys
from functools import cache

_WAIT_POLICY = "OMP_WAIT_POLICY"


def started_processes() -> int:
    """Return the number of processes that the launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this is process 0, which writes files and prints messages."""
    return int(os.environ.get("RANK", "0")) == 0


def make_openmp_wait_passively() -> None:
    """Let waiting threads of torch sleep instead of spin, unless the environment says otherwise or torch is loaded.

    If other processes also use the cores, a spinning thread occupies the core of the thread that it waits for:
    fine-tuning the digits network next to two processes took 8 to 43 s, and 3 s with sleeping threads.
    """
    if "torch" not in sys.modules:  # its OpenMP runtime reads the variable once
        os.environ.setdefault(_WAIT_POLICY, "PASSIVE")


@cache
def hint_at_wait_policy() -> None:
    """Warn once if training is slow because torch was imported before ``edgeprune`` and the cores are busy."""
    cores = os.cpu_count() or 1
    if _WAIT_POLICY not in os.environ and hasattr(os, "getloadavg") and os.getloadavg()[0] > cores / 2:
        import logging  # as costly as all other imports of `edgeprune --help` but click

        logging.getLogger(__name__).warning(
            "other programs use this machine, and torch threads that wait keep its cores busy: import edgeprune before "
            "torch, or set %s=PASSIVE, to train faster",
            _WAIT_POLICY,
        )
