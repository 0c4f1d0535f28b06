"""Random numbers as a pure function of a key, so that interrupted work can be repeated exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*key: int) -> int:
    """Return a well-mixed seed in [0, 2**63) from non-negative integers; the same on every machine."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def generator(*key: int) -> torch.Generator:
    """Return a new CPU generator, seeded from ``key``."""
    return torch.Generator().manual_seed(derive_seed(*key))


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - user code draws from it
    torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for accelerators: twenty times the time
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch from ``key``, and restore their states on exit."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    seed_generators(derive_seed(*key))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
