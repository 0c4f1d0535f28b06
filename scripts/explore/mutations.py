"""Random changes of real files: of bytes, of JSON values, of the fields of ONNX and TFLite models, of archives."""

from __future__ import annotations

import contextlib
import copy
import gzip
import hashlib
import io
import json
import random
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TOKENS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 3000, b'{"a":' * 100, b"9" * 5000, b"1" + b"0" * 400, b"1e999",
    b"NaN", b"null", b"[]", b"{}", b'""', b"-1", b"0", b"true", b"\\ud800", b"\x1b]0;x\x07", b"../../x", b"/dev/zero",
    b"\n", b"\r", b"18446744073709551616", b"0.5", b"\xe2\x80\xae", b"%s{}", b"A" * 70_000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 0.0, -0.5, 1e-300, 1e300, "", "x", "\x1b[31m\u202e", "a" * 5000, [],
    {}, [[]], [0], {"": []}, [None], "0", "NaN",
)  # fmt: skip
_INTEGERS = (0, 1, -1, 2, 3, 7, 127, 255, 1 << 15, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, (1 << 63) - 1)
_FLOATS = (0.0, -1.0, 1e-40, 1e38, float("nan"), float("inf"))
_STRINGS = ("", "x", "Conv", "\x1b[31m\u202e", "a" * 5000, "../../x", "%s{}")
_OF_VALUES = 0.6
_OF_FIELDS = 0.7
_OF_GZIP, _OF_TAR = 0.25, 0.25
_COMPRESSION = 6
"""The level of ``bundle.archive``: the header of a gzip stream depends on it."""


