"""Registry of importers: a function for each ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.source_graph import SourceNode

Importer = Callable[[SourceNode, NetworkBuilder], None]
_importers: dict[str, Importer] = {}


def importer(*ops: str) -> Callable[[Importer], Importer]:
    """Register the decorated function as the importer of the ONNX operators ``ops``."""

    def add(function: Importer) -> Importer:
        for op in ops:
            assert op not in _importers, f"two importers for {op}"
            _importers[op] = function
        return function

    return add


def registered() -> Mapping[str, Importer]:
    """Return the importers of all supported operators, by operator."""
    return dict(sorted(_importers.items()))
