"""``edgeprune compile``: generate C99 from an int8 TFLite file."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import DataError
from edgeprune.overwrite_guard import C_CODE, check_output_folder

if TYPE_CHECKING:
    from edgeprune.backends.c.code_files import GeneratedCode, LayerSummary

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("compile", cls=Command)
@click.argument("path", metavar="MODEL.tflite", type=_FILE)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the C files, which replaces an earlier one.",
)
@click.option("--name", metavar="NAME", default="model", help="Name of the network in C identifiers.")
@click.option(
    "--inputs",
    multiple=True,
    metavar="FILE.npy",
    type=_FILE,
    help="Samples of an input, in the layout of the file, for golden vectors; repeat it for each input.",
)
@json_option
def command(path: Path, output: Path, name: str, inputs: tuple[Path, ...], as_json: bool) -> None:
    """Generate C99 from an int8 TFLite file, to run it without an interpreter.

    The code computes the same bits as the reference kernels of TFLite Micro. It has one static buffer, allocates
    nothing, and needs no library but memcpy and memset. With --inputs, golden.c has up to eight samples, the outputs
    that TFLite Micro computes for them, and a function that compares them.

    \b
    Example:
      edgeprune compile model.tflite --output generated
      edgeprune compile model.tflite --output generated --inputs samples.npy --json
    """
    check_output_folder(output, C_CODE)
    from edgeprune.backends.c.code_files import generate

    with bar("compile"):
        code = generate(path, name)
        files = dict(code.files)
        if inputs:
            from edgeprune.backends.c.golden_c_code import golden_files

            files.update(golden_files(path, name, [_samples(file) for file in inputs]))
    try:
        _write(output, files)
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}") from error
    if as_json:
        print_json(_as_json(code, files, output))
    else:
        _print(code, files, output)


def _samples(file: Path) -> Any:
    import numpy as np

    from edgeprune.input_files import open_regular

    try:
        with open_regular(file) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise DataError(f"{file} must be a NumPy array of numbers (numpy.save): {reason}") from problem


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files into a new folder, which then replaces ``folder``."""
    from edgeprune.bundle.atomic_swap import exchange
    from edgeprune.files import sync

    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text, encoding="ascii")
            sync(new / name)
        exchange(new, folder)
    finally:
        for path in (new, new.with_name(f"{new.name}.old")):
            shutil.rmtree(path, ignore_errors=True)


def _as_json(code: GeneratedCode, files: Mapping[str, str], output: Path) -> dict[str, Any]:
    return {
        "path": str(output),
        "files": {name: len(text) for name, text in sorted(files.items())},
        "arena_bytes": code.arena_bytes,
        "constants_bytes": code.weights_bytes,
        "macs": code.macs,
        "layers": [asdict(layer) for layer in code.layers],
    }


def _print(code: GeneratedCode, files: Mapping[str, str], output: Path) -> None:
    print_table(
        ("layer", "operators", "input", "output", "multiply-adds", "constants"),
        [_row(number, layer) for number, layer in enumerate(code.layers)],
        right=("layer", "multiply-adds", "constants"),
    )
    echo(f"arena     {code.arena_bytes:,} bytes")
    echo(f"constants {code.weights_bytes:,} bytes")
    echo(f"MACs      {code.macs:,}")
    echo(f"written   {output} ({', '.join(sorted(files))})")


def _row(number: int, layer: LayerSummary) -> tuple[str, ...]:
    return (
        str(number), " ".join(layer.operators), _shapes(layer.inputs), _shapes(layer.outputs), f"{layer.macs:,}",
        f"{layer.constants_bytes:,}",
    )  # fmt: skip


def _shapes(shapes: Sequence[Sequence[int]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
