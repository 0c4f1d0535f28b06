"""TFLite files that lie about themselves: an error that says what and where; nothing follows a bad offset."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.cli import run
from edgeprune.errors import ModelError
from edgeprune.tflite import tflite_verifying
from edgeprune.tflite.tflite_file import input_ports, output_ports, pack, read
from edgeprune.tflite.tflite_loading import load
from edgeprune.tflite.tflite_verifying import fields
from tests.example_count import example_count
from tests.tflite.tflite_files import FLOAT, fully_connected


@cache
def _content() -> bytes:
    file, x, y = fully_connected()
    return file.content((x,), (y,))


def _model() -> schema.ModelT:
    file, x, y = fully_connected()
    return file.model((x,), (y,))


def test_a_good_file_is_loaded_as_it_is() -> None:
    model = load(_content())
    assert [tensor.name for tensor in model.subgraphs[0].tensors] == [b"x", b"w", b"y"]
    assert list(model.subgraphs[0].operators[0].inputs) == [0, 1, -1]


def test_files_of_others_are_loaded(shared_data: Path) -> None:
    files = sorted((shared_data / "models").glob("*.tflite"))
    assert len(files) == 2
    assert all(load(path.read_bytes()).subgraphs for path in files)


def test_the_schema_is_that_of_the_generated_code() -> None:
    """Every offset that generated code knows of leads to what it says: none is taken for a string by mistake."""
    tables = [name for name, value in vars(schema).items() if isinstance(value, type) and hasattr(value, "GetRootAs")]
    assert len(tables) > 150
    for table in tables:
        for field in fields(table):
            written = getattr(schema, f"{table}Start{field.name}Vector", None)
            assert bool(written) == bool(field.element), (table, field)
            accessor = getattr(getattr(schema, table), field.name)
            names = accessor.__code__.co_names
            assert ("String" in names) == field.string, (table, field)
            assert ("Union" in names) == bool(field.union), (table, field)
            inner = [name for name in names if isinstance(getattr(schema, name, None), type)]
            assert ([field.table] if field.table else []) == inner, (table, field)
    conv = {field.name: field.slot for field in fields("Conv2DOptions")}
    assert conv["Padding"] == 0
    assert conv["DilationHFactor"] == 5


@pytest.mark.parametrize("keep", range(0, 590, 6))
def test_a_file_that_is_cut_off_is_refused(keep: int) -> None:
    content = _content()
    assert keep < len(content)
    with pytest.raises(ValueError, match=rf"TFL3|bytes .* of {keep}$"):
        load(content[:keep])


def test_the_path_and_the_place_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.tflite").write_bytes(_content()[:400])
    with pytest.raises(ModelError, match=r"cut\.tflite.*TFLite.*400"):
        read(tmp_path / "cut.tflite")


def _named(place: str) -> bytes:
    """A good file but for one string, that at ``place``."""
    model = _model()
    graph, name = model.subgraphs[0], b"\xff\xfe\x1b]0;title\x07"
    if place == "Name":
        graph.name = name
    elif place == "Description":
        model.description = name
    elif place == "CustomCode":
        model.operatorCodes[0].customCode = name
    elif place == "Metadata[0].Name":
        model.metadata = [schema.MetadataT(name=name, buffer=0)]
    elif place == "SignatureDefs[0].SignatureKey":
        model.signatureDefs = [schema.SignatureDefT(signatureKey=name, inputs=[], outputs=[])]
    else:
        graph.tensors[0].name = name
    return pack(model)


@pytest.mark.parametrize(
    "place",
    ["Tensors[0].Name", "Name", "Description", "CustomCode", "Metadata[0].Name", "SignatureDefs[0].SignatureKey"],
)
@pytest.mark.parametrize("command", ["lint", "profile"])
def test_a_string_that_is_not_utf8_is_an_input_error(
    command: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "named.tflite"
    path.write_bytes(_named(place))
    assert run([command, str(path)]) == 3
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    for part in ("error: ", str(path), place, "UTF-8", r"\xff\xfe"):
        assert part in output
    assert output.rstrip("\n").isprintable()


@pytest.mark.parametrize("buffer", [2, 127, 2**32 - 1])
def test_metadata_in_a_buffer_that_is_not_there_is_refused(buffer: int) -> None:
    model = _model()
    model.metadata = [schema.MetadataT(name="m", buffer=1)]
    assert load(pack(model)).metadata[0].buffer == 1
    model.metadata[0].buffer = buffer
    with pytest.raises(ValueError, match=rf"'m' .*buffer {buffer} of 2"):
        load(pack(model))


@pytest.mark.parametrize(("graph", "tensor", "message"), [(1, 0, "graph 1 of 1"), (0, 3, "tensor 3 of 3")])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_signature_of_a_missing_tensor_is_refused(side: str, graph: int, tensor: int, message: str) -> None:
    model = _model()
    signature = schema.SignatureDefT(signatureKey="s", subgraphIndex=graph, inputs=[], outputs=[])
    setattr(signature, side, [schema.TensorMapT(name="x", tensorIndex=tensor)])
    model.signatureDefs = [signature]
    with pytest.raises(ValueError, match=rf"'s' .* {message}"):
        load(pack(model))


def test_a_refusal_of_the_runtime_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = _model()
    model.operatorCodes[0].version = 2**31 - 1
    path = tmp_path / "newer.tflite"
    path.write_bytes(pack(model))
    assert run(["profile", str(path), "--runs", "1", "--blocks", "1"]) == 5
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "FULLY_CONNECTED" in output
    assert "INFO" not in output


def test_missing_fields_are_empty(tmp_path: Path) -> None:
    model = _model()
    graph, x = model.subgraphs[0], model.subgraphs[0].tensors[0]
    for tensor in graph.tensors:
        tensor.name = None
    x.quantization = schema.QuantizationParametersT(scale=[0.5])
    path = tmp_path / "nameless.tflite"
    path.write_bytes(pack(model))
    (port,) = input_ports(read(path))
    assert (port.name, port.scale, port.zero_point) == ("", 0.5, 0)
    graph.inputs = graph.outputs = graph.operators[0].inputs = None
    path.write_bytes(pack(model))
    assert input_ports(read(path)) == output_ports(read(path)) == ()


@pytest.mark.parametrize("operators", [None, []])
def test_a_graph_without_operators_is_refused(operators: list[object] | None, tmp_path: Path) -> None:
    model = _model()
    model.subgraphs[0].operators, model.subgraphs[0].outputs = operators, model.subgraphs[0].inputs
    path = tmp_path / "empty.tflite"
    path.write_bytes(pack(model))
    with pytest.raises(ModelError) as problem:
        read(path)
    assert str(path) in str(problem.value)
    assert "graph 0" in str(problem.value)


@pytest.mark.long
@example_count(400)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_random_bytes_are_an_error_or_a_file(changes: list[tuple[int, int]]) -> None:
    content = bytearray(_content())
    for place, value in changes:
        content[place % len(content)] = value
    _loads_or_refuses(bytes(content))


@example_count(400)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 4, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF, 0x10000, 0xFFFF]),
)
def test_hostile_offsets_and_lengths_are_an_error_or_a_file(place: int, value: int) -> None:
    content = bytearray(_content())
    struct.pack_into("<I", content, 4 * (place % (len(content) // 4)), value)
    _loads_or_refuses(bytes(content))


@pytest.mark.long
@example_count(100)
@given(st.binary(max_size=400))
def test_anything_behind_the_mark_is_an_error_or_a_file(behind: bytes) -> None:
    _loads_or_refuses(b"\x08\0\0\0TFL3" + behind)


def _loads_or_refuses(content: bytes) -> None:
    try:
        model = load(content)
    except ValueError:
        return
    assert load(pack(model)).subgraphs[0].operators is not None  # all of it can be read


def test_tables_that_share_each_other_do_not_unfold() -> None:
    """10,000 graphs that are all one, with 10,000 operators that are all one: 100 million in 80 kB."""
    builder = flatbuffers.Builder(1 << 18)

    def many(start: Callable[[flatbuffers.Builder, int], object], one: int) -> int:
        start(builder, 10_000)
        for _ in range(10_000):
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    schema.OperatorStart(builder)
    schema.OperatorAddOpcodeIndex(builder, 1)
    operators = many(schema.SubGraphStartOperatorsVector, schema.OperatorEnd(builder))
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators)
    graphs = many(schema.ModelStartSubgraphsVector, schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    content = bytes(builder.Output())
    assert len(content) < 100_000
    with pytest.raises(ValueError, match=r"Subgraphs|Operators|tables"):
        load(content)


def _change(path: str, value: object) -> Callable[[schema.ModelT], None]:
    def change(model: schema.ModelT) -> None:
        *owners, name = path.split(".")
        owner = model
        for part in owners:
            owner = owner[int(part)] if part.isdigit() else getattr(owner, part)
        if name.isdigit():
            owner[int(name)] = value
        else:
            setattr(owner, name, value)

    return change


_GRAPH = "subgraphs.0"
_CONTRADICTIONS = [
    ("version", 7, "version 7"),
    ("operatorCodes", None, "operatorCodes"),
    ("subgraphs", [], "subgraphs"),
    ("buffers", None, "buffers"),
    (f"{_GRAPH}.inputs.0", 3, "inputs .*tensor 3 of 3"),
    (f"{_GRAPH}.outputs.0", -1, "outputs .*tensor -1"),
    (f"{_GRAPH}.operators.0.opcodeIndex", 9, "operator 0 .*code 9 of 1"),
    (f"{_GRAPH}.operators.0.inputs.1", 2**31 - 1, "input of operator 0 .*tensor 2147483647"),
    (f"{_GRAPH}.operators.0.inputs.0", 2, "reads tensor 2"),
    (f"{_GRAPH}.operators.0.outputs", [], "output tensor 2"),
    (f"{_GRAPH}.operators.0.outputs.0", 77, "output of operator 0 .*tensor 77"),
    (f"{_GRAPH}.operators.0.largeCustomOptionsOffset", 1 << 40, "options of operator 0 .*bytes"),
    (f"{_GRAPH}.tensors.1.buffer", 5, r"tensor 1 \(w\) .*buffer 5 of 2"),
    (f"{_GRAPH}.tensors.1.shape", [4, 9], r"tensor 1 \(w\).* 36 bytes.* 32"),
    (f"{_GRAPH}.tensors.1.shape", [4, -8], r"shape \[4, -8\]"),
    (f"{_GRAPH}.tensors.0.shape", [1 << 30, 1 << 30], r"shape \[1073741824, 1073741824\]"),
    (f"{_GRAPH}.tensors.0.type", 99, "type 99"),
    (f"{_GRAPH}.tensors.1.quantization.scale", [float("nan")], r"tensor 1 \(w\).*finite"),
    (f"{_GRAPH}.tensors.1.quantization.scale", [0.1, 0.1], "2 .*steps.* 1 zero"),
    (f"{_GRAPH}.tensors.1.quantization.scale", [0.1] * 4, "4 .*steps.* 1 zero"),
    ("buffers.1.offset", 1 << 40, "buffer 1 .*bytes"),
]


@pytest.mark.parametrize(("path", "value", "message"), _CONTRADICTIONS)
def test_contradictory_fields_are_named(path: str, value: object, message: str) -> None:
    model = _model()
    _change(path, value)(model)
    builder = flatbuffers.Builder(1024)  # not pack, which would put buffers in order
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ValueError, match=message):
        load(bytes(builder.Output()))


def test_steps_by_channel_need_the_channels() -> None:
    file, x, y = fully_connected()
    file.tensor("w", (4, 8), data=np.ones((4, 8), np.int8), steps=4, axis=2)
    for axis, text in ((2, "dimension 2 of 2"), (1, "4 .*dimension of size 8")):
        file.tensors[-1].quantization.quantizedDimension = axis
        with pytest.raises(ValueError, match=text):
            load(file.content((x,), (y,)))
    file.tensors[-1].quantization.quantizedDimension = 0
    load(file.content((x,), (y,)))


def test_a_vector_of_the_wrong_alignment_is_refused() -> None:
    """A Cortex-M0+ stops at a load of 32 bits from another address."""
    content = _content()
    assert tflite_verifying.verify(content) is None
    shifted = struct.pack("<I", struct.unpack_from("<I", content)[0] + 2) + b"TFL3" + b"\0\0" + content[8:]
    with pytest.raises(ValueError, match="multiple of 4"):
        load(shifted)


def test_lists_that_are_left_out_are_empty() -> None:
    model = _model()
    model.subgraphs[0].operators[0].inputs = None
    model.subgraphs[0].tensors[0].name = None
    model.subgraphs[0].tensors.append(schema.TensorT(shape=None, type=FLOAT, name=b"v", isVariable=True))
    loaded = load(pack(model))
    assert list(loaded.subgraphs[0].operators[0].inputs) == []
    assert loaded.subgraphs[0].tensors[0].name == b""
