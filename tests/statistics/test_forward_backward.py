"""What passes tell is what flows: activations, and gradients by gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune.errors import DataError, InputError
from edgeprune.graph import Units, capture, units_of
from edgeprune.graph.consumer_interpreter import ConsumerInterpreter
from edgeprune.statistics import Samples, Site, backward, forward, parameter_gradients, sites_of
from edgeprune.statistics.forward_backward import batches
from tests.networks.collection import make


def _square(outputs: Any, _labels: Tensor) -> Tensor:
    return outputs.square().mean()  # type: ignore[no-any-return]


def _units(name: str) -> tuple[nn.Module, Units, Tensor]:
    model, example = make(name)
    assert isinstance(example, tuple)
    return model, units_of(capture(model, example)), example[0]


class _Gated(ConsumerInterpreter):
    """The network with the gate of one unit set at every consumer."""

    def __init__(self, units: Units, unit: int, gate: float) -> None:
        super().__init__(units)
        self._gate = {
            id(site.consumption): torch.where(site.units == unit, torch.tensor(gate, dtype=torch.float64), 1.0)
            for site in sites_of(units)
        }

    def consume(self, _node: Any, consumption: Any, value: Tensor) -> Tensor:
        gate = self._gate.get(id(consumption))
        if gate is None:
            return value
        return value * gate.reshape([-1 if dim == consumption.dim else 1 for dim in range(value.ndim)])


@pytest.mark.long
@pytest.mark.parametrize("name", ["zero-padded-residual", "concat-into-grouped", "channel-shuffle", "hard-coded-sizes"])
def test_gate_gradients_are_derivatives(name: str) -> None:
    """Against central differences in float64, for units of every group, over all their consumers."""
    model, example = make(name)
    model = model.double()
    inputs = torch.randn(2, *example[0].shape[1:], generator=torch.Generator().manual_seed(0)).double()
    units = units_of(capture(model, (inputs,)))
    result = torch.zeros(len(units), dtype=torch.float64)

    def seen(site: Site, value: Tensor, gradient: Tensor) -> None:
        site.add((value * gradient).sum((0, 2)), result)

    backward(units, Samples([(inputs, torch.zeros(2))], loss=_square), seen, lambda _: None)
    for group in units.groups:
        for unit in (group.start, group.stop - 1):
            losses = []
            for gate in (1 + 1e-4, 1 - 1e-4):
                with torch.no_grad():
                    outputs = _Gated(units, unit, gate).run(inputs, enable_io_processing=False)
                losses.append(float(outputs[0].square().mean()))
            assert float(result[unit]) == pytest.approx((losses[0] - losses[1]) / 2e-4, rel=1e-4, abs=1e-7)


def test_parameter_gradients_are_those_of_autograd() -> None:
    model, units, inputs = _units("zero-padded-residual")
    total: dict[str, Tensor] = {}
    parameter_gradients(
        units, Samples([(inputs, torch.zeros(len(inputs)))], loss=_square), lambda result, _: total.update(result)
    )
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(_square(model(inputs), inputs), parameters), strict=True):
        torch.testing.assert_close(total[name], gradient, atol=1e-6, rtol=1e-4)
    assert all(parameter.grad is None for parameter in parameters)


def test_values_come_sample_by_sample() -> None:
    _, units, inputs = _units("tokens-and-positions")
    batch = (
        torch.randint(0, 2, (5, *inputs.shape[1:]))
        if not inputs.is_floating_point()
        else torch.randn(5, *inputs.shape[1:])
    )
    shapes = set()
    forward(
        units,
        Samples([(batch, torch.zeros(5))]),
        lambda site, value: shapes.add((len(value), value.shape[1] == len(site.units))),
    )
    assert (5, True) in shapes
    assert all(fits for _, fits in shapes)


def test_a_limit_ends_the_reading() -> None:
    samples = Samples([(torch.zeros(4, 3), torch.zeros(4))] * 10, limit=9)
    assert sum(len(labels) for _, _, labels in samples) == 12


def test_labels_may_have_any_structure_that_the_loss_takes() -> None:
    _, units, _ = _units("zero-padded-residual")
    inputs = torch.randn(3, *units.coordinates.program.args[0].shape[1:])
    labels = {"boxes": [torch.zeros(5, 4), torch.zeros(2, 4)], "names": ["one", "two", "three"]}
    calls = []

    def loss(outputs: Tensor, targets: Any) -> Tensor:
        calls.append(targets)
        return outputs.square().mean()

    counts: list[int] = []
    backward(units, Samples([(inputs, labels)] * 3, loss=loss, limit=4), lambda *_: None, counts.append)
    assert counts == [3, 3]
    assert all([box.shape for box in targets["boxes"]] == [(5, 4), (2, 4)] for targets in calls)


class _FixedBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(3, 6, 1), nn.Conv1d(6, 2, 1)
        self.register_buffer("noise", torch.zeros(2, 6, 4))

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.last(self.first(x) + self.noise)
        return answers


def test_labels_are_split_with_inputs_for_a_fixed_batch_size() -> None:
    units = units_of(capture(_FixedBatch(), (torch.zeros(2, 3, 4),)))
    inputs, rows = torch.zeros(5, 3, 4), torch.arange(5)
    parts = list(batches(units, Samples([(inputs, {"row": rows})])))
    assert [(part["row"].tolist(), count) for _, part, count in parts] == [([0, 1], 2), ([2, 3], 2)]
    whole = {"boxes": torch.zeros(9, 4), "row": rows[:2]}
    ((_, same, _),) = batches(units, Samples([(inputs[:2], whole)]))
    assert same["boxes"].shape == (9, 4)
    with pytest.raises(DataError, match=r"batch of 5 .*\(9, 4\)"):
        list(batches(units, Samples([(inputs, {**whole, "row": rows})])))


def _once() -> Iterator[Any]:
    yield torch.zeros(1, 3), torch.zeros(1)


_GOOD = (torch.zeros(2, 3), torch.zeros(2))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda: Samples(_once()), "generator"),
        (lambda: Samples(3), "got int"),  # type: ignore[arg-type]
        (lambda: list(Samples([])), "no samples"),
        (lambda: list(Samples([torch.zeros(3)])), "batch .*Tensor"),
        (lambda: list(Samples([(torch.zeros(3), 1)])), "batch .*label"),
    ],
)
def test_invalid_data_is_refused(result: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        result()


def test_incompatible_loss_is_refused() -> None:
    _, units, inputs = _units("zero-padded-residual")
    for loss, text in (
        (lambda *_: 1.0, "loss: got float"),
        (lambda a, b: a @ b.T @ a @ a, "data: .*RuntimeError"),
    ):
        with pytest.raises(InputError, match=text):
            backward(
                units, Samples([(inputs, torch.zeros(len(inputs), 7))], loss=loss), lambda *_: None, lambda _: None
            )


def test_inputs_of_another_shape_are_refused() -> None:
    _, units, inputs = _units("zero-padded-residual")
    with pytest.raises(DataError, match=r"data: got inputs of shape "):
        forward(units, Samples([(torch.cat([inputs, inputs], -1), torch.zeros(len(inputs)))]), lambda *_: None)
