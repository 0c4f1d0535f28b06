"""Forward passes, and forward and backward passes, over the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from edgeprune.errors import DataError, EdgePruneError, InputError
from edgeprune.graph import Units
from edgeprune.graph.consumer_interpreter import ConsumerInterpreter
from edgeprune.graph.coupling import Consumption
from edgeprune.graph.graph_operators import is_operator_call, mutates, operator_name
from edgeprune.graph.memory_format import is_channels_last_safe
from edgeprune.statistics.consumer_sites import Site, argument_node, sites_of
from edgeprune.statistics.sample_batches import Samples, samples_in

SiteCallback = Callable[[Site, Tensor], None]
"""Callback with the value, (samples, n, positions), that a site consumes."""
GradientCallback = Callable[[Site, Tensor, Tensor], None]
"""Callback with that value and the gradient of the mean loss by it, both (samples, n, positions)."""


def forward(
    units: Units,
    samples: Samples,
    callback: SiteCallback,
    *,
    labels: Callable[[Any], None] | None = None,
) -> None:
    """Run the dense program over ``samples`` without gradients, and pass the values of each site to ``callback``.

    Args:
        units: Units of the program.
        samples: Samples to run. Labels are read, but not required.
        callback: Callback for each site, called in the order of the program.
        labels: Callback with the labels of each batch, called before the batch. Defaults to none.
    """
    run = _Forward(units, callback)
    for inputs, labelled, count in batches(units, samples):
        if labels is not None:
            labels(labelled)
        run.samples = count
        with torch.no_grad():
            run.run(*inputs, enable_io_processing=False)


def backward(units: Units, samples: Samples, callback: GradientCallback, done: Callable[[int], None]) -> float:
    """Run the dense program over ``samples``, and pass the gradients of the loss by the values of sites on.

    Gradients by weights are not computed.

    Args:
        units: Units of the program.
        samples: Samples to run.
        callback: Callback for each site.
        done: Callback with the size of each batch, called after the batch.

    Returns:
        Mean loss.

    Raises:
        InputError: The loss fails on the outputs of the network, or is not a scalar.
    """
    run = _Backward(units, callback)
    total = read = 0.0
    for inputs, labels, count in batches(units, samples):
        run.samples = count
        with torch.enable_grad():
            loss = loss_of(units, samples, run.run(*inputs, enable_io_processing=False), labels)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
        done(count)
        total, read = total + float(loss.detach()) * count, read + count
    return total / read


def parameter_gradients(units: Units, samples: Samples, callback: Callable[[Mapping[str, Tensor], int], None]) -> None:
    """Pass the gradients of the mean loss of each batch by the parameters, and the batch size, to ``callback``."""
    for inputs, labels, count in batches(units, samples):
        run = _Parameters(units.coordinates.program.module)
        with torch.enable_grad():
            loss = loss_of(units, samples, run.run(*inputs, enable_io_processing=False), labels)
            names = list(run.leaves)
            gradients = torch.autograd.grad(loss, [run.leaves[name] for name in names], allow_unused=True)
        callback({name: grad for name, grad in zip(names, gradients, strict=True) if grad is not None}, count)


class _Forward(ConsumerInterpreter):
    def __init__(self, units: Units, callback: SiteCallback) -> None:
        super().__init__(units)
        self.callback = callback
        self.samples = 1
        self._sites = {id(site.consumption): site for site in sites_of(units)}

    def consume(self, _node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        site = self._sites.get(id(consumption))
        if site is not None:
            self.callback(site, site.per_sample(value, self.samples))
        return value


class _Backward(ConsumerInterpreter):
    def __init__(self, units: Units, callback: GradientCallback) -> None:
        super().__init__(units)
        self.callback = callback
        self.samples = 1
        self._sites = {id(site.consumption): site for site in sites_of(units)}
        self._changed_later = {
            id(site.consumption) for site in self._sites.values() if any(map(mutates, argument_node(site).users))
        }

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.detach() if isinstance(value, Tensor) else value

    def consume(self, _node: fx.Node, consumption: Consumption, value: Tensor) -> Tensor:
        site = self._sites.get(id(consumption))
        if site is None or not value.is_floating_point():
            return value
        if not value.requires_grad:
            value = value.detach().requires_grad_()
        # A tensor of this consumer's own: its gradient is what flows back through here, not through others.
        own = value.clone() if id(consumption) in self._changed_later else value.view_as(value)
        consumed, samples = own.detach(), self.samples

        def report_gradient(gradient: Tensor) -> None:
            self.callback(site, site.per_sample(consumed, samples), site.per_sample(gradient, samples))

        own.register_hook(report_gradient)  # type: ignore[no-untyped-call]
        return own


class _Parameters(fx.Interpreter):
    """Interpreter whose parameters are separate leaves, so that the parameters of the network get no gradients."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.leaves: dict[str, Tensor] = {}
        self._leaf_of: dict[int, Tensor] = {}

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        if not isinstance(value, torch.nn.Parameter) or not value.is_floating_point():
            return value.detach() if isinstance(value, Tensor) else value
        if id(value) not in self._leaf_of:
            self._leaf_of[id(value)] = self.leaves[str(target)] = value.detach().requires_grad_()
        return self._leaf_of[id(value)]


