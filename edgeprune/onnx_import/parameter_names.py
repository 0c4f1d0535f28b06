"""Names of modules and tensors, derived from the names in an ONNX file so that a state dict is recognizable."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from torch import Tensor, fx, nn

_ANONYMOUS = re.compile(r"(onnx::.*|val_\d+|_?\d+|)")
"""Names that exporters number: those of transposed or folded weights, and of values without a name."""
_LEAF = re.compile(r"[._/](weight|bias|running_mean|running_var|kernel|gamma|beta|w|b|W|B)(_?\d+)?$")
_NOT_IN_IDENTIFIERS = re.compile(r"[^0-9A-Za-z_]+")
_FORBIDDEN = re.compile(r"[^0-9A-Za-z_.]+")


class ParameterNames:
    """Unique names in the module ``root``."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root

    def layer(self, module: str, op: str, *origins: str) -> str:
        """Return the free path of a layer.

        Args:
            module: Path of the module in the exported network; empty if the file does not state it.
            op: Operator, for a layer without any name.
            origins: Names of its weights, the most important first.
        """
        for origin in origins:
            if not is_anonymous(origin):
                leaf = _LEAF.search(origin)
                return self._free(_path(origin[: leaf.start()] if leaf else origin) or op.lower())
        return self._free(_path(module) or op.lower())

    def tensor(self, module: str, op: str, origin: str) -> str:
        """Return the free name of a single tensor, such as a position embedding."""
        if not is_anonymous(origin):
            return self._free(_path(origin) or op.lower(), tensor=True)
        return self._free(f"{_path(module)}.{op.lower()}" if module else f"{op.lower()}_constant", tensor=True)

    def _free(self, path: str, *, tensor: bool = False) -> str:
        candidate, number = path, 1
        while not self._is_free(candidate, tensor=tensor):
            number += 1
            candidate = f"{path}_{number}"
        return candidate

    def _is_free(self, path: str, *, tensor: bool) -> bool:
        place: object = self._root
        *parents, leaf = path.split(".")
        for name in parents:
            place = getattr(place, name, None)
            if place is None:
                return True
            if not isinstance(place, nn.Module):
                return False
        existing = getattr(place, leaf, None)
        if existing is None or tensor:
            return existing is None
        # A bare module that only contains other modules may become a layer.
        return (
            type(existing) is nn.Module
            and not list(existing.parameters(recurse=False))
            and not list(existing.buffers(recurse=False))
        )


def attach(root: nn.Module, path: str, item: nn.Module | Tensor) -> None:
    """Register a module, parameter or buffer at ``path``, and create the modules around it."""
    *parents, leaf = path.split(".")
    for name in parents:
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = getattr(root, name)
    if isinstance(item, nn.Module):
        for name, child in getattr(root, leaf, nn.Module()).named_children():
            item.add_module(name, child)
        root.add_module(leaf, item)
    elif isinstance(item, nn.Parameter):
        root.register_parameter(leaf, item)
    else:
        root.register_buffer(leaf, item)


def argument_names(names: Sequence[str]) -> list[str]:
    """Return unique names of arguments of a function, derived from ``names``."""
    arguments: list[str] = []
    for name in names:
        base = _NOT_IN_IDENTIFIERS.sub("_", name).strip("_") or "input"
        base = f"input_{base}" if base[0].isdigit() or keyword.iskeyword(base) else base
        count = sum(argument == base or argument.startswith(f"{base}__") for argument in arguments)
        arguments.append(f"{base}__{count}" if count else base)
    return arguments


def is_anonymous(origin: str) -> bool:
    """Return whether an exporter numbered the name."""
    return _ANONYMOUS.fullmatch(origin) is not None


def _path(name: str) -> str:
    """Return ``name`` as a path of attribute names."""
    parts = [part.strip("_") for part in _FORBIDDEN.sub("_", name).split(".")]
    return ".".join(f"{part}_" if hasattr(fx.GraphModule, part) else part for part in parts if part)
