"""Randomness as a pure function of a key, so that whatever was interrupted can be repeated exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*key: int) -> int:
    """A well mixed seed in [0, 2**63) from non-negative integers; the same on every machine."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def generator(*key: int) -> torch.Generator:
    """A CPU generator of its own, seeded from ``key``."""
    return torch.Generator().manual_seed(derive_seed(*key))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch from ``key``; on exit they are as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - user code draws from it
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        seed = derive_seed(*key)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
