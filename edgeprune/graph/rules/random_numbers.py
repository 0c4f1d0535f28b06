"""Operators that draw random numbers. Each element depends only on the arguments at the same position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Keep, Rule, aten, register
from edgeprune.graph.rules.pointwise import Pointwise, join
from edgeprune.graph.rules.tensor_creation import FilledTensor


@register
class RandomDraw(Pointwise):
    """One draw for each element of the arguments: parameters of the distribution, or only the shape (``rand_like``)."""

    ops = aten(
        "bernoulli cauchy exponential geometric log_normal normal_functional poisson rand_like randint_like randn_like "
        "random rrelu rrelu_with_noise uniform _standard_gamma"
    )


@register
class RandomDrawWithMask(Rule):
    """Operators that also return the drawn values: a mask or a slope for each element."""

    ops = aten("native_dropout rrelu_with_noise_functional")

    def couple(self, call: Call, coupling: Coupling) -> list[Labels]:
        labels = join(coupling, call.tensors, call.out_shape)
        return [labels, labels]


@register
class Normal(Rule):
    """``normal`` with tensors for mean or standard deviation, in place, or of a given size."""

    ops = aten("normal")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return (FilledTensor() if "size" in call.arguments else RandomDraw()).couple(call, coupling)

    def resize(self, call: Call, keep: Mapping[str, Keep], out: Sequence[Keep]) -> Mapping[str, Any]:
        return FilledTensor().resize(call, keep, out) if "size" in call.arguments else {}
