"""Parity: figures, limits, and what must not pass."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import pytest
import torch

from edgeprune.errors import DataError, ParityError
from edgeprune.export.parity import Array, check, check_variants, compare, compare_variants
from edgeprune.export.parity_result import Comparison
from edgeprune.model.data import TensorSplit

_REFERENCE = np.array([[1.0, 2.0, -4.0], [3.0, 0.0, 1.0]], np.float32)


def test_parity_report_has_the_expected_figures() -> None:
    got = _REFERENCE.copy()
    got[0, 0] += 0.5
    result = compare(_REFERENCE, got)
    assert result.max_error == pytest.approx(0.5)
    assert result.mean_error == pytest.approx(0.5 / 6)
    assert result.relative_error == pytest.approx(0.5 / 4)
    assert result.top1_agreement == 1.0
    assert result.samples == 2


def test_agreement_is_of_the_first_output_and_errors_are_of_all() -> None:
    flipped = np.roll(_REFERENCE, 1, axis=1)
    other = np.zeros((2, 4))
    assert compare([_REFERENCE, other], [flipped, other]).top1_agreement == 0.0
    result = compare([_REFERENCE, other], [_REFERENCE, other + 9])
    assert (result.top1_agreement, result.max_error) == (1.0, 9.0)
    hidden = compare([_REFERENCE, other], [_REFERENCE, np.full_like(other, np.nan)])
    assert hidden.max_error == np.inf


def test_outputs_with_positions_are_compared_by_class_at_each_position() -> None:
    reference = np.zeros((2, 3, 4, 5), np.float32)
    reference[:, 1] = 1.0
    other = reference.copy()
    other[0, 2, 3, :4] = 2.0
    assert compare(reference, other).top1_agreement == pytest.approx(1 - 4 / 40)


def test_accuracies_of_forms_leave_ignored_labels_out() -> None:
    maps = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = maps.argmax(1)
    labels[0] = -100
    labels[1, 0] = (labels[1, 0] + 1) % 3
    result = compare_variants(
        lambda x: x, {"negated": lambda x: -x}, TensorSplit(maps, labels), samples=5, batch_size=2
    )
    wrong = float((maps.argmin(1) == labels)[:5].sum()) / (4 * 20)
    assert result["negated"].reference_accuracy == pytest.approx(1 - 5 / (4 * 20))
    assert result["negated"].accuracy == pytest.approx(wrong)
    with pytest.raises(DataError, match=r"\(2, 4, 5\)"):
        compare_variants(lambda x: x, {"same": lambda x: x}, TensorSplit(maps, labels[:, 0]), batch_size=2)


def test_error_is_relative_to_the_size_of_its_output() -> None:
    boxes = np.full((2, 4), 500.0)
    result = compare([boxes, _REFERENCE], [boxes, _REFERENCE + 2], classes=False)
    assert result.relative_error == pytest.approx(2 / 4)
    assert result.top1_agreement is None
    check(result, max_error=0.6, top1_agreement=1.0)


def test_limits() -> None:
    exact = compare(_REFERENCE, _REFERENCE)
    check(exact, max_error=1e-9, top1_agreement=1.0)
    off = compare(_REFERENCE, np.roll(_REFERENCE, 1, axis=1))
    with pytest.raises(ParityError, match=r"6.*parity\.max_error.*0\.001.*0\.00%.*2"):
        check(off, max_error=1e-3, top1_agreement=0.99)
    with pytest.raises(ParityError, match=r"parity\.top1_agreement .*50\.00%"):
        check(off, max_error=10, top1_agreement=0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_outputs_fail(value: float) -> None:
    got = _REFERENCE.copy()
    got[1, 2] = value
    for pair in ((_REFERENCE, got), (got, _REFERENCE), (got, got)):
        with pytest.raises(ParityError):
            check(compare(*pair), max_error=1e9, top1_agreement=0.0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ParityError, match=r"\[\(2, 2\)\].*\[\(2, 3\)\]"):
        compare(_REFERENCE, _REFERENCE[:, :2])


def test_parity_error_ends_with_7() -> None:
    assert ParityError.exit_code == 7


@dataclass(frozen=True)
class _Limits:
    max_error: float = 1e-3
    channel_error: float = 0.1
    top1_agreement: float = 0.99
    accuracy_drop: float = 0.005


def _split(samples: int) -> TensorSplit:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(samples, 5, generator=rng)
    return TensorSplit(logits, (logits + torch.randn(samples, 5, generator=rng)).argmax(1))


def _network(samples: Array) -> Array:
    return 2 * samples


def _rounded(samples: Array) -> list[Array]:
    return [np.round(2 * samples)]


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_every_form_is_compared_on_every_sample(batch_size: int) -> None:
    split = _split(100)
    result = compare_variants(_network, {"same": _network, "rounded": _rounded}, split, batch_size=batch_size)
    whole = split.images.numpy()
    labels = split.labels.numpy()
    got, expected = result["rounded"].parity, compare(_network(whole), _rounded(whole))
    assert astuple(got)[:-1] == pytest.approx(astuple(expected)[:-1])
    assert [astuple(one) for one in got.outputs] == [pytest.approx(astuple(one)) for one in expected.outputs]
    assert result["rounded"].accuracy == np.mean(np.round(2 * whole).argmax(1) == labels)
    assert result["rounded"].reference_accuracy == np.mean(whole.argmax(1) == labels)
    assert result["rounded"].drop == result["rounded"].reference_accuracy - result["rounded"].accuracy
    assert (result["same"].parity.max_error, result["same"].drop) == (0.0, 0.0)
    assert result["same"].parity.samples == 100


def test_every_precision_variant_has_separate_limits() -> None:
    result = compare_variants(_network, {"onnx": _network, "int8": _rounded}, _split(100))
    loose = _Limits(max_error=0.5, channel_error=1.0, top1_agreement=0.5, accuracy_drop=1.0)
    check_variants(result, {"onnx": _Limits(), "int8": loose})
    with pytest.raises(ParityError, match=r"(?s): int8: output 0 .*parity\.top1_agreement") as caught:
        check_variants(result, {"onnx": _Limits(), "int8": _Limits()})
    assert "onnx:" not in str(caught.value)


def test_lost_accuracy_above_the_limit_fails() -> None:
    exact = compare(_REFERENCE, _REFERENCE)
    results = {"int8": Comparison(exact, accuracy=0.89, reference_accuracy=0.9)}
    check_variants(results, {"int8": _Limits(accuracy_drop=0.01)})
    with pytest.raises(ParityError, match=r"89\.00%.*90\.00%.*parity\.accuracy_drop.*0\.50%"):
        check_variants(results, {"int8": _Limits()})


def test_empty_split_is_a_data_error() -> None:
    with pytest.raises(DataError):
        compare_variants(_network, {"onnx": _network}, _split(0))


def test_every_output_has_its_own_error_and_worst_channel() -> None:
    reference = np.ones((2, 3, 4, 4)) * np.array([100.0, 1.0, 0.0])[:, None, None]
    got = reference.copy()
    got[1, 1, 2, 2] += 0.5
    outputs = compare([reference, _REFERENCE], [got, _REFERENCE], classes=False).outputs
    assert [output.index for output in outputs] == [0, 1]
    assert (outputs[0].channel, outputs[0].dimension) == (1, 1)
    assert outputs[0].channel_error == pytest.approx(0.5)
    assert outputs[0].relative_error == pytest.approx(0.005)
    assert (outputs[1].max_error, outputs[1].channel_error) == (0.0, 0.0)
    assert not outputs[1].missed(max_error=1e-9, channel_error=1e-9)
    assert len(outputs[0].missed(max_error=1e-3, channel_error=0.1)) == 2


def test_equal_infinities_are_no_error_and_shapes_without_channels_have_none() -> None:
    masked = np.array([[1.0, -np.inf], [-np.inf, 2.0]])
    result = compare(masked, masked + 0.5, classes=False)
    assert (result.max_error, result.relative_error) == (0.5, 0.25)
    assert compare(np.ones(3), np.ones(3), classes=False).outputs[0].dimension == 0
    assert compare(np.ones((0, 3)), np.ones((0, 3)), classes=False).max_error == 0
