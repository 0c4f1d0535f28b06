"""Facts about ONNX operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeprune.operator_facts.operator_table import OperatorTable


@dataclass(frozen=True)
class OnnxOperator:
    """Facts about an operator.

    Attributes:
        has_weights: A convolution or matrix product: its second input has weights, the third, if any, a bias.
        onnxruntime_int8: What ONNX Runtime's CPU kernels gain by int8: ``gains`` time wherever it stands; ``follows``
            has an integer kernel, worth it where all inputs are integers already; ``passes`` has none, but lets
            a quantized value through to the next operator. None: the operator stays float.
        tensorrt_int8: TensorRT has an int8 kernel for it.
        moves: Only moves, joins or repeats values.
        homogeneous: f(s x) = s f(x) for every s > 0, channel by channel.
        commutative: The order of the inputs does not matter.
        cannot_fold: Has no constant result although its inputs are constants: the result is random, the operator may
            not end, or it reads more than its inputs.
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
