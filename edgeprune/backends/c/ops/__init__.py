"""Operators with C code, one file for each family. Importing this package registers them."""

from edgeprune.backends.c.ops import (  # noqa: F401
    arithmetic_code,
    cast_code,
    convolution_code,
    matrix_product_code,
    movement_code,
    pair_code,
    pooling_code,
    reduction_code,
    resizing_code,
    selection_code,
    softmax_code,
    table_code,
    view_code,
)
