"""Parameters that scale the outputs of units."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgeprune.graph import Units
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.operator_facts.aten_operators import ATEN
from edgeprune.statistics.consumer_sites import Site, argument_node, sites_of


@dataclass(frozen=True, eq=False)
class ScalingParameter:
    """Dimension ``dim`` of the tensor ``name``, with the unit of each of its indices, (n,); -1 for no unit."""

    name: str
    dim: int
    units: Tensor


def giving(units: Units, named: Container[str]) -> tuple[list[ScalingParameter], Tensor]:
    """Return the parameters that scale unit outputs, and the mask of units that they scale at all consumers, (units,).

    These are the weights that multiply a consumed output: ``weight[:, i]`` of a convolution that reads channel i. If no
    weight does (a product of two activations), they are weight and bias of the affine layer before it, provided that
    zeros remain zeros in between. An embedding table that is also the last layer counts once.

    Args:
        units: Units of the program.
        named: Names of the parameters that may be scaled.
    """
    parameters: list[ScalingParameter] = []
    reached, missed = (torch.zeros(len(units), dtype=torch.bool) for _ in range(2))
    for site in sites_of(units):
        places = _behind(units, site) or _before(units, site)
        is_scalable = bool(places) and all(place.name in named for place in places)
        (reached if is_scalable else missed)[site.units[site.units >= 0]] = True
        parameters += places if is_scalable else []
    scaled = reached & ~missed
    keep = [torch.where((place.units >= 0) & scaled[place.units], place.units, -1) for place in parameters]
    return [ScalingParameter(place.name, place.dim, unit) for place, unit in zip(parameters, keep, strict=True)], scaled


def scaling(units: Units, named: Container[str]) -> tuple[list[ScalingParameter], Tensor]:
    """Return scales of normalizations, or filters of units without one, and the mask of units that have either."""
    program = units.coordinates.program
    parameters = []
    scaled = torch.zeros(len(units), dtype=torch.bool)
    for node in program.graph.nodes:
        if is_operator_call(node) and ATEN[operator_name(node.target)].scales_channels:
            for place in _along(units, _call(units, node)["weight"], 0):
                if place.name in named:
                    parameters.append(place)
                    scaled[place.units[place.units >= 0]] = True
    producers = {(member.tensor, member.dim) for group in units.groups for member in group.producers}
    has_parameter = scaled.clone()
    for owner in units.coordinates.coupling.owners:
        if (owner.name, owner.dim) in producers and owner.name in named:
            unit = units.unit_of[owner.start : owner.start + owner.size]
            bare = (unit >= 0) & ~scaled[unit]
            if bool(bare.any()):
                parameters.append(ScalingParameter(owner.name, owner.dim, torch.where(bare, unit, -1)))
                has_parameter[unit[bare]] = True
    return parameters, has_parameter


def coupled(units: Units, named: Container[str]) -> tuple[list[ScalingParameter], Tensor]:
    """Return all parameter dimensions that are coupled to units, and the mask of the units that have some.

    If two dimensions of a weight belong to units, its slices cross.
    """
    parameters = []
    has_parameter = torch.zeros(len(units), dtype=torch.bool)
    for owner in units.coordinates.coupling.owners:
        unit = units.unit_of[owner.start : owner.start + owner.size]
        if owner.parameter and owner.name in named and bool((unit >= 0).any()):
            parameters.append(ScalingParameter(owner.name, owner.dim, unit))
            has_parameter[unit[unit >= 0]] = True
    return parameters, has_parameter


def _behind(units: Units, site: Site) -> list[ScalingParameter]:
    """Return the parameters in the tensor that multiplies the output consumed at ``site``."""
    read = argument_node(site)
    if read.op == "get_attr":  # a recurrent layer, or a matrix from the left
        return _along(units, read, site.consumption.dim)
    call = _call(units, site.node)
    if ATEN[call.name].multiplies_matrices:
        factor = site.node.args[-1]
        return _along(units, factor, max(len(_labels(units, factor).shape) - 2, 0))
    if ATEN[call.name].layer == "linear":
        return _along(units, call["weight"], 1)
    if ATEN[call.name].is_convolution:
        # If whole groups of channels are removed, the rows of the weight are removed with the channels that they read.
        return _along(units, call["weight"], 0 if _transposed(call) else 1) or _along(units, call["weight"], 0)
    return []


def _before(units: Units, site: Site) -> list[ScalingParameter]:
    """Return the parameters of the affine layer that produces the output consumed at ``site``."""
    node = argument_node(site)
    while _keeps_zero(node):
        node = node.all_input_nodes[0]
    if not is_operator_call(node):
        return []
    call = _call(units, node)
    if call.name == "aten.batch_norm":
        channel, row = 1, 0
    elif ATEN[call.name].layer == "linear":
        channel, row = -1, 0
    elif ATEN[call.name].is_convolution and not (_transposed(call) and call["groups"] > 1):
        channel, row = 1 - len(call.shape("weight")), int(_transposed(call))
    else:
        return []
    channel_ids = _labels(units, node).vector(channel)
    if channel_ids is None or call["weight"] is None:
        return []
    # A joint projection of queries and keys produces both factors of the product, so its gate applies twice.
    unit = units.unit_of[channel_ids]
    unit = torch.where(torch.isin(unit, site.units), unit, -1)
    tensors = [(call["weight"], row), (call["bias"], 0)]
    return [ScalingParameter(str(tensor.target), dim, unit) for tensor, dim in tensors if tensor is not None]


def _keeps_zero(node: fx.Node) -> bool:
    name = operator_name(node.target)
    by_number = ATEN[name].scales and len(node.all_input_nodes) == 1
    return name == "getitem" or ATEN[name].keeps_zero or by_number


def _along(units: Units, node: object, dim: int) -> list[ScalingParameter]:
    """Return the parameter along ``dim`` of ``node``, if the program reads it without a transformation."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return []
    ids = _labels(units, node).vector(dim)
    if ids is None or not bool((units.unit_of[ids] >= 0).any()):
        return []
    return [ScalingParameter(str(node.target), dim, units.unit_of[ids])]


def _call(units: Units, node: fx.Node) -> Call:
    return Call(units.coordinates.program, node, units.coordinates.labels)


def _labels(units: Units, node: object) -> Labels:
    labels = units.coordinates.labels.get(node)  # type: ignore[call-overload]
    return labels if isinstance(labels, Labels) else Labels(())


def _transposed(call: Call) -> bool:
    return "transpose" in call.name or bool(call.get("transposed"))
