"""Parity: figures, limits, and what must not pass."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.errors import ParityError
from edgeprune.export.parity import check, compare

_REFERENCE = np.array([[1.0, 2.0, -4.0], [3.0, 0.0, 1.0]], np.float32)


def test_figures() -> None:
    got = _REFERENCE.copy()
    got[0, 0] += 0.5
    found = compare(_REFERENCE, got)
    assert found.max_error == pytest.approx(0.5)
    assert found.mean_error == pytest.approx(0.5 / 6)
    assert found.relative_error == pytest.approx(0.5 / 4)
    assert found.top1_agreement == 1.0
    assert found.samples == 2


def test_agreement_is_of_the_first_output_and_errors_are_of_all() -> None:
    flipped = np.roll(_REFERENCE, 1, axis=1)
    other = np.zeros((2, 4))
    assert compare([_REFERENCE, other], [flipped, other]).top1_agreement == 0.0
    found = compare([_REFERENCE, other], [_REFERENCE, other + 9])
    assert (found.top1_agreement, found.max_error) == (1.0, 9.0)
    hidden = compare([_REFERENCE, other], [_REFERENCE, np.full_like(other, np.nan)])
    assert hidden.max_error == np.inf


def test_an_error_counts_by_the_size_of_its_own_output() -> None:
    boxes = np.full((2, 4), 500.0)
    found = compare([boxes, _REFERENCE], [boxes, _REFERENCE + 2], classes=False)
    assert found.relative_error == pytest.approx(2 / 4)
    assert found.top1_agreement is None
    check(found, max_error=0.6, top1_agreement=1.0)


def test_limits() -> None:
    exact = compare(_REFERENCE, _REFERENCE)
    check(exact, max_error=1e-9, top1_agreement=1.0)
    off = compare(_REFERENCE, np.roll(_REFERENCE, 1, axis=1))
    with pytest.raises(ParityError, match=r"off by 6.*parity\.max_error allows 0\.001; 0\.00% of 2 samples"):
        check(off, max_error=1e-3, top1_agreement=0.99)
    with pytest.raises(ParityError, match="top1_agreement asks for 50"):
        check(off, max_error=10, top1_agreement=0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_never_passes(value: float) -> None:
    got = _REFERENCE.copy()
    got[1, 2] = value
    for pair in ((_REFERENCE, got), (got, _REFERENCE), (got, got)):
        with pytest.raises(ParityError):
            check(compare(*pair), max_error=1e9, top1_agreement=0.0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ParityError, match=r"shape \[\(2, 2\)\], the network \[\(2, 3\)\]"):
        compare(_REFERENCE, _REFERENCE[:, :2])


def test_parity_error_ends_with_7() -> None:
    assert ParityError.exit_code == 7
