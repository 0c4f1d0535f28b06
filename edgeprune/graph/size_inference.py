"""Size attributes of the user's modules (``num_heads``), inferred from the resized calls of their forwards.

A forward such as ``x.view(n, -1, self.num_heads, 16)`` runs at the smaller size once ``num_heads`` has the new value.
The captured program has the dense and the new size of this call, and the path of the module that makes it. A module
attribute with the dense value may be the source of the size, or equal to it by chance, so the caller compares outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

Size = int | tuple[int, ...]
Sizes = Mapping[str, Mapping[Size, list[Size]]]
"""New values of each dense size in the calls of a module, by path of the module."""

_MOST_CHOICES = 16
"""Largest number of assignments to try: each costs one forward, which usually fails early."""


def size_pairs(before: Any, after: Any) -> Iterator[tuple[Size, Size]]:
    """Yield dense and new value of each size of an argument, and of the argument itself if it is a list of sizes."""
    if isinstance(before, int) and isinstance(after, int):
        if before != after and before > 1:  # -1 and 1 are the same for all sizes
            yield before, after
    elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and len(before) == len(after):
        if tuple(before) != tuple(after) and all(isinstance(size, int) for size in (*before, *after)):
            yield tuple(before), tuple(after)
        for old, new in zip(before, after, strict=True):
            yield from size_pairs(old, new)


@dataclass
class _SizeAttribute:
    """Attributes of one name in modules of one class, which change together.

    Attributes:
        name: Name of the attribute.
        modules: Each module with its dense value and the possible new values.
    """

    name: str
    modules: list[tuple[nn.Module, Any, list[Any]]] = field(default_factory=list)

    def set(self, pick: int | None) -> None:
        """Set the new value number ``pick``, or the last one if a module has fewer; None: the dense value."""
        for module, dense, new_values in self.modules:
            value = dense if pick is None else new_values[min(pick, len(new_values) - 1)]
            setattr(module, self.name, value)


def infer_attributes(model: nn.Module, sizes: Sizes, passes: Callable[[], bool]) -> bool:
    """Set size attributes of ``model`` such that the check ``passes``, and return whether that is possible.

    No more attributes are changed than the check needs; without success, none.
    """
    attributes = _size_attributes(model, sizes)
    for picks in itertools.islice(_assignments(attributes), _MOST_CHOICES):
        for attribute, pick in zip(attributes, picks, strict=True):
            attribute.set(pick)
        if passes():
            for attribute, pick in zip(attributes, picks, strict=True):
                attribute.set(None)
                if pick is not None and not passes():
                    attribute.set(pick)
            return True
    for attribute in attributes:
        attribute.set(None)
    return False


def _size_attributes(model: nn.Module, sizes: Sizes) -> list[_SizeAttribute]:
    modules = dict(model.named_modules())
    attributes: dict[tuple[type, str], _SizeAttribute] = {}
    for path, new_sizes in sizes.items():
        module = modules.get(path)
        if module is None:
            continue
        for name, value in vars(module).items():
            size = tuple(value) if isinstance(value, list) else value
            if _is_size(size) and size in new_sizes:
                new_values = [list(new) if isinstance(value, list) else new for new in new_sizes[size]]  # type: ignore[arg-type]
                attribute = attributes.setdefault((type(module), name), _SizeAttribute(name))
                attribute.modules.append((module, value, new_values))
    return list(attributes.values())


def _is_size(value: Any) -> bool:
    """Return whether ``value`` is an integer or a tuple of integers."""
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, int) and not isinstance(one, bool) for one in values)


def _assignments(attributes: Sequence[_SizeAttribute]) -> Iterator[tuple[int | None, ...]]:
    """Yield the number of the new value of each attribute: all changed, then those with the fewest changes first."""
    indices = range(len(attributes))
    counts = [max(len(new_values) for _, _, new_values in attribute.modules) for attribute in attributes]
    if attributes:
        yield (0,) * len(attributes)
    for changes in range(1, len(attributes) + 1):
        for changed in itertools.combinations(indices, changes):
            yield from itertools.product(*(range(counts[index]) if index in changed else [None] for index in indices))
