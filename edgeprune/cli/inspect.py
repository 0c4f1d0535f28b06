"""``edgeprune inspect``: what of a network can be pruned."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.options import shape as read_shape
from edgeprune.cli.output import json_option, print_json, print_table
from edgeprune.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.graph import Group, Member

_SHOWN = 4


@click.command("inspect")
@click.argument("model")
@click.option("--input", "shape", callback=read_shape, help="The network's input, the batch first: 1,3,224,224.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Layers that must stay whole, such as 'head*'.")
@click.option(
    "--svg", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the coupling as a picture as well."
)
@json_option
def command(model: str, shape: list[int] | None, exclude: tuple[str, ...], picture: Path | None, as_json: bool) -> None:
    """Show what of a network can be pruned, what is coupled to what, what is frozen and why, and what layers cost.

    MODEL is a recipe, or with --input a network: package.module:factory or file.py:factory. Weights are not needed.

    \b
    Example:
      edgeprune inspect digits
      edgeprune inspect torchvision.models:resnet18 --input 1,3,224,224
      edgeprune inspect cifar10-resnet56 --svg coupling.svg
    """
    network, example, frozen_by_recipe = _network(model, shape)
    from edgeprune import graph
    from edgeprune.cost import cost_of
    from edgeprune.report import coupling

    units = graph.units_of(graph.capture(network, example), exclude=(*frozen_by_recipe, *exclude))
    cost = cost_of(units, network)
    free = [group for group in units.groups if group.frozen is None]
    summary = (
        f"{cost.macs:,} MACs, {cost.params:,} parameters; "
        f"{sum(map(len, free)):,} of {len(units):,} units in {len(free)} of {len(units.groups)} groups can go"
    )
    drawn = coupling.coupling_of(units, network)
    if picture is not None:
        try:
            write_atomic(picture, coupling.svg(drawn, title=model, subtitle=summary))
        except OSError as error:
            raise click.UsageError(f"--svg: cannot write {picture}: {error.strerror}") from error
        click.echo(f"drawn: {picture}", err=True)
    if as_json:
        print_json(
            {
                **asdict(cost),
                "groups": [_group(group) for group in units.groups],
                "frozen": [{"group": name, "reason": reason} for name, reason in units.frozen],
                "layers": [asdict(layer) for layer in drawn.layers],
            }
        )
        return
    click.echo(f"{summary}\n{cost.peak_activation_bytes:,} bytes of activations at the peak")
    print_table(
        ("group", "units", "made by", "goes with it"),
        [(group.name, f"{len(group):,}", _listed(_names(group.producers)), _goes_with(group)) for group in free],
        right=("units",),
    )
    if units.frozen:
        print_table(("frozen", "why"), units.frozen)
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    print_table(
        ("layer", "MACs", "share", "parameters", "coupling"),
        [
            (layer.name, f"{layer.macs:,}", f"{layer.macs / max(cost.macs, 1):.1%}", f"{layer.params:,}", marks)
            for layer, marks in zip(drawn.layers, coupling.text(drawn, ascii_only=ascii_only), strict=True)
        ],
        right=("MACs", "share", "parameters"),
    )
    click.echo(coupling.text_key(ascii_only=ascii_only))


def _network(model: str, shape: list[int] | None) -> tuple[nn.Module, tuple[Tensor, ...], tuple[str, ...]]:
    """The network that was named, an example input, and what its recipe excludes from pruning."""
    from edgeprune.config import Recipe
    from edgeprune.model import network

    if ":" in model:
        if shape is None:
            raise click.UsageError(f"a network by its factory ('{model}') needs --input as well, such as 1,3,224,224")
        built = network.load_model(model, None, base=Path.cwd())
        example = network.example_inputs(tuple(shape))
        network.check_forward(built, example)
        return built, example, ()
    recipe = Recipe.load(model)
    if shape is not None:
        raise click.UsageError(f"the recipe '{model}' has its input; --input is for a network by its factory")
    built = network.load_model(recipe.model.factory, None, base=recipe.folder, seed=recipe.seed)
    return built, network.example_inputs(recipe.model.input, recipe.seed), recipe.prune.exclude


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "units": len(group),
        "frozen": group.frozen,
        "producers": [asdict(member) for member in group.producers],
        "members": [asdict(member) for member in group.members],
    }


def _goes_with(group: Group) -> str:
    """Layers that shrink with the group, those that make it aside."""
    makers = set(_names(group.producers))
    return _listed([name for name in _names(group.members) if name not in makers])


def _names(members: tuple[Member, ...]) -> list[str]:
    return list(dict.fromkeys(member.tensor.rpartition(".")[0] or member.tensor for member in members))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
