"""Guards against overwriting files that are not an earlier output of the same command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import InputError

_HEAD_BYTES = 512


@dataclass(frozen=True)
class FileKind:
    """Kind of file that a command writes.

    Attributes:
        name: Name in messages, such as "an SVG picture".
        matches: Function that returns whether the first bytes of a file are those of this kind.
    """

    name: str
    matches: Callable[[bytes], bool]


def _text(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.lstrip().lower().startswith(starts)


SVG = FileKind("an SVG picture", _text(b"<svg", b"<?xml"))
PNG = FileKind("a PNG picture", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"))
HTML = FileKind("an HTML page", _text(b"<!doctype html", b"<html"))
XML = FileKind("an XML file", _text(b"<?xml", b"<testsuite"))
PROFILE = FileKind("a profile", lambda head: head.startswith(b"{") and b'"edgeprune"' in head)
TRACE = FileKind("a Chrome trace", lambda head: head.startswith(b"{") and b'"traceEvents"' in head)
TFLITE = FileKind("a TFLite file", lambda head: head[4:8] == b"TFL3")


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one existing file, also through links."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_is_not_input(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output path that is one of the command's inputs.

    Args:
        path: Output path.
        inputs: Paths of the inputs.

    Raises:
        InputError: The path leads to an input, directly or through a link.
    """
    for source in inputs:
        if is_same_file(path, source):
            raise InputError(f"cannot write {path}: it is the input {source}; name another file for the output")


def files_of(path: Path | None) -> list[Path]:
    """Return ``path`` if it is a file, or all files below it if it is a folder, such as a bundle."""
    if path is None:
        return []
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def check_output_file(path: Path, kind: FileKind, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output path whose content would be lost.

    Accepted are a path without a file, an empty file, a file of the same kind, and a device such as /dev/stdout.

    Args:
        path: Output path.
        kind: Kind of the new file.
        inputs: Paths of the inputs, which must not be overwritten.

    Raises:
        InputError: The path is an input, a folder, or a file of another kind.
    """
    check_is_not_input(path, inputs)
    if not path.exists():
        return
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file")
    if not path.is_file():  # such as /dev/stdout
        return
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as problem:
        raise InputError(f"cannot write {path}: {problem.strerror}") from problem
    if head.strip() and not kind.matches(head):
        raise InputError(
            f"cannot write {path}: it exists and is not {kind.name}; name another file, or remove this one first"
        )
