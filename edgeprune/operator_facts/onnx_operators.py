"""Facts about ONNX operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeprune.operator_facts.operator_table import OperatorTable


@dataclass(frozen=True)
class OnnxOperator:
    """Facts about an ONNX operator.

    Attributes:
        has_weights: Whether it is a convolution or matrix product. Its second input has the weights, and the third, if
            present, the bias.
        onnxruntime_int8: Benefit of int8 in ONNX Runtime's CPU kernels. ``gains``: always faster. ``follows``: has an
            integer kernel, which pays off if all inputs are integers. ``passes``: has no integer kernel, but passes a
            quantized value to the next operator. None: remains float.
        tensorrt_int8: Whether TensorRT has an int8 kernel for it.
        moves: Whether it only moves, joins or repeats values.
        homogeneous: Whether f(s x) = s f(x) for every s > 0, channel by channel.
        commutative: Whether the order of the inputs is irrelevant.
        cannot_fold: Whether its result is not constant although its inputs are. The result may be random, the operator
            may not terminate, or it may read more than its inputs.
    """

    has_weights: bool = False
    onnxruntime_int8: Literal["gains", "follows", "passes"] | None = None
    tensorrt_int8: bool = False
    moves: bool = False
    homogeneous: bool = False
    commutative: bool = False
    cannot_fold: bool = False


_ROWS: tuple[tuple[str, OnnxOperator], ...] = (
    ("Conv Gemm MatMul", OnnxOperator(has_weights=True, onnxruntime_int8="gains", tensorrt_int8=True)),
    ("ConvTranspose", OnnxOperator(has_weights=True, tensorrt_int8=True)),
    ("Add", OnnxOperator(onnxruntime_int8="follows", tensorrt_int8=True, commutative=True)),
    ("Mul", OnnxOperator(onnxruntime_int8="follows", commutative=True)),
    ("Max Min", OnnxOperator(commutative=True)),
    (
        "AveragePool GlobalAveragePool LeakyRelu MaxPool Relu",
        OnnxOperator(onnxruntime_int8="follows", homogeneous=True),
    ),
    ("Clip Resize Sigmoid", OnnxOperator(onnxruntime_int8="follows")),
    ("Concat Flatten Reshape Split Squeeze Transpose Unsqueeze", OnnxOperator(onnxruntime_int8="follows", moves=True)),
    ("Pad Slice", OnnxOperator(onnxruntime_int8="passes", moves=True)),
    ("Expand Gather Identity Tile", OnnxOperator(moves=True)),
    (
        "Bernoulli If Loop Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike Scan",
        OnnxOperator(cannot_fold=True),
    ),
)
ONNX = OperatorTable(((names.split(), facts) for names, facts in _ROWS), default=OnnxOperator())
