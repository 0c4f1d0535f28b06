"""Content digests of the inputs of a build, and the differences between two builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OWN_SOURCE = "edgeprune"
"""Name of EdgePrune's source in the environment."""
INPUT_TITLES = {
    "factory": "model code",
    "function": "data code",
    "loss": "loss code",
    "step": "training step code",
    "metric": "metric code",
    "criterion": "criterion code",
    "selection": "selection code",
    "schedule": "schedule code",
    "weights": "weights",
    "rewind_weights": "rewind weights",
    "data": "data",
}
_SHOWN_FILES = 4


@dataclass(frozen=True)
class Inputs:
    """Content digests of all inputs.

    Attributes:
        digests: SHA-256 by input name, for cache keys and the manifest; None for an input that does not exist.
        parts: SHA-256 of each file of each input, for messages.
        environment: EdgePrune's source digest and the versions of packages, for messages.
    """

    digests: Mapping[str, str | None]
    parts: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def changes(self, earlier: Inputs) -> list[str]:
        """Return one sentence per set of changed files, such as "data changed: photos/samples.pt"."""
        titles: dict[str, list[str]] = {}
        for name, title in INPUT_TITLES.items():
            if self.digests.get(name) != earlier.digests.get(name):
                changed = _changed(self.parts.get(name, {}), earlier.parts.get(name, {}))
                titles.setdefault(_listed(changed), []).append(title)
        changed = _changed(self.environment, earlier.environment)
        packages = [name for name in changed if name != OWN_SOURCE]
        if packages:
            titles.setdefault(_listed(packages), []).append("package versions")
        own = ["EdgePrune's own code or version changed"] if OWN_SOURCE in changed else []
        return own + [
            f"{', '.join(names)} changed{f': {listed}' if listed else ''}" for listed, names in titles.items()
        ]


def _changed(now: Mapping[str, str], earlier: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*now, *earlier} if now.get(name) != earlier.get(name))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more
