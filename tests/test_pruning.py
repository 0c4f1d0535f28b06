"""``edgeprune.prune`` as its user calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import edgeprune as ep
from edgeprune.config import PruneSettings
from edgeprune.cost import cost_model
from edgeprune.criteria import Criterion, Network
from edgeprune.errors import InputError
from edgeprune.graph import capture, units_of
from edgeprune.selection import registered
from tests.networks.collection import make


def _model() -> tuple[nn.Module, tuple[Tensor, ...], list[Any]]:
    model, example = make("zero-padded-residual")
    assert isinstance(example, tuple)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        classes = model(example[0]).shape[1]
    data = [
        (torch.randn(8, *example[0].shape[1:], generator=rng), torch.randint(classes, (8,), generator=rng))
        for _ in range(4)
    ]
    return model, example, data


@pytest.mark.long
def test_pruning_with_data_is_more_accurate() -> None:
    """Nearer to the dense outputs on samples that were not seen."""
    model, example, data = _model()
    fresh = torch.randn(64, *example[0].shape[1:], generator=torch.Generator().manual_seed(1))
    errors = []
    for value in (None, data):
        pruned = ep.prune(model, example, budget={"macs": 0.6}, data=value)
        assert pruned.repaired == (() if value is None else ("constants", "least_squares"))
        with torch.no_grad():
            errors.append(float((pruned.model.eval()(fresh) - model(fresh)).square().mean()))
    assert errors[1] < errors[0]


@pytest.mark.long
@pytest.mark.parametrize("selection", registered())
@pytest.mark.parametrize("repair", [(), ("bias",), ("constants", "least_squares", "recalibrate")])
def test_every_selection_works_with_every_repair(selection: str, repair: Any) -> None:
    model, example, data = _model()
    options = ep.PruneOptions(selection=selection, repair=repair)
    pruned = ep.prune(model, example, budget={"macs": 0.5, "params": 0.7}, data=data, options=options)
    assert pruned.after.macs <= 0.5 * pruned.before.macs
    assert pruned.after.params <= 0.7 * pruned.before.params
    assert pruned.plan.origin["select"]["name"] == selection
    again = ep.prune(model, example, budget={"macs": 0.5, "params": 0.7}, data=data, options=options)
    assert all(torch.equal(a, b) for a, b in zip(pruned.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.long
def test_in_place_repair_equals_that_of_a_copy() -> None:
    model, example, data = _model()
    copied = ep.prune(model, example, budget={"macs": 0.5}, data=data)
    own = ep.prune(model, example, budget={"macs": 0.5}, data=data, copy=False)
    for name, tensor in own.model.state_dict().items():
        torch.testing.assert_close(tensor, copied.model.state_dict()[name])


def test_alignment_and_min_units() -> None:
    model, example, _ = _model()
    pruned = ep.prune(model, example, budget={"macs": 0.5}, options={"align": 4, "min_units": 0.25})
    remaining = {}
    for group in ep.groups(model, example):
        if group.frozen is None:
            first = group.producers[0]
            indices = pruned.plan.kept_indices.get(first.tensor, {}).get(first.dim)
            if indices is not None and len(group) == int(model.get_parameter(first.tensor).shape[first.dim]):
                remaining[group.name] = len(indices), len(group)
    assert remaining, "no group was pruned"
    assert all(count % 4 == 0 and count >= 0.25 * units for count, units in remaining.values()), remaining


def test_own_cost_is_a_budget() -> None:
    model, example, _ = _model()
    units = units_of(capture(model, example))
    int8 = cost_model("flash_bytes", units, model, precision="int8")
    pruned = ep.prune(model, example, budget={"flash_bytes": 0.5}, options={"costs": {"flash_bytes": int8}})
    int8.remove(pruned.plan.removed(units))
    assert int8.total() <= 0.5 * cost_model("flash_bytes", units, model, precision="int8").total()


class _Last(Criterion):
    """Later units matter more."""

    name = "last"

    def score(self, network: Network) -> Tensor:
        return torch.arange(len(network.units), dtype=torch.float64)


def test_own_criterion_ranks_units() -> None:
    model, example, _ = _model()
    pruned = ep.prune(model, example, budget={"macs": 0.5}, options={"criterion": _Last()})
    assert pruned.plan.origin["criterion"] == "last"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (None, {"criterion": "taylor"}, "'taylor' .*data with labels"),
        (_model()[2], {"criterion": "tailor"}, "'tailor'.*'taylor'"),
        (None, {"selection": "sensitivity"}, "sensitivity .*data="),
        (None, {"selection": "globl"}, "'globl'.*'global'"),
        (None, {"repair": ["bias"]}, "repair: .*bias.*data="),
        (iter([1, 2]), {}, "list_iterator"),
        ([(torch.zeros(2, 1, 4, 4), torch.zeros(2))], {"criterion": "apoz"}, r"data: .*\(2, 1, 4, 4\)"),
    ],
)
def test_bad_input_is_one_clear_error(data: Any, options: dict[str, Any], message: str) -> None:
    model, example, _ = _model()
    with pytest.raises(InputError, match=message):
        ep.prune(model, example, budget={"macs": 0.5}, data=data, options=options)


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"criteron": "l2"}, "criteron", "'criterion'"),
        ({"criterion": 3}, "criterion", "got 3"),
        ({"min_units": 1.5}, "min_units", r"got 1\.5,"),
        ({"align": "target"}, "align", "got 'target'"),
        ({"repair": "bias"}, "repair", "got 'bias'"),
        ({"samples": 0}, "samples", " 0,.* 1$"),
        ({"attention": "head"}, "attention", "'heads' or 'head_dim'"),
        ({"layers": [{"match": "a"}]}, "layers", "min_units"),
        ({"criterion": _Last(), "criterion_options": {"a": 1}}, "criterion_options", "_Last"),
    ],
)
def test_invalid_option_is_named_when_options_are_created(options: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"'{key}.*' in PruneOptions.*{message}"):
        ep.PruneOptions(**options)


def test_recipe_and_python_have_the_same_options() -> None:
    recipe, python = PruneSettings(), ep.PruneOptions()
    assert python.model_dump(include=set(PruneSettings.model_fields)) == recipe.model_dump()
    assert set(ep.PruneOptions.model_fields) - set(PruneSettings.model_fields) == {"loss", "costs", "seed"}


def test_settings_of_layers_apply() -> None:
    model, example, _ = _model()
    group = next(group for group in ep.groups(model, example) if group.frozen is None)
    options = ep.PruneOptions(criterion="l2", layers=[{"match": group.name, "exclude": True}])
    plan = ep.prune(model, example, budget={"macs": 0.95}, options=options).plan
    assert plan.kept_indices
    assert group.producers[0].dim not in plan.kept_indices.get(group.producers[0].tensor, {})


@pytest.mark.parametrize("name", ["criterion", "selection"])
def test_constructor_arguments_reach_criterion_and_selection(name: str) -> None:
    model, example, _ = _model()
    with pytest.raises(InputError, match=f"{name}: .*'nonsense'"):
        ep.prune(model, example, budget={"macs": 0.5}, options={f"{name}_options": {"nonsense": 1}})


@pytest.mark.long
def test_plans_compare_and_results_print_on_one_line(tmp_path: Path) -> None:
    model, example, _ = _model()
    pruned, other = (
        ep.prune(model, example, budget={"macs": share}, options={"criterion": "l2"}) for share in (0.6, 0.4)
    )
    pruned.plan.save(tmp_path / "plan.json")
    loaded = ep.Plan.load(tmp_path / "plan.json")
    assert loaded == pruned.plan
    assert hash(loaded) == hash(pruned.plan)
    assert other.plan != pruned.plan
    assert pruned.plan != "plan"
    for value in (pruned, pruned.plan, *ep.groups(model, example)):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 300
    assert f"{pruned.after.macs:,}" in repr(pruned)
    assert f"{pruned.after.macs:,}" in repr(pruned.plan)
