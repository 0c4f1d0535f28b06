"""The zoo: networks by name in four families, with random weights and no annotations.

torchvision has no build for CPU-only PyTorch; without its compiled operators it still makes all its networks, once
the two operators that it registers shapes for are declared (``declare_operators``).
"""

from __future__ import annotations

import warnings

import torch

from tests.zoo.audio_networks import AUDIO
from tests.zoo.detection_networks import DETECTION
from tests.zoo.image_classifiers import CLASSIFIERS
from tests.zoo.restoration_networks import RESTORATION
from tests.zoo.tracking_networks import TRACKING
from tests.zoo.transformer_networks import TRANSFORMERS
from tests.zoo.zoo_family import Family, Made, declare_operators, randomize

FAMILIES = {
    "classifiers": CLASSIFIERS,
    "detection": DETECTION,
    "transformers": TRANSFORMERS,
    "signals": Family(
        "Audio, time series, restoration, video and tracking",
        {**AUDIO.makers, **RESTORATION.makers, **TRACKING.makers},
        {**AUDIO.packages, **RESTORATION.packages, **TRACKING.packages},
    ),
}
NAMES = tuple(name for family in FAMILIES.values() for name in family.makers)


def family_of(name: str) -> Family:
    """Return the family of the network ``name``; KeyError for a name that no family has."""
    for family in FAMILIES.values():
        if name in family.makers:
            return family
    raise KeyError(f"expected a network of the zoo, got {name!r}; its names are in tests/zoo")


def missing_packages(name: str) -> tuple[str, ...]:
    """Return the packages that the network ``name`` needs and that are not installed."""
    return family_of(name).missing(name)


def make(name: str, seed: int = 0) -> Made:
    """Return a network in evaluation mode, and example inputs with one sample."""
    declare_operators()
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, example = family_of(name).makers[name]()
    return randomize(network).eval(), example
