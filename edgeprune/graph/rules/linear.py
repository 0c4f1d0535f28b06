"""Linear layers and matrix products of any rank."""

from __future__ import annotations

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register

_FIXED = "multiplied with data whose size is fixed"


@register
class Linear(Rule):
    """``input`` (..., in_features), ``weight`` (out_features, in_features)."""

    ops = ("aten.linear",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        inputs, weight, bias = call.tensor("input"), call.tensor("weight"), call.labels("bias")
        last = len(inputs.shape) - 1
        x = coupling.resolve(inputs, reason=_FIXED)
        w = coupling.resolve(weight, reason=_FIXED)
        into = coupling.tie(x.get(last), w.get(1), reason="a linear layer reads data whose features are fixed")
        coupling.consume(call.node, "input", last, into)
        out = w.get(0)
        if bias is not None:
            out = coupling.tie(out, bias.vector(0), reason="a bias of fixed size")
        if out is not None:
            coupling.produced.append(out)
        outer = [x.get(dim) for dim in range(last)]
        coupling.multiply(call.node, (*inputs.shape[:-1], *weight.shape), (*outer, w.get(0), w.get(1)))
        return Labels.of(call.out_shape, {**dict(enumerate(outer)), len(call.out_shape) - 1: out})


@register
class Bilinear(Rule):
    """``input1`` (..., in1), ``input2`` (..., in2), ``weight`` (out, in1, in2)."""

    ops = ("aten.bilinear",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        weight, bias = call.tensor("weight"), call.labels("bias")
        last = len(call.out_shape) - 1
        w = coupling.resolve(weight, reason=_FIXED)
        left, right = (coupling.resolve(call.tensor(name), reason=_FIXED) for name in ("input1", "input2"))
        into = [coupling.tie(x.get(last), w.get(dim), reason=_FIXED) for dim, x in enumerate((left, right), start=1)]
        for name, features in zip(("input1", "input2"), into, strict=True):
            coupling.consume(call.node, name, last, features)
        outer = [coupling.tie(left.get(dim), right.get(dim), reason=_FIXED) for dim in range(last)]
        out = w.get(0)
        if bias is not None:
            out = coupling.tie(out, bias.vector(0), reason="a bias of fixed size")
        if out is not None:
            coupling.produced.append(out)
        coupling.multiply(call.node, (*call.out_shape[:-1], *weight.shape), (*outer, out, *into))
        return Labels.of(call.out_shape, {**dict(enumerate(outer)), last: out})


@register
class MatrixProduct(Rule):
    """``(..., m, k) @ (..., k, n)`` with broadcast leading dimensions, and an optional matrix that is added."""

    ops = ("aten.matmul", "aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm", "aten.mv", "aten.dot", "aten.vdot")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        names = [name for name in call.arguments if name in _FACTORS]
        added = call.labels("self") if "add" in call.name else None
        left_name, right_name = names[-2:]
        left, right = call.tensor(left_name), call.tensor(right_name)
        m, k = len(left.shape) - 2, len(left.shape) - 1
        k_right, n = max(len(right.shape) - 2, 0), len(right.shape) - 1
        a = coupling.resolve(
            left, reason=_FIXED, preferred=[k] if _sums_channels(coupling, right, k_right, left) else ()
        )
        b = coupling.resolve(
            right, reason=_FIXED, preferred=[k_right] if _sums_channels(coupling, left, k, right) else ()
        )
        shared = coupling.tie(a.get(k), b.get(k_right), reason=_FIXED)
        coupling.consume(call.node, left_name, k, shared)

        rank = len(call.out_shape)
        batch = max(len(left.shape), len(right.shape)) - 2
        vectors = {}
        for dim in range(max(batch, 0)):
            of_left, of_right = dim - batch + m, dim - batch + k_right
            pair = [
                vectors_of.get(index)
                for labels, vectors_of, index in ((left, a, of_left), (right, b, of_right))
                if index >= 0 and labels.shape[index] > 1
            ]
            vectors[dim] = coupling.tie(*pair, reason=_FIXED)
        if m >= 0:
            vectors[max(batch, 0)] = a.get(m)
        if len(right.shape) > 1 and rank:
            vectors[rank - 1] = b.get(n)
        if added is not None:
            for dim, ids in coupling.resolve(added, reason=_FIXED).items():
                of_out = dim - len(added.shape) + rank
                vectors[of_out] = coupling.tie(vectors.get(of_out), ids, reason=_FIXED)
        for side in (a.get(m), b.get(n)):
            if side is not None:
                coupling.produced.append(side)
        sizes = (*call.out_shape, left.shape[-1])
        coupling.multiply(call.node, sizes, [*(vectors.get(dim) for dim in range(rank)), shared])
        return Labels.of(call.out_shape, {dim: ids for dim, ids in vectors.items() if dim < rank})


def _sums_channels(coupling: Coupling, factor: Labels, dim: int, other: Labels) -> bool:
    """Return whether ``factor`` has channels of a layer along ``dim``, and the ``other`` factor has split ones."""
    return any(len(track.dims) > 1 for track in other.tracks) and dim in coupling.channels_of_layers(factor)


_FACTORS = ("self", "other", "mat1", "mat2", "batch1", "batch2", "vec", "tensor")


@register
class Einsum(Rule):
    """``torch.einsum``: indices with the same letter are tied, and letters that the output lacks are summed over."""

    ops = ("aten.einsum",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        terms, _, result = call["equation"].replace(" ", "").partition("->")
        operands = call.tensors
        letters = terms.split(",")
        if "." in terms or any(len(set(term)) < len(term) for term in letters):
            coupling.multiply(call.node, (), (), call.macs)
            for labels in operands:
                coupling.freeze_all(labels, f"einsum {call['equation']} has an ellipsis or a repeated index")
            return Labels(call.out_shape)
        if not result and "->" not in call["equation"]:
            joined = "".join(letters)
            result = "".join(sorted(letter for letter in set(joined) if joined.count(letter) == 1))
        by_letter: dict[str, Tensor | None] = {}
        sizes: dict[str, int] = {}
        holders: dict[str, int] = {}
        for index, (term, labels) in enumerate(zip(letters, operands, strict=True)):
            vectors = coupling.resolve(labels, reason=_FIXED)
            for dim, letter in enumerate(term):
                sizes[letter] = labels.shape[dim]
                holders.setdefault(letter, index)
                previous = by_letter.get(letter, vectors.get(dim))
                by_letter[letter] = coupling.tie(previous, vectors.get(dim), reason=_FIXED)
        for letter in sorted(set(by_letter) - set(result)):
            dim = letters[holders[letter]].index(letter)
            coupling.consume(call.node, f"tensors.{holders[letter]}", dim, by_letter[letter])
        for ids in (by_letter[letter] for letter in result):
            if ids is not None:
                coupling.produced.append(ids)
        if len(operands) > 1:
            coupling.multiply(call.node, [sizes[letter] for letter in sizes], [by_letter[letter] for letter in sizes])
        return Labels.of(call.out_shape, {dim: by_letter[letter] for dim, letter in enumerate(result)})
