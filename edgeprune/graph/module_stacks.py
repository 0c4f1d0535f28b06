"""Paths of modules in the metadata of a captured graph, where the forward slices a container of modules."""

from __future__ import annotations

import re
from typing import Any

from torch import fx, nn

_SLICE = re.compile(r"slice\((None|-?\d+), (None|-?\d+), (None|-?\d+)\)")


def name_sliced_modules(captured: fx.GraphModule, model: nn.Module) -> None:
    """Give each call of a module from ``layers[:-1]`` the path that the module has in ``model``, in place.

    The exporter writes ``layers.slice(None, -1, None).0`` where a forward iterates over a slice of a container. A slice
    itself is not a module of the network; its path becomes that of its container.
    """
    names = {id(module): name for name, module in model.named_modules()}
    for node in captured.graph.nodes:
        stack = node.meta.get("nn_module_stack", {})
        if any("slice(" in str(path) for path, _ in stack.values()):
            node.meta["nn_module_stack"] = {
                key: (_resolve(str(path), model, names), kind) for key, (path, kind) in stack.items()
            }


def _resolve(path: str, model: nn.Module, names: dict[int, str]) -> str:
    module: Any = model
    name = ""
    for part in path.split(".") if "slice(" in path else ():
        bounds = _SLICE.fullmatch(part)
        if bounds is not None:
            module = module[slice(*(None if bound == "None" else int(bound) for bound in bounds.groups()))]
        else:
            module = module.get_submodule(part.partition("@")[0])
            name = names[id(module)]
    return name or path
