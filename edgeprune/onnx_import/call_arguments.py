"""Arguments of calls: operands in nested lists, slices and mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgeprune.onnx_import.traced_values import Constant, Value


def leaves_of(item: Any) -> Iterator[Any]:
    """Yield the items in nested lists, tuples, slices and mappings."""
    if isinstance(item, slice):
        yield from (item.start, item.stop, item.step)
    elif isinstance(item, (list, tuple)):
        for inner in item:
            yield from leaves_of(inner)
    elif isinstance(item, Mapping):
        yield from leaves_of(list(item.values()))
    else:
        yield item


def values_in(item: Any) -> list[Value]:
    """Return the computed values in ``item``."""
    return [leaf for leaf in leaves_of(item) if isinstance(leaf, Value)]


def in_containers(item: Any, change: Callable[[Any], Any]) -> Any:
    """Return ``item`` with ``change`` applied to the items of a list, tuple, slice or mapping."""
    if isinstance(item, slice):
        return slice(change(item.start), change(item.stop), change(item.step))
    if isinstance(item, (list, tuple)):
        return type(item)(map(change, item))
    return {key: change(value) for key, value in item.items()} if isinstance(item, Mapping) else item


def of_lane(item: Any, lane: int) -> Any:
    """Return ``item`` with the values of operands in one lane."""
    if isinstance(item, Value):
        return item.lanes[lane]
    if isinstance(item, Constant):
        return item.tensor
    return in_containers(item, lambda inner: of_lane(inner, lane))


def as_function(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return a function for the name of a method of the first argument."""
    if not isinstance(function, str):
        return function
    return lambda owner, *args, **kwargs: getattr(owner, function)(*args, **kwargs)
