"""LiteRT's interpreter for the content of a TFLite file, with its messages suppressed."""

from __future__ import annotations

import logging
from typing import Any, Literal

from edgeprune import extras
from edgeprune.errors import ModelError
from edgeprune.export.output_capture import captured

logger = logging.getLogger(__name__)

Kernels = Literal["fastest", "optimized", "reference"]
"""``fastest``: XNNPACK where possible; ``optimized``: kernels of LiteRT; ``reference``: reference kernels.

Some operators have no reference kernel.
"""
_RESOLVERS: dict[Kernels, str] = {
    "fastest": "AUTO",
    "optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


def load_interpreter(content: bytes, kernels: Kernels, threads: int) -> Any:
    """Load an interpreter and allocate its tensors.

    Raises:
        RuntimeError: LiteRT rejects the file.
        ValueError: LiteRT rejects the file.
    """
    with extras.required("tflite"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with captured(2) as printed:  # that it has made its delegate
        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=getattr(OpResolverType, _RESOLVERS[kernels]),
            num_threads=threads,
        )
        interpreter.allocate_tensors()
    logger.debug("printed: %s", printed.text.rstrip())
    return interpreter


def check(content: bytes) -> None:
    """Check that LiteRT loads a file with this content.

    Raises:
        ModelError: LiteRT rejects the file.
    """
    try:
        load_interpreter(content, "optimized", 1)
    except (RuntimeError, ValueError) as problem:
        raise ModelError(f"LiteRT cannot run the network: {problem}") from problem
