"""Lowering of Einsum to sums, and products of matrices that are batched over the letters that all terms have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.matmul_ops import fully_connected, matrix_product
from edgeprune.tflite.conversion.ops.view_operators import elementwise, reduced, sliced

_FIRST_OF_ELLIPSIS = 0x100


@dataclass(frozen=True)
class _Term:
    """Operand of the equation: a view with a letter for each dimension. No letter is repeated."""

    view: LayoutView
    letters: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.letters, self.view.shape, strict=True))

    def ordered(self, letters: Sequence[str]) -> LayoutView:
        return self.view.transposed([self.letters.index(letter) for letter in letters])


@lowering("Einsum")
def einsum(node: Node, low: Lowering) -> None:
    """Lower Einsum. Terms are multiplied from left to right, and a letter is summed over with its last term."""
    views = [low.view(name) for name in node.inputs]
    equation = node.get("equation").replace(" ", "")
    letters, result_letters = _letters(equation, [view.rank for view in views])
    shapes = [dict(zip(term, view.shape, strict=False)) for term, view in zip(letters, views, strict=True)]
    largest = {letter: max(shape.get(letter, 1) for shape in shapes) for term in letters for letter in term}
    terms = [_without_repeats(low, view, term, largest) for view, term in zip(views, letters, strict=True)]
    total = _summed(low, terms[0], _needed(result_letters, terms[1:]))
    for index, term in enumerate(terms[1:], start=1):
        needed = _needed(result_letters, terms[index + 1 :])
        left = _summed(low, total, needed | set(term.letters))
        total = _multiplied(low, left, _summed(low, term, needed | set(left.letters)), needed)
    missing = [letter for letter in result_letters if letter not in total.letters]  # of size 1
    whole = low.reshaped(total.view, (*total.view.shape, *(1 for _ in missing)))
    low.write(node.outputs[0], _Term(whole, total.letters + "".join(missing)).ordered(result_letters))


def _letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the letters of each term and of the result, with letters of their own for an ellipsis."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    ellipsis = "".join(chr(_FIRST_OF_ELLIPSIS + index) for index in range(max(widths)))
    expanded = [
        term.replace("...", ellipsis[len(ellipsis) - width :]) for term, width in zip(terms, widths, strict=True)
    ]
    if not arrow:
        named = left.replace("...", "").replace(",", "")
        result = "..." + "".join(sorted(letter for letter in set(named) if named.count(letter) == 1))
    return expanded, result.replace("...", ellipsis)


def _without_repeats(low: Lowering, view: LayoutView, letters: str, sizes: dict[str, int]) -> _Term:
    """Reduce repeated letters to the diagonal, and drop dimensions of size 1 that broadcast."""
    for letter in sorted({letter for letter in letters if letters.count(letter) > 1}):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            others = [index for index in range(len(letters)) if index not in (first, second)]
            size, shape = view.shape[first], tuple(view.shape[index] for index in others)
            flat = low.reshaped(view.transposed([first, second, *others]), (size * size, *shape))
            view = sliced(low, flat, {0: range(0, size * size, size + 1)})
            letters = letter + "".join(letters[index] for index in others)
    remaining = [index for index, letter in enumerate(letters) if view.shape[index] == sizes[letter]]
    return _Term(
        low.reshaped(view, [view.shape[index] for index in remaining]),
        "".join(letters[index] for index in remaining),
    )


def _needed(result: str, terms: Sequence[_Term]) -> set[str]:
    return {*result, *(letter for term in terms for letter in term.letters)}


def _summed(low: Lowering, term: _Term, needed: Collection[str]) -> _Term:
    """Sum over the letters that are not needed."""
    axes = [index for index, letter in enumerate(term.letters) if letter not in needed]
    if not axes:
        return term
    remaining = [index for index in range(len(term.letters)) if index not in axes]
    view = reduced(low, "SUM", term.view, axes)
    return _Term(
        low.reshaped(view, [view.shape[index] for index in remaining]),
        "".join(term.letters[index] for index in remaining),
    )


def _multiplied(low: Lowering, left: _Term, right: _Term, needed: Collection[str]) -> _Term:
    """Multiply two terms, and sum over the letters of both that are not needed."""
    if left.view.tensor.is_constant:
        left, right = right, left
    both = [letter for letter in left.letters if letter in right.letters]
    batch = [letter for letter in both if letter in needed]
    inner = [letter for letter in both if letter not in needed]
    rows = [letter for letter in left.letters if letter not in both]
    columns = [letter for letter in right.letters if letter not in both]
    sizes = {**left.sizes, **right.sizes}

    def matrices(term: _Term, *dims: list[str]) -> LayoutView:
        leading = [prod(sizes[letter] for letter in batch)] if batch else []
        shape = (*leading, *(prod(sizes[letter] for letter in part) for part in dims))
        return low.reshaped(term.ordered([letter for part in (batch, *dims) for letter in part]), shape)

    weights = right.view.tensor.data
    if not inner:
        product = elementwise(low, "MUL", matrices(left, rows, []), matrices(right, [], columns))
    elif weights is not None and not batch:
        matrix = low.arranged(matrices(right, inner, columns), (0, 1)).data
        assert matrix is not None
        product = fully_connected(low, matrices(left, rows, inner), matrix, None)
    else:
        product = matrix_product(low, matrices(left, rows, inner), matrices(right, inner, columns))
    letters = [*batch, *rows, *columns]
    return _Term(low.reshaped(product, [sizes[letter] for letter in letters]), "".join(letters))
