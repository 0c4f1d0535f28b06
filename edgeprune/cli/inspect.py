"""``edgeprune inspect``: show the prunable groups, couplings and costs of a network."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import completion, inspect_sensitivity
from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.cli.recipe_options import RecipeOptions, chosen_recipe
from edgeprune.cli.recipe_options import shape as read_shape
from edgeprune.files import write_atomic
from edgeprune.overwrite_guard import PNG, SVG, check_output_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.config import Recipe
    from edgeprune.graph import Group, Member

_SHOWN = 4


@click.command("inspect", cls=Command)
@click.argument("model", shell_complete=completion.recipes)
@click.option(
    "--input",
    "shape",
    metavar="N,C,H,W",
    callback=read_shape,
    help="Shape of the network's input, the batch first: 1,3,224,224.",
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="Layers that must not be pruned, such as 'head*'.")
@click.option(
    "--svg",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a diagram of the coupling to this file.",
)
@click.option("--sensitivity", is_flag=True, help="Measure the loss of accuracy by pruned group; needs data.")
@click.option(
    "--png", "curves", type=click.Path(dir_okay=False, path_type=Path), help="Plot the sensitivity to this file."
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"Number of validation samples for the sensitivity.  [default: {inspect_sensitivity.SAMPLES}]",
)
@click.option("--weights", metavar="FILE", help="Weights for the sensitivity.  [default: those of the recipe]")
@click.option("--data", metavar="SPEC", help="Data for the sensitivity: package.module:function, or file.py:function.")
@click.option("--data-dir", metavar="DIR", help="Folder that is passed to the data function.")
@click.option(
    "--criterion",
    metavar="NAME",
    shell_complete=completion.criteria,
    help="Criterion of the sensitivity scan.  [default: that of the recipe]",
)
@json_option
def command(
    model: str,
    shape: list[int] | None,
    exclude: tuple[str, ...],
    picture: Path | None,
    *,
    sensitivity: bool,
    curves: Path | None,
    samples: int | None,
    weights: str | None,
    data: str | None,
    data_dir: str | None,
    criterion: str | None,
    as_json: bool,
) -> None:
    """Show which groups of a network can be pruned, how layers are coupled, and their costs.

    MODEL is a recipe, or with --input a network: package.module:factory, file.py:factory or a float ONNX file. Frozen
    groups are listed with the reason. Weights are needed only for --sensitivity, which measures the accuracy while the
    units with the lowest scores are removed from one group at a time.

    \b
    Example:
      edgeprune inspect digits
      edgeprune inspect torchvision.models:resnet18 --input 1,3,224,224
      edgeprune inspect net.onnx --input 1,3,224,224
      edgeprune inspect cifar10-resnet56 --svg coupling.svg
      edgeprune inspect digits --sensitivity --png sensitivity.png
      edgeprune inspect net.py:make --input 1,3,32,32 --sensitivity \\
          --weights net.pt --data net.py:data
    """
    data_options = {"--weights": weights, "--data": data, "--data-dir": data_dir}
    _check(model, sensitivity, {"--png": curves, "--samples": samples, "--criterion": criterion, **data_options})
    for path, kind in ((picture, SVG), (curves, PNG)):
        if path is not None:
            check_output_file(path, kind)
    files = RecipeOptions(weights=weights, data=data, data_dir=data_dir) if sensitivity else None
    network, example, recipe = _network(model, shape, files)
    scan = (
        inspect_sensitivity.ScanInputs.of(recipe, network, example, criterion, curves)
        if sensitivity and recipe
        else None
    )
    from edgeprune import graph
    from edgeprune.cost import cost_of
    from edgeprune.report import coupling_picture, coupling_text
    from edgeprune.selection import removable

    with bar("capture"):
        units = graph.units_of(
            graph.capture(network, example),
            exclude=(*(recipe.prune.exclude if recipe else ()), *exclude),
            attention=recipe.prune.attention if recipe else "heads",
        )
    cost, frozen = cost_of(units, network), cost_of(units, network, removable(units))
    free = [group for group in units.groups if group.frozen is None]
    summary = (
        f"{cost.macs:,} MACs, {cost.params:,} parameters; "
        f"{sum(map(len, free)):,} of {len(units):,} units in {len(free)} of {len(units.groups)} groups can be removed"
    )
    coupling = coupling_text.coupling_of(units, network)
    if picture is not None:
        try:
            write_atomic(picture, coupling_picture.svg(coupling, title=model, subtitle=summary))
        except OSError as error:
            raise click.UsageError(f"--svg: cannot write {picture}: {error.strerror}") from error
        echo(f"written {picture}", err=True)
    scan_output = scan.measure(units, samples or inspect_sensitivity.SAMPLES) if scan else None
    if as_json:
        print_json(
            {
                **asdict(cost),
                "never_removed": asdict(frozen),
                "groups": [_group(group) for group in units.groups],
                "frozen": [{"group": name, "reason": reason} for name, reason in units.frozen],
                "layers": [asdict(layer) for layer in coupling.layers],
                **({"sensitivity": inspect_sensitivity.as_json(scan_output)} if scan_output else {}),
            }
        )
        return
    echo(summary)
    echo(
        f"{frozen.macs / max(cost.macs, 1):.1%} of the MACs and {frozen.params / max(cost.params, 1):.1%} of the "
        "parameters can never be removed"
    )
    echo(f"{cost.peak_activation_bytes:,} bytes of activations at the peak")
    print_table(
        ("group", "units", "computed by", "also pruned"),
        [(group.name, f"{len(group):,}", _listed(_names(group.producers)), _consumers(group)) for group in free],
        right=("units",),
    )
    if units.frozen:
        print_table(("frozen", "why"), units.frozen)
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    print_table(
        ("layer", "type", "output", "MACs", "fraction", "parameters"),
        [
            (
                layer.name,
                layer.kind,
                " x ".join(map(str, layer.shape)),
                f"{layer.macs:,}",
                f"{layer.macs / max(cost.macs, 1):.1%}",
                f"{layer.params:,}",
            )
            for layer in coupling.layers
        ],
        right=("MACs", "fraction", "parameters"),
    )
    marks = coupling_text.text(coupling, ascii_only=ascii_only)
    names = [layer.name for layer in coupling.layers]
    print_table(("layer", "coupling"), list(zip(names, marks, strict=True)))
    echo(coupling_text.text_key(ascii_only=ascii_only))
    if scan_output:
        inspect_sensitivity.show(scan_output)


def _check(model: str, sensitivity: bool, scan_options: dict[str, Any]) -> None:
    for option, value in scan_options.items():
        if value is not None and not sensitivity:
            raise click.UsageError(f"{option} needs --sensitivity")
    if sensitivity and _is_network(model) and scan_options["--data"] is None:
        raise click.UsageError(
            f"--sensitivity needs data: give --data and usually --weights with '{model}', or give a recipe instead"
        )


def _network(
    model: str, shape: list[int] | None, files: RecipeOptions | None
) -> tuple[nn.Module, tuple[Tensor, ...], Recipe | None]:
    """Return the network without its weights, an example input, and the recipe; None for a factory without files.

    Args:
        model: Name of a recipe, spec of a network's factory function, or path of an ONNX file.
        shape: Shape of the input; None for a recipe.
        files: Weights and data, which replace those of a recipe or complete a factory.
    """
    from edgeprune.config import Recipe
    from edgeprune.model import network

    if _is_network(model):
        if shape is None:
            raise click.UsageError(f"the network '{model}' needs --input, such as 1,3,224,224")
        if files is not None:
            return _of_recipe(chosen_recipe(None, replace(files, model=model, shape=shape)))
        built = network.load_model(model, None, base=Path.cwd(), shape=shape)
        example = network.example_inputs(tuple(shape))
        network.check_forward(built, example)
        return built, example, None
    if shape is not None:
        raise click.UsageError(f"the recipe '{model}' sets its input: omit --input, which is for factories")
    return _of_recipe(Recipe.load(model) if files is None else chosen_recipe(model, files))


def _is_network(model: str) -> bool:
    """Return whether ``model`` names a network, not a recipe."""
    from edgeprune.config.setting_types import is_onnx_file

    return ":" in model or is_onnx_file(model)


def _of_recipe(recipe: Recipe) -> tuple[nn.Module, tuple[Tensor, ...], Recipe]:
    from edgeprune.model import network

    settings = recipe.model
    built = network.load_model(settings.factory, None, base=recipe.folder, shape=settings.input, seed=recipe.seed)
    return built, network.example_inputs(recipe.model.input, recipe.seed), recipe


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "units": len(group),
        "frozen": group.frozen,
        "producers": [asdict(member) for member in group.producers],
        "members": [asdict(member) for member in group.members],
    }


def _consumers(group: Group) -> str:
    """Return the layers that are pruned with the group, except those that compute its units."""
    producers = set(_names(group.producers))
    return _listed([name for name in _names(group.members) if name not in producers])


def _names(members: tuple[Member, ...]) -> list[str]:
    return list(dict.fromkeys(member.tensor.rpartition(".")[0] or member.tensor for member in members))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
