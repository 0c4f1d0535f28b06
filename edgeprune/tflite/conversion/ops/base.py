"""The registry of lowerings: a function for each ONNX operator, found by importing this package."""

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
    """How an operator is lowered.

    Attributes:
        lower: Emits it, and says where its outputs lie.
        layout: What it asks of its input: dimension 1 stored last, nothing, or the order of ONNX. It decides in which
            order an input of the model is stored.
    """

    lower: Lower
    layout: Layout


_rules: dict[str, LoweringRule] = {}


def lowering(*ops: str, layout: Layout = "onnx") -> Callable[[Lower], Lower]:
    """Decorator: the function lowers the ONNX operators ``ops``."""

    def add(lower: Lower) -> Lower:
        for op in ops:
            assert op not in _rules, f"two lowerings for {op}"
            _rules[op] = LoweringRule(lower, layout)
        return lower

    return add


def registered() -> Mapping[str, LoweringRule]:
    """All operators that can be lowered."""
    return dict(sorted(_rules.items()))
