"""``edgeprune calibrate``: a latency table for a target."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.progress_bar import bar
from edgeprune.cli.recipe_options import RecipeOptions, chosen_recipe, recipe_options
from edgeprune.files import write_atomic

if TYPE_CHECKING:
    from edgeprune.cost.latency_table import LatencyTable

_FOLDER = click.Path(file_okay=False, path_type=Path)
_DENSE, _PRUNED = "dense", "half of the MACs"


@click.command("calibrate")
@click.argument("recipe", required=False)
@click.option("--target", default="host", show_default=True, help="Whose table it is; see 'edgeprune targets'.")
@click.option("--device", default="local:", show_default=True, metavar="URI", help="Where to measure.")
@recipe_options
@click.option("--output", default="targets/tables", show_default=True, type=_FOLDER, help="Folder of the tables.")
@click.option("--quick", is_flag=True, help="A coarser grid, measured fewer times.")
@json_option
def command(
    recipe: str | None, *, target: str, device: str, output: Path, quick: bool, as_json: bool, **options: Any
) -> None:
    """Measure what the layers of a network take on a device, over a grid of channels: the target's latency table.

    The table is what budgets of latency_ms are predicted from. What is known of other networks stays in it. The dense
    network and one pruned to half of its MACs are measured as a whole as well, beside their predictions. A device is a
    URI, or a name in devices.toml; it has to run ONNX Runtime.

    \b
    Example:
      edgeprune calibrate digits --target host
      edgeprune calibrate digits --target raspberry-pi-4 --device ssh://pi@kitchen
      edgeprune calibrate --model net.py:make --data net.py:data --input 1,3,224,224 --quick
    """
    chosen = chosen_recipe(recipe, RecipeOptions(**options))
    from edgeprune import PruneOptions, graph, prune
    from edgeprune.config import Target
    from edgeprune.cost import cost_model
    from edgeprune.cost.layer_shapes import layers
    from edgeprune.devices import device as device_of
    from edgeprune.export.onnx_export import export
    from edgeprune.model import network
    from edgeprune.profile.latency_calibration import QUICK, calibrate, check_device, check_machine, check_runtime

    where, on = Target.load(target), device_of(device)
    check_device(on)
    check_runtime(where)
    if on.uri == "local:":
        check_machine(where, on, platform.machine())
    path = output / f"{where.name}.json"
    older = _older(path)
    model = network.load_model(chosen.model.factory, None, base=chosen.folder, seed=chosen.seed)
    example = network.example_inputs(chosen.model.input, chosen.seed)
    units = graph.units_of(
        graph.capture(model, example), exclude=chosen.prune.exclude, attention=chosen.prune.attention
    )
    half = prune(
        model,
        example,
        budget={"macs": 0.5},
        options=PruneOptions(
            criterion="l2", exclude=chosen.prune.exclude, attention=chosen.prune.attention, verify=False
        ),
    )
    with tempfile.TemporaryDirectory() as folder, bar("calibrate") as progress:
        paths: dict[str, Path] = {}
        for name, pruned in ((_DENSE, model), (_PRUNED, half.model)):
            paths[name] = export(pruned, example, Path(folder) / f"{len(paths)}.onnx", opset=where.onnx.opset).path
        table, measured = calibrate(
            list(layers(units)), paths, chosen.name, where, on, effort=QUICK if quick else None, progress=progress
        )
    predicted = {}
    cost = cost_model("latency_ms", units, model, table=table)
    predicted[_DENSE] = cost.total()
    cost.remove(half.plan.removed(units))
    predicted[_PRUNED] = cost.total()
    write_atomic(path, (table if older is None else table.joined(older)).to_json())
    _show(path, table, predicted, measured, as_json=as_json)


def _older(path: Path) -> LatencyTable | None:
    """The table that is there already; its folder is made, so that nothing is measured that cannot be written."""
    from edgeprune.cost.latency_table import LatencyTable

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return LatencyTable.load(path) if path.is_file() else None
    except OSError as error:
        raise click.UsageError(f"--output: cannot use {path.parent}: {error.strerror}") from error


def _show(
    path: Path, table: LatencyTable, predicted: dict[str, float], measured: dict[str, float], *, as_json: bool
) -> None:
    rest = table.rests[0]
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
                "rest_ms": rest.rest_ms,
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
    share = rest.rest_ms / rest.measured_ms
    echo(
        f"Of the dense network {rest.rest_ms:.4g} ms ({share:.0%}) are not in its layers: that part was set so that "
        f"its estimate is right.\n{table.device['cpu']}, {table.runtime} {table.runtime_version}, "
        f"{table.threads} threads; table: {path}"
    )
