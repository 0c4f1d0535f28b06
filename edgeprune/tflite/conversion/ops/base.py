"""Registry of lowerings: a function for each ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node

Lower = Callable[[Node, Lowering], None]
Layout = Literal["channels_last", "any", "onnx"]


@dataclass(frozen=True)
class LoweringRule:
    """Lowering of an operator.

    Attributes:
        lower: Function that emits the operator and sets the views of its outputs.
        layout: Required storage of its input: dimension 1 last, any, or the order of ONNX. It determines the order in
            which an input of the model is stored.
    """

    lower: Lower
    layout: Layout


_rules: dict[str, LoweringRule] = {}


def lowering(*ops: str, layout: Layout = "onnx") -> Callable[[Lower], Lower]:
    """Register the decorated function as the lowering of the ONNX operators ``ops``."""

    def add(lower: Lower) -> Lower:
        for op in ops:
            assert op not in _rules, f"two lowerings for {op}"
            _rules[op] = LoweringRule(lower, layout)
        return lower

    return add


def registered() -> Mapping[str, LoweringRule]:
    """Return the lowerings of all supported operators, by operator."""
    return dict(sorted(_rules.items()))
