"""Launch mode of this process: alone, or by ``torchrun`` or ``accelerate launch`` as one of several; its threads."""

from __future__ import annotations

import os
import sys
from functools import cache

_WAIT_POLICY = "OMP_WAIT_POLICY"


def started_processes() -> int:
    """How many work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one that writes files and speaks to the user."""
    return int(os.environ.get("RANK", "0")) == 0


def make_openmp_wait_passively() -> None:
    """Let waiting threads of torch sleep instead of spin, unless the environment says otherwise or torch is loaded.

    A spinning thread keeps the thread that it waits for from its core when other processes use the cores too:
    fine-tuning the digits network beside two of them took 8 to 43 s, with sleeping threads 3 s.
    """
    if "torch" not in sys.modules:  # its OpenMP runtime reads the variable once
        os.environ.setdefault(_WAIT_POLICY, "PASSIVE")


@cache
def hint_at_wait_policy() -> None:
    """Warn once where training is slow because torch was loaded before ``edgeprune`` and the cores are busy."""
    cores = os.cpu_count() or 1
    if _WAIT_POLICY not in os.environ and hasattr(os, "getloadavg") and os.getloadavg()[0] > cores / 2:
        import logging  # as costly as all other imports of `edgeprune --help` but click

        logging.getLogger(__name__).warning(
            "other programs use this machine, and waiting threads of torch spin: import edgeprune before torch, or set "
            "%s=PASSIVE, to train faster",
            _WAIT_POLICY,
        )