def mutated_file(name: str, content: bytes, chance: random.Random) -> bytes:
    """Change the content of a file in the ways that suit its name."""
    if name.endswith(".tar.gz"):
        return _mutated_archive(content, chance)
    if name.endswith((".onnx", ".tflite")) and chance.random() < _OF_FIELDS:
        # If a field cannot hold its new value, or the model cannot be parsed, change bytes instead.
        with contextlib.suppress(ValueError, TypeError, AttributeError, OverflowError, struct.error):
            return (_mutated_onnx if name.endswith(".onnx") else _mutated_tflite)(content, chance)
    return mutated(content, chance)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of ``content``: of bits, bytes, blocks and tokens, or of values if it is JSON."""
    if chance.random() < _OF_VALUES and content[:1] == b"{":
        with contextlib.suppress(ValueError):
            return _with_other_values(content, chance)
    result = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(result) + 1)
        kind = chance.randrange(8)
        if kind == 0 and result:
            result[place % len(result)] ^= 1 << chance.randrange(8)
        elif kind == 1 and result:
            result[place % len(result)] = chance.randrange(256)
        elif kind == 2:
            del result[place : place + chance.choice((1, 4, 64, 4096))]
        elif kind == 3:
            result[place:place] = chance.choice(_TOKENS)
        elif kind == 4:
            result[place:place] = result[: chance.choice((1, 16, 512))]
        elif kind == 5:
            del result[place:]
        elif kind == 6:
            _replace_value(result, chance)
        else:
            size = chance.choice((1, 2, 4, 8))
            number = chance.choice((0, 1, 2**31, 2**63, -1))
            result[place : place + size] = number.to_bytes(9, "little", signed=True)[:size]
    return bytes(result)


def reseal(folder: Path, member: str) -> None:
    """Write the hash and size that ``member`` of the bundle in ``folder`` has now into the manifest, if it lists it."""
    path, content = folder / "manifest.json", (folder / member).read_bytes()
    manifest = json.loads(path.read_bytes())
    if member in manifest["files"]:
        manifest["files"][member] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        path.write_text(json.dumps(manifest, indent=2) + "\n")


def _with_other_values(content: bytes, chance: random.Random) -> bytes:
    """JSON with values removed, doubled or replaced at one to three places, so that it still is JSON."""
    tree = json.loads(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        parent, key = chance.choice(places)
        kind = chance.randrange(4)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.append(parent[key])
        elif kind == 2:  # the value of another place
            other, its_key = chance.choice(places)
            parent[key] = copy.deepcopy(other[its_key]) if its_key in other or isinstance(other, list) else None
        else:
            parent[key] = copy.deepcopy(chance.choice(_VALUES))
        if not tree:
            break
    return json.dumps(tree).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _replace_value(content: bytearray, chance: random.Random) -> None:
    """Replace what is between a colon or comma and the next comma or bracket."""
    starts = [place + 1 for place, byte in enumerate(content[:20_000]) if byte in b":,=["]
    if starts:
        start = chance.choice(starts)
        ends = (place for place in range(start, min(len(content), start + 200)) if content[place] in b",}]\n")
        end = next(ends, start)
        content[start:end] = chance.choice(_TOKENS)


def _mutated_archive(content: bytes, chance: random.Random) -> bytes:
    """Change the gzip stream, the tar stream in it, or a member together with its hash in the manifest."""
    kind = chance.random()
    if kind < _OF_GZIP:
        return mutated(content, chance)
    epoch = int.from_bytes(content[4:8], "little")
    if kind < _OF_GZIP + _OF_TAR:
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", _COMPRESSION, packed, mtime=epoch) as file:
            file.write(mutated(gzip.decompress(content), chance))
        return packed.getvalue()
    from edgeprune.bundle import archive

    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(scratch, filter="data")
        (folder,) = Path(scratch).iterdir()
        members = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        member = chance.choice(members)
        (folder / member).write_bytes(mutated_file(member, (folder / member).read_bytes(), chance))
        if member != "manifest.json":
            reseal(folder, member)
        written = Path(scratch) / "written.tar.gz"
        archive.write(written, folder, members, epoch)
        return written.read_bytes()


def _mutated_onnx(content: bytes, chance: random.Random) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change_message(model, chance)
    changed: bytes = model.SerializeToString()
    return changed


def _change_message(message: Any, chance: random.Random) -> None:
    """Change one field of a protobuf message, or of a message in it."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = chance.choice(fields)
    repeated, inner = not isinstance(value, (int, float, str, bytes)) and hasattr(value, "append"), field.message_type
    if chance.random() < 0.1:
        message.ClearField(field.name)
    elif repeated:
        place = chance.randrange(len(value))
        kind = chance.randrange(8)
        if kind == 0:
            del value[place]
        elif kind == 1:
            value.append(value[place])
        elif kind == 2:
            other = chance.randrange(len(value))
            value.append(value[other])
            del value[place]
        elif inner is not None:
            _change_message(value[place], chance)
        else:
            value[place] = _other_value(value[place], chance)
    elif inner is not None:
        _change_message(value, chance)
    else:
        setattr(message, field.name, _other_value(value, chance))


def _mutated_tflite(content: bytes, chance: random.Random) -> bytes:
    from edgeprune.tflite import tflite_loading
    from edgeprune.tflite.tflite_file import pack

    model = tflite_loading.load(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change_table(model, chance)
    return bytes(pack(model))


def _change_table(table: Any, chance: random.Random) -> None:
    """Change one field of a table of a flatbuffer, or of a table in it."""
    names = [name for name, value in vars(table).items() if value is not None]
    if not names:
        return
    name = chance.choice(names)
    value = getattr(table, name)
    if chance.random() < 0.05:
        setattr(table, name, None)
    elif hasattr(value, "__dict__"):
        _change_table(value, chance)
    elif isinstance(value, (bytes, int, float)):
        setattr(table, name, _other_value(value, chance))
    elif len(value):
        entries = list(value)
        place, kind = chance.randrange(len(entries)), chance.randrange(8)
        if kind == 0:
            del entries[place]
        elif kind == 1:
            entries.append(entries[place])
        elif hasattr(entries[place], "__dict__"):
            _change_table(entries[place], chance)
        else:
            entries[place] = _other_value(entries[place], chance)
        setattr(table, name, entries)


def _other_value(value: Any, chance: random.Random) -> Any:
    """A value of the type of ``value``."""
    if isinstance(value, bytes):
        return mutated(value, chance) if chance.random() < 0.5 else chance.choice(_STRINGS).encode()
    if isinstance(value, str):
        return chance.choice(_STRINGS)
    return chance.choice(_FLOATS if "float" in type(value).__name__ else _INTEGERS)
