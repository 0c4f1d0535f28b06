"""Lookup of the network module from which an ONNX node was exported."""

from __future__ import annotations

import onnx


def module_path(node: onnx.NodeProto) -> str:
    """Return the dotted path of the module of ``node``, such as ``layer1.0.conv1``; empty for the network itself.

    One exporter stores it in the names of nodes (``/layer1/layer1.0/conv1/Conv``), the other in metadata.
    """
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), None)
    if scopes is not None:
        modules = [scope.strip(" '\"") for scope in scopes.strip("[]").split(",")]
        return modules[-2] if len(modules) > 1 else ""
    path = ""
    for part in node.name.split("/")[1:-1]:
        above = part.rpartition(".")[0]  # a child of a Sequential is named after it
        path = path.removesuffix(above).rstrip(".") if above else path
        path = f"{path}.{part}" if path else part
    return path
