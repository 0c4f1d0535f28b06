"""Operators with C code, one file for each family. Importing this package registers them."""

from edgeprune.backends.c.ops import (  # noqa: F401
    arithmetic_code,
    convolution_code,
    movement_code,
    pooling_code,
    softmax_code,
    table_code,
    view_code,
)
