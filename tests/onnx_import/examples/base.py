"""Registry of the examples of importers."""

from __future__ import annotations

from tests.conformance.lowerings.base import ExampleRegistry

_REGISTRY = ExampleRegistry()
example, examples = _REGISTRY.example, _REGISTRY.examples
