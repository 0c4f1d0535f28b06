"""``edgeprune convert``: convert an ONNX file to TFLite, without a build."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.overwrite_guard import TFLITE, check_output_file

if TYPE_CHECKING:
    from edgeprune.tflite.conversion import Port

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("convert", cls=Command)
@click.argument("source", metavar="MODEL.onnx", type=_FILE)
@click.argument("output", metavar="MODEL.tflite", type=_FILE)
@json_option
def command(source: Path, output: Path, as_json: bool) -> None:
    """Convert an ONNX file with fixed shapes to a TFLite file.

    The file runs in LiteRT and TFLite Micro. Images have their channels last in the TFLite file, including inputs and
    outputs: NCHW becomes NHWC. With --json, 'order' maps each dimension of the TFLite file to its dimension in the ONNX
    file.

    \b
    Example:
      edgeprune convert model.onnx model.tflite
      edgeprune convert model.onnx model.tflite --json
    """
    check_output_file(output, TFLITE, inputs=[source])
    from edgeprune.tflite.conversion import convert

    try:
        with bar("convert"):
            converted = convert(source, output)
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}") from error
    if as_json:
        print_json({**asdict(converted), "path": str(converted.path)})
        return
    for kind, ports in (("input", converted.inputs), ("output", converted.outputs)):
        for port in ports:
            echo(f"{kind:<7} {_port_text(port)}")
    echo(f"ops     {', '.join(f'{count} {name}' for name, count in converted.operators.items())}")
    echo(f"written {converted.path} ({converted.file_bytes:,} bytes)")


def _port_text(port: Port) -> str:
    permutation = "" if port.order == tuple(sorted(port.order)) else f", dimensions {list(port.order)} of the ONNX file"
    return f"{port.name}: {port.dtype} {list(port.shape)}{permutation}"
