"""The arena of TFLite Micro by kind, and restated for 32-bit pointers."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.backends.tflm.arena import parsed
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.errors import ModelError

_PRINTED = """
[RecordingMicroAllocator] Arena allocation total 3000 bytes
[RecordingMicroAllocator] Arena allocation head 1000 bytes
[RecordingMicroAllocator] Arena allocation tail 2000 bytes
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 240 bytes with alignment overhead (requested 240 bytes for 10 allocations)
[RecordingMicroAllocator] 'Persistent buffer data' used 512 bytes with alignment overhead (requested 500 bytes for 7 allocations)
[RecordingMicroAllocator] 'NodeAndRegistration struct' used 130 bytes with alignment overhead (requested 128 bytes for 2 NodeAndRegistration structs)
"""  # noqa: E501


def test_only_structures_with_pointers_shrink_on_32_bit() -> None:
    arena = parsed(_PRINTED)
    assert (arena.total_bytes, arena.nonpersistent_bytes, arena.persistent_bytes) == (3000, 1000, 2000)
    assert {name: (kind.allocations, kind.host_bytes, kind.target_bytes) for name, kind in arena.by_kind.items()} == {
        "TfLiteEvalTensor data": (10, 240, 120),
        "Persistent buffer data": (7, 512, 512),
        "NodeAndRegistration struct": (2, 130, 130),  # its size is not the one that is known: better too much
        "other": (0, 1118, 606),
    }
    assert arena.by_kind["TfLiteEvalTensor data"].arithmetic == "10 x 12 = 120: 24 each on the host"
    assert arena.restated_for_32_bit == 1000 + 120 + 512 + 130 + 606


def test_unknown_output_of_the_allocator_is_an_error() -> None:
    with pytest.raises(ModelError, match="'something else'"):
        parsed("something else\n")


@pytest.mark.parametrize(
    ("name", "total", "head", "restated"), [("ic", 55_984, 49_152, 54_432), ("ad01", 3984, 768, 2708)]
)
def test_mlperf_tiny(shared_data: Path, name: str, total: int, head: int, restated: int) -> None:
    arena = Interpreter(shared_data / "models" / f"mlperf_tiny_{name}_int8.tflite").arena()
    assert (arena.total_bytes, arena.nonpersistent_bytes) == (total, head)
    assert arena.restated_for_32_bit == restated
    assert sum(kind.host_bytes for kind in arena.by_kind.values()) == arena.persistent_bytes == total - head
    structures = ("TfLiteEvalTensor data", "Persistent TfLiteTensor data", "NodeAndRegistration struct")
    assert all(arena.by_kind[kind].target_bytes < arena.by_kind[kind].host_bytes for kind in structures)
