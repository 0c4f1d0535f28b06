"""``edgeprune calibrate``: measure the latency table of a target."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import completion
from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.cli.recipe_options import RecipeOptions, chosen_recipe, recipe_options
from edgeprune.files import write_atomic

if TYPE_CHECKING:
    from edgeprune.cost.latency_table import LatencyTable

_FOLDER = click.Path(file_okay=False, path_type=Path)
_DENSE, _PRUNED = "dense", "half of the MACs"


@click.command("calibrate", cls=Command, exit_codes=(4, 5, 6, 7))
@click.argument("recipe", required=False, shell_complete=completion.recipes)
@click.option(
    "--target",
    metavar="NAME",
    default="host",
    shell_complete=completion.targets,
    help="Target of the table; see 'edgeprune targets'.",
)
@click.option("--device", default="local:", metavar="URI", help="Device to measure on.")
@recipe_options
@click.option("--output", default="targets/tables", metavar="DIR", type=_FOLDER, help="Folder of the tables.")
@click.option("--quick", is_flag=True, help="Use a coarser grid and fewer runs.")
@json_option
def command(
    recipe: str | None, *, target: str, device: str, output: Path, quick: bool, as_json: bool, **options: Any
) -> None:
    """Measure the latency table of a target.

    The table has the latency of each layer over a grid of channel counts, from which budgets of latency_ms are
    predicted. Existing entries for other networks remain in it. The complete dense network, and a network pruned to
    half of its MACs, are also measured and compared with their predictions. A device is a URI or a name in
    devices.toml, and must have ONNX Runtime.

    \b
    Example:
      edgeprune calibrate digits --target host
      edgeprune calibrate digits --target rpi --device ssh://pi@kitchen
      edgeprune calibrate --model net.py:make --data net.py:data \\
          --input 1,3,224,224 --quick
    """
    base_recipe = chosen_recipe(recipe, RecipeOptions(**options))
    from edgeprune import PruneOptions, graph, prune
    from edgeprune.config import Target
    from edgeprune.cost import cost_model
    from edgeprune.cost.layer_shapes import layers
    from edgeprune.devices import device as device_of
    from edgeprune.export.onnx_export import export
    from edgeprune.model import network
    from edgeprune.profile.calibration_checks import check_device, check_machine, check_runtime
    from edgeprune.profile.latency_calibration import QUICK, calibrate

    target_config, measured_device = Target.load(target), device_of(device)
    check_device(measured_device)
    check_runtime(target_config)
    if measured_device.uri == "local:":
        check_machine(target_config, measured_device, platform.machine())
    path = output / f"{target_config.name}.json"
    existing_table = _older(path)
    settings = base_recipe.model
    model = network.load_model(
        settings.factory, None, base=base_recipe.folder, shape=settings.input, seed=base_recipe.seed
    )
    example = network.example_inputs(base_recipe.model.input, base_recipe.seed)
    with bar("prune to half of the MACs"):
        units = graph.units_of(
            graph.capture(model, example), exclude=base_recipe.prune.exclude, attention=base_recipe.prune.attention
        )
        half = prune(
            model,
            example,
            budget={"macs": 0.5},
            options=PruneOptions(
                criterion="l2", exclude=base_recipe.prune.exclude, attention=base_recipe.prune.attention, verify=False
            ),
        )
    with tempfile.TemporaryDirectory() as folder, bar("calibrate") as progress:
        paths: dict[str, Path] = {}
        for name, pruned in ((_DENSE, model), (_PRUNED, half.model)):
            paths[name] = export(
                pruned, example, Path(folder) / f"{len(paths)}.onnx", opset=target_config.onnx.opset
            ).path
        table, measured = calibrate(
            list(layers(units)),
            paths,
            base_recipe.name,
            target_config,
            measured_device,
            effort=QUICK if quick else None,
            progress=progress,
        )
    predicted = {}
    cost = cost_model("latency_ms", units, model, table=table)
    predicted[_DENSE] = cost.total()
    cost.remove(half.plan.removed(units))
    predicted[_PRUNED] = cost.total()
    write_atomic(path, (table if existing_table is None else table.joined(existing_table)).to_json())
    _show(path, table, predicted, measured, as_json=as_json)


def _older(path: Path) -> LatencyTable | None:
    """Return the existing table, and create its folder before measuring, so that the table can be written."""
    from edgeprune.cost.latency_table import LatencyTable

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return LatencyTable.load(path) if path.is_file() else None
    except OSError as error:
        raise click.UsageError(f"--output: cannot use {path.parent}: {error.strerror}") from error


def _show(
    path: Path, table: LatencyTable, predicted: dict[str, float], measured: dict[str, float], *, as_json: bool
) -> None:
    remainder = table.rests[0]
    errors = {name: predicted[name] / measured[name] - 1 for name in measured}
    if as_json:
        print_json(
            {
                "table": str(path),
                "target": table.target,
                "device": dict(table.device),
                "threads": table.threads,
                "alignment": {kind: {"in": steps[0], "out": steps[1]} for kind, steps in table.alignment.items()},
                "layers": len(table.grids),
                "floor_ms": table.floor_ms,
                "rest_ms": remainder.rest_ms,
                "networks": [
                    {
                        "name": name,
                        "predicted_ms": {"value": predicted[name], "kind": "estimated"},
                        "measured_ms": {"value": measured[name], "kind": "measured"},
                        "error": errors[name],
                    }
                    for name in measured
                ],
            }
        )
        return
    print_table(
        ("network", "estimated", "measured", "error"),
        [(name, f"{predicted[name]:.4g} ms", f"{measured[name]:.4g} ms", f"{errors[name]:+.1%}") for name in measured],
        right=("estimated", "measured", "error"),
    )
    print_table(
        ("layers", "step of channels in", "step of channels out"),
        [(kind, str(steps[0]), str(steps[1])) for kind, steps in table.alignment.items()],
    )
    fraction = remainder.rest_ms / remainder.measured_ms
    echo(
        f"{remainder.rest_ms:.4g} ms ({fraction:.0%}) of the dense network's latency are outside its layers. "
        f"This part is calibrated so that the estimate of the dense network is exact.\n{table.device['cpu']}, "
        f"{table.runtime} {table.runtime_version}, {table.threads} threads; table: {path}"
    )