def batches(units: Units, samples: Samples) -> Iterator[tuple[list[Any], Any, int]]:
    """Yield flat inputs, labels and size of each batch, on the device of the network.

    If the program fixes the batch size, batches are split to that size, and a smaller remainder is skipped.
    """
    program = units.coordinates.program
    example = [leaf for leaf in pytree.tree_leaves((program.args, dict(program.kwargs))) if isinstance(leaf, Tensor)]
    fixed = None if program.dynamic_batch or not example else example[0].shape[0]
    device = example[0].device if example else torch.device("cpu")
    is_fixed_order = any(_insists_on_order(node) for node in program.graph.nodes)
    channels_last = device.type == "cpu" and not is_fixed_order and is_channels_last_safe(program.module)
    for args, kwargs, every in samples:
        leaves = [_to(leaf, device) for leaf in pytree.tree_leaves((args, kwargs))]
        flat_labels, structure = pytree.tree_flatten(every)
        labels = [_to(leaf, device) for leaf in flat_labels]
        _check(leaves, example, fixed)
        count = samples_in(leaves)
        size = fixed or count
        if size != count:
            _check_rows(labels, count, size)
        for start in range(0, count - size + 1, size):
            cut = slice(start, start + size) if size != count else None
            inputs, part = ([_rows(leaf, cut) for leaf in every_leaf] for every_leaf in (leaves, labels))
            ordered = [_ordered(leaf) if channels_last else leaf for leaf in inputs]
            yield ordered, pytree.tree_unflatten(part, structure), size


def _to(leaf: Any, device: torch.device) -> Any:
    return leaf.to(device) if isinstance(leaf, Tensor) else leaf


def _rows(leaf: Any, cut: slice | None) -> Any:
    return leaf if cut is None or not isinstance(leaf, Tensor) else leaf[cut]


def _check_rows(labels: list[Any], count: int, fixed: int) -> None:
    for leaf in labels:
        if not isinstance(leaf, Tensor) or leaf.ndim == 0 or len(leaf) != count:
            actual = f"a tensor of shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise DataError(
                f"data: labels of a batch of {count} contain {actual}, but the batch size of the network is {fixed}: "
                f"labels must be tensors with one row for each sample, or batches of {fixed}"
            )


def _insists_on_order(node: fx.Node) -> bool:
    """Return whether the call is a ``view``, which fails if the memory order differs from that of the example."""
    return is_operator_call(node) and operator_name(node.target) == "aten.view"


def _ordered(leaf: Any) -> Any:
    """Return images in channels-last order, which is about twice as fast on a CPU."""
    if isinstance(leaf, Tensor) and leaf.ndim == 4:
        return leaf.contiguous(memory_format=torch.channels_last)
    return leaf


def _check(leaves: list[Any], example: list[Tensor], fixed: int | None) -> None:
    actual = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if [tuple(leaf.shape[1:]) for leaf in actual] != [tuple(leaf.shape[1:]) for leaf in example]:
        shapes, allowed = (", ".join(str(tuple(leaf.shape)) for leaf in leaves) for leaves in (actual, example))
        raise DataError(
            f"data: got inputs of shape {shapes or 'none'}, must be that of the example, {allowed}, with any batch size"
        )
    if fixed and actual[0].shape[0] < fixed:
        raise DataError(
            f"data: got a batch of {actual[0].shape[0]} samples, but the network needs at least {fixed}: use larger "
            "batches"
        )


def loss_of(units: Units, samples: Samples, flat: Any, labels: Any) -> Tensor:
    program = units.coordinates.program
    outputs = program.graph.process_outputs(flat)
    try:
        loss = samples.loss(outputs, labels)
    except EdgePruneError:
        raise
    except Exception as error:
        raise InputError(
            f"data: the loss fails on the outputs of the network: {type(error).__name__}: {error}: set loss=..., a "
            "function of outputs and labels"
        ) from error
    if not isinstance(loss, Tensor) or loss.ndim:
        actual = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"loss: got {actual}, must return a scalar tensor, the mean over the batch")
    return loss
