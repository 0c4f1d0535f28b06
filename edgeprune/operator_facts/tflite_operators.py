"""Facts about TFLite operators, by their name in the schema's ``BuiltinOperator``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from edgeprune.operator_facts.operator_table import OperatorTable


@dataclass(frozen=True, kw_only=True)
class TfliteOperator:
    """Facts about a TFLite operator.

    Attributes:
        micro_kernel: Whether TensorFlow Lite Micro has a kernel for it.
        kernel_bytes: Code size of this kernel in bytes, measured by ``scripts/kernel_code.py``; None if not measured.
        cmsis_nn_slots: Number of persistent allocations of the CMSIS-NN kernel, for its scratch buffer and, in a fully
            connected layer, for the factors of its channels; 0 without such a kernel.
        int8: Arithmetic in an int8 file. ``integer``: ai-edge-quantizer supports the operator, and TensorFlow Lite
            Micro has a correct integer kernel. ``float``, between DEQUANTIZE and QUANTIZE: ai-edge-quantizer does not
            support it, or the integer kernel is missing (SQRT) or wrong (SUM). None: not possible.
        casts: Whether it only converts between floats and quantized integers.
        moves: Whether it only moves, joins or repeats values, and TensorFlow Lite Micro has a float kernel for it.
        channel_axis: Dimension of the output channels in the weights, its second input; None without weights.
        bias_input: Index of the input that has the bias; None without weights.
        pads_with_zeros: Whether it is a convolution whose option SAME pads its input with zeros.
        scales_channels: Whether, with a constant for each channel, it can be folded into the layer before it.
        fuses_into_producer: Whether it is an activation that may become an option of the operator before it.
        takes_activation: Whether it has an option for a fused activation.
        by_element: Whether it computes each element from the element at the same position of its only input.
        combines_elements: Whether it computes each element from those at the same position of its inputs, and repeats a
            single element.
        never_negative: Whether all elements of its result are at least 0.
        result_range: Difference between the largest and the smallest possible element of its result; None without
            limits.
        size_inputs: Indices of inputs that determine the shape of the output.
        size_depends_on_values: Whether the shape of the output depends on the values of other inputs.
    """

    micro_kernel: bool = False
    kernel_bytes: int | None = None
    cmsis_nn_slots: int = 0
    int8: Literal["integer", "float"] | None = None
    casts: bool = False
    moves: bool = False
    channel_axis: int | None = None
    bias_input: int | None = None
    pads_with_zeros: bool = False
    scales_channels: bool = False
    fuses_into_producer: bool = False
    takes_activation: bool = False
    by_element: bool = False
    combines_elements: bool = False
    never_negative: bool = False
    result_range: float | None = None
    size_inputs: tuple[int, ...] = ()
    size_depends_on_values: bool = False


_kernel = partial(TfliteOperator, micro_kernel=True)
_ROWS: dict[str, TfliteOperator] = {
    "ABS": _kernel(int8="float", kernel_bytes=5_632, by_element=True, never_negative=True),
    "ADD": _kernel(
        int8="integer",
        kernel_bytes=17_694,
        cmsis_nn_slots=1,
        scales_channels=True,
        takes_activation=True,
        combines_elements=True,
    ),
    "AVERAGE_POOL_2D": _kernel(int8="integer", kernel_bytes=8_633, cmsis_nn_slots=1, takes_activation=True),
    "BATCH_MATMUL": _kernel(int8="integer", kernel_bytes=17_944, cmsis_nn_slots=1),
    "BATCH_TO_SPACE_ND": _kernel(size_inputs=(1, 2)),
    "BROADCAST_TO": _kernel(size_inputs=(1,)),
    "CAST": _kernel(int8="float", kernel_bytes=3_739, by_element=True),
    "CEIL": _kernel(int8="float", kernel_bytes=1_804, by_element=True),
    "CONCATENATION": _kernel(int8="integer", kernel_bytes=8_576, moves=True),
    "CONV_2D": _kernel(
        int8="integer",
        kernel_bytes=14_031,
        cmsis_nn_slots=1,
        channel_axis=0,
        bias_input=2,
        pads_with_zeros=True,
        takes_activation=True,
    ),
    "COS": _kernel(int8="float", kernel_bytes=1_438, by_element=True, result_range=2),
    "DEPTHWISE_CONV_2D": _kernel(
        int8="integer",
        kernel_bytes=11_810,
        cmsis_nn_slots=1,
        channel_axis=3,
        bias_input=2,
        pads_with_zeros=True,
        takes_activation=True,
    ),
    "DEPTH_TO_SPACE": _kernel(int8="float", kernel_bytes=3_272),
    "DEQUANTIZE": _kernel(kernel_bytes=2_030, casts=True),
    "DIV": _kernel(
        int8="integer", kernel_bytes=15_178, scales_channels=True, takes_activation=True, combines_elements=True
    ),
    "ELU": _kernel(int8="float", kernel_bytes=2_012, by_element=True),
    "EXP": _kernel(int8="float", kernel_bytes=1_726, by_element=True, never_negative=True),
    "EXPAND_DIMS": _kernel(kernel_bytes=1_916, size_inputs=(1,)),
    "FILL": _kernel(size_inputs=(0,)),
    "FLOOR": _kernel(int8="float", kernel_bytes=2_072, by_element=True),
    "FULLY_CONNECTED": _kernel(
        int8="integer", kernel_bytes=10_905, cmsis_nn_slots=2, channel_axis=0, bias_input=2, takes_activation=True
    ),
    "GATHER": _kernel(int8="integer", kernel_bytes=3_900, moves=True),
    "GELU": TfliteOperator(by_element=True),
    "HARD_SWISH": _kernel(int8="integer", kernel_bytes=3_505, by_element=True),
    "LEAKY_RELU": _kernel(int8="float", kernel_bytes=2_680, by_element=True),
    "LOG": _kernel(int8="float", kernel_bytes=1_438, by_element=True),
    "LOGISTIC": _kernel(int8="integer", kernel_bytes=5_113, by_element=True, never_negative=True, result_range=1),
    "LOG_SOFTMAX": _kernel(int8="float", kernel_bytes=8_439),
    "MAXIMUM": _kernel(int8="integer", kernel_bytes=13_330, cmsis_nn_slots=1, combines_elements=True),
    "MAX_POOL_2D": _kernel(int8="integer", kernel_bytes=8_633, cmsis_nn_slots=1, takes_activation=True),
    "MEAN": _kernel(int8="integer", kernel_bytes=10_804, size_inputs=(1,)),
    "MINIMUM": _kernel(int8="float", kernel_bytes=13_330, cmsis_nn_slots=1, combines_elements=True),
    "MIRROR_PAD": _kernel(int8="integer", kernel_bytes=1_620, moves=True, size_inputs=(1,)),
    "MUL": _kernel(
        int8="integer",
        kernel_bytes=15_181,
        cmsis_nn_slots=1,
        scales_channels=True,
        takes_activation=True,
        combines_elements=True,
    ),
    "NEG": _kernel(int8="float", kernel_bytes=943, by_element=True),
    "NON_MAX_SUPPRESSION_V4": TfliteOperator(size_depends_on_values=True),
    "NON_MAX_SUPPRESSION_V5": TfliteOperator(size_depends_on_values=True),
    "PACK": _kernel(kernel_bytes=3_140),
    "PAD": _kernel(int8="integer", kernel_bytes=9_106, cmsis_nn_slots=1, moves=True, size_inputs=(1,)),
    "PADV2": _kernel(int8="integer", kernel_bytes=11_303, cmsis_nn_slots=1, moves=True, size_inputs=(1,)),
    "PRELU": _kernel(int8="float", kernel_bytes=7_753, combines_elements=True),
    "QUANTIZE": _kernel(kernel_bytes=4_079, casts=True),
    "RANGE": TfliteOperator(size_depends_on_values=True),
    "REDUCE_ALL": _kernel(size_inputs=(1,)),
    "REDUCE_MAX": _kernel(int8="float", kernel_bytes=6_982, size_inputs=(1,)),
    "REDUCE_MIN": _kernel(int8="integer", kernel_bytes=11_849, size_inputs=(1,)),
    "RELU": _kernel(int8="integer", kernel_bytes=2_766, fuses_into_producer=True, by_element=True, never_negative=True),
    "RELU6": _kernel(
        int8="float",
        kernel_bytes=2_846,
        fuses_into_producer=True,
        by_element=True,
        never_negative=True,
        result_range=6,
    ),
    "RELU_N1_TO_1": TfliteOperator(fuses_into_producer=True, by_element=True, result_range=2),
    "RESHAPE": _kernel(int8="integer", kernel_bytes=1_867, moves=True, size_inputs=(1,)),
    "RESIZE_BILINEAR": _kernel(int8="integer", kernel_bytes=4_445, size_inputs=(1,)),
    "RESIZE_NEAREST_NEIGHBOR": _kernel(int8="integer", kernel_bytes=6_090, size_inputs=(1,)),
    "ROUND": _kernel(by_element=True),
    "RSQRT": _kernel(int8="integer", kernel_bytes=4_818, by_element=True, never_negative=True),
    "SIN": _kernel(int8="float", kernel_bytes=1_438, by_element=True, result_range=2),
    "SLICE": _kernel(int8="integer", kernel_bytes=5_267, moves=True, size_inputs=(1, 2)),
    "SOFTMAX": _kernel(int8="integer", kernel_bytes=10_922, cmsis_nn_slots=1, result_range=1),
    "SPACE_TO_BATCH_ND": _kernel(size_inputs=(1, 2)),
    "SPACE_TO_DEPTH": _kernel(int8="integer", kernel_bytes=5_505),
    "SPLIT": _kernel(int8="integer", kernel_bytes=2_942, moves=True, size_inputs=(0,)),
    "SPLIT_V": _kernel(size_inputs=(1, 2)),
    "SQRT": _kernel(int8="float", kernel_bytes=5_414, by_element=True, never_negative=True),
    "SQUARE": _kernel(by_element=True, never_negative=True),
    "SQUARED_DIFFERENCE": _kernel(never_negative=True, combines_elements=True),
    "SQUEEZE": _kernel(kernel_bytes=1_527),
    "STRIDED_SLICE": _kernel(int8="integer", kernel_bytes=20_071, moves=True, size_inputs=(1, 2, 3)),
    "SUB": _kernel(
        int8="integer", kernel_bytes=20_318, scales_channels=True, takes_activation=True, combines_elements=True
    ),
    "SUM": _kernel(int8="float", kernel_bytes=11_842, size_inputs=(1,)),
    "SVDF": _kernel(cmsis_nn_slots=1),
    "TANH": _kernel(int8="integer", kernel_bytes=5_249, by_element=True, result_range=2),
    "TILE": TfliteOperator(size_inputs=(1,)),
    "TRANSPOSE": _kernel(int8="integer", kernel_bytes=4_714, cmsis_nn_slots=1, moves=True, size_inputs=(1,)),
    "TRANSPOSE_CONV": _kernel(
        int8="integer",
        kernel_bytes=12_274,
        cmsis_nn_slots=1,
        channel_axis=0,
        bias_input=3,
        takes_activation=True,
        size_inputs=(0,),
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _kernel(cmsis_nn_slots=1),
    "UNIQUE": TfliteOperator(size_depends_on_values=True),
    "UNPACK": _kernel(kernel_bytes=2_410),
    "WHERE": TfliteOperator(size_depends_on_values=True),
}
_KERNEL_ALONE = (
    "ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE BROADCAST_ARGS CALL_ONCE CUMSUM DYNAMIC_UPDATE_SLICE EMBEDDING_LOOKUP "
    "EQUAL FLOOR_DIV FLOOR_MOD GATHER_ND GREATER GREATER_EQUAL IF L2_NORMALIZATION L2_POOL_2D LESS LESS_EQUAL "
    "LOGICAL_AND LOGICAL_NOT LOGICAL_OR NOT_EQUAL READ_VARIABLE REVERSE_V2 SELECT_V2 SHAPE "
    "VAR_HANDLE WHILE ZEROS_LIKE"
)
"""Operators whose only known fact is that TensorFlow Lite Micro has a kernel."""
TFLITE = OperatorTable(
    [*(((name,), facts) for name, facts in _ROWS.items()), (_KERNEL_ALONE.split(), _kernel())], default=TfliteOperator()
)
MOST_CONCATENATED = 10
"""Largest number of inputs of CONCATENATION in TensorFlow Lite Micro."""
MICRO_CUSTOM_KERNELS = frozenset({
    "CIRCULAR_BUFFER", "SignalDelay", "SignalEnergy", "SignalFftAutoScale", "SignalFilterBank", "SignalFilterBankLog",
    "SignalFilterBankSpectralSubtraction", "SignalFilterBankSquareRoot", "SignalFramer", "SignalIrfft",
    "SignalOverlapAdd", "SignalPCAN", "SignalRfft", "SignalStacker", "SignalWindow", "TFLM_DECODE",
    "TFLite_Detection_PostProcess",
})  # fmt: skip
"""Codes of custom operators with a kernel in TensorFlow Lite Micro; that of an Ethos-U needs its driver."""
