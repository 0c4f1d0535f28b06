"""Size of the tensor arena of TFLite Micro.

The recording allocator measures it on the host; EdgePrune restates it for 32-bit pointers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgeprune.backends.footprint import AllocationKind, Arena
from edgeprune.errors import ModelError

_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_KIND = re.compile(r"'(.+?)' used (\d+) bytes with alignment overhead \(requested \d+ bytes for (\d+) ")
_EVAL_TENSOR = "TfLiteEvalTensor data"
_TENSOR = "Persistent TfLiteTensor data"
_QUANTIZATION = "Persistent TfLiteTensor quantization data"
_NODE = "NodeAndRegistration struct"
_OTHER = "other"

_HOST_ONLY_BYTES = 512
"""Bytes that only the host needs: counters of the recording allocator, and wider pointers of all allocators.

Measured: images of three networks with TensorFlow Lite Micro 90b983c on a Cortex-M4 used 592 to 604 bytes less.
"""

# Bytes of one structure with pointers and size_t of 8 bytes, and with such of 4, from the declarations in
# tensorflow/lite/c/common.h (as TF_LITE_STATIC_MEMORY has them) and micro_graph.h.
_STRUCTURES: Mapping[str, tuple[int, int]] = {
    # TfLiteEvalTensor: data*, dims*, type
    _EVAL_TENSOR: (24, 12),
    # TfLiteTensor: quantization {type, params*}, scale and zero point, data*, dims*, bytes, type, allocation, variable
    _TENSOR: (64, 40),
    # Two allocations: TfLiteAffineQuantization {scale*, zero_point*, dimension} of 24 or 12, and an array of one of 8
    _QUANTIZATION: (16, 10),
    # TfLiteNode: inputs*, outputs*, intermediates*, user*, builtin*, custom*, size; and registration*
    _NODE: (64, 32),
}


def parsed(text: str) -> Arena:
    """Parse the output of ``RecordingMicroAllocator::PrintAllocations``.

    Raises:
        ModelError: The text is not such output.
    """
    totals = {name: int(count) for name, count in _TOTAL.findall(text)}
    if set(totals) != {"total", "head", "tail"}:
        raise ModelError(f"expected the arena size in the log of TFLite Micro's allocator, got {text.strip()[:200]!r}")
    kinds = {name: _kind(name, int(host_bytes), int(count)) for name, host_bytes, count in _KIND.findall(text)}
    remainder = totals["tail"] - sum(kind.host_bytes for kind in kinds.values())
    arithmetic = f"{remainder} on the host, less {_HOST_ONLY_BYTES} of its recording allocator"
    kinds[_OTHER] = AllocationKind(0, remainder, max(0, remainder - _HOST_ONLY_BYTES), arithmetic)
    return Arena(totals["total"], totals["head"], totals["tail"], kinds)


def _kind(name: str, host_bytes: int, count: int) -> AllocationKind:
    host_size, target_size = _STRUCTURES.get(name, (0, 0))
    if host_bytes != count * host_size:  # not a list of known structures
        return AllocationKind(count, host_bytes, host_bytes, f"{host_bytes}: as on the host, pointers included")
    return AllocationKind(
        count,
        host_bytes,
        count * target_size,
        f"{count} x {target_size} = {count * target_size}: {host_size} each on the host",
    )
