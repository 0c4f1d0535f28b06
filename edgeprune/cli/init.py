"""``edgeprune init``: write the files of a project for the user's own network, and check them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console_output import echo, json_option, print_json, print_warning
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.cli.recipe_options import shape as read_shape
from edgeprune.errors import InputError

if TYPE_CHECKING:
    from edgeprune.scaffold.project_check import ProjectCheck

_ROLES = {
    "recipe.toml": "settings of the build, with comments",
    "model.py": "build() returns the network",
    "data.py": "load() returns the samples",
}


@click.command("init", cls=Command)
@click.option(
    "--from", "library", metavar="LIBRARY:NAME", help="Use a network of torchvision, such as torchvision:resnet18."
)
@click.option(
    "--model", metavar="SPEC", help="Your network: package.module:factory, file.py:factory, or a float ONNX file."
)
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights of the network: .safetensors or .pt."
)
@click.option("--data", metavar="SPEC", help="Your data function: package.module:function, or file.py:function.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder with one folder of images for each class, alone or in train/ and validation/; or a .pt or .npz file "
    "of inputs and labels.",
)
@click.option(
    "--input",
    "shape",
    metavar="N,C,H,W",
    callback=read_shape,
    help="Shape of the network's input, the batch first: 1,3,224,224.  [default: that of the samples]",
)
@click.option("--name", metavar="NAME", help="Name of the recipe.  [default: that of the folder]")
@click.option("--output", default=".", type=click.Path(file_okay=False, path_type=Path), help="Output folder.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option("--check", "check_only", is_flag=True, help="Check the project in --output, and write nothing.")
@json_option
def command(
    output: Path,
    *,
    force: bool,
    check_only: bool,
    as_json: bool,
    shape: list[int] | None,
    **options: Any,
) -> None:
    """Write recipe.toml, model.py and data.py for a network of your own, and check them.

    Without options, the files describe a small network and random samples, to be replaced by yours. --model and --data
    name existing code, --from a network of torchvision, and --data-dir images or tensors; then the files refer to
    them. An existing file is overwritten only with --force.

    The check loads network, weights and data, compares their shapes, and passes a batch through the network. After
    changes, 'edgeprune init --check' repeats it.

    \b
    Example:
      edgeprune init --output flowers
      edgeprune init --model net.py:Net --weights net.pt --data-dir photos \\
          --input 1,3,96,96
      edgeprune init --from torchvision:resnet18 --data-dir photos
      edgeprune init --model net.py:Net --data-dir samples.npz
      edgeprune init --check
    """
    from edgeprune.scaffold import project_files
    from edgeprune.scaffold.project_check import check_project

    written: list[str] = []
    if check_only:
        used = [f"--{name.replace('_', '-')}" for name, value in {**options, "input": shape}.items() if value]
        if used or force:
            raise click.UsageError(f"--check writes nothing: omit {', '.join(used) or '--force'}")
    else:
        if options["library"] and options["model"]:
            raise click.UsageError("give --from or --model, not both")
        chosen = project_files.ProjectOptions(**options, shape=None if shape is None else tuple(shape))
        files = project_files.project_files(chosen, output)
        project_files.write(files, output, force=force)
        written = list(files)
    if not as_json:
        for name in written:
            echo(f"written {output / name}: {_ROLES[name]}")
    try:
        with bar("check"):
            checked = check_project(output)
    except InputError:
        if (output / project_files.RECIPE).is_file():
            echo(f"the files do not fit together yet; after changes, run: {_check_command(output)}", err=True)
        raise
    if as_json:
        print_json({"folder": str(output), "written": written, "check": asdict(checked)})
    else:
        _show(checked, output)


def _show(checked: ProjectCheck, output: Path) -> None:
    samples = ", ".join(f"{count:,} {role}" for role, count in checked.samples.items())
    classes = f" of {len(checked.classes)} classes" if checked.classes else ""
    value = f"{checked.value:.1%}" if checked.metric == "accuracy" else f"{checked.value:.4g}"
    echo(f"network: {checked.parameters:,} parameters, input {' x '.join(map(str, checked.input))}")
    echo(f"samples: {samples}{classes}")
    echo(f"checked: one training batch, and {checked.metric} {value} on {checked.evaluated:,} validation samples")
    if not checked.has_weights:
        print_warning(
            "recipe.toml names no weights, so the build prunes the network as model.factory returns it; train it, save "
            "its state dict, and set model.weights"
        )
    elif checked.is_guessing:
        print_warning(
            "the network classifies no better than by chance; compare weights, order of classes and normalization with "
            "those of its training"
        )
    echo(f"next: edgeprune inspect {output}")
    echo(f"      edgeprune build {output} --dry-run")
    echo(f"      edgeprune build {output} --target raspberry-pi-4")


def _check_command(output: Path) -> str:
    return f"edgeprune init --check{'' if output == Path() else f' --output {output}'}"
