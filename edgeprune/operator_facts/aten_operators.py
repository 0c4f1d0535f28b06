"""Facts about ATen operators, which captured programs call.

Names have neither an overload nor the underscore of the in-place variant, see
``graph.graph_operators.operator_name``. Whether an operator returns a view, changes an argument or draws random numbers
is not part of the table: ``graph.graph_operators`` reads it from torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeprune.operator_facts.operator_table import OperatorTable


@dataclass(frozen=True)
class AtenOperator:
    """Facts about an ATen operator. They apply to the default values of its arguments.

    Attributes:
        layer: Kind of an operator that multiplies ``input`` by ``weight``: ``convolution`` (never transposed),
            ``any_convolution`` (always transposed, or depending on an argument), or ``linear``; None for others.
        multiplies_matrices: Whether the last argument is the right factor of a matrix product. A factor for each column
            of the left matrix can be folded into the rows of the right one.
        scales_channels: Whether ``weight`` and ``bias`` scale and shift the normalized channels of ``input``.
        keeps_zero: Whether an element of the result is zero if the elements of the first argument on which it depends
            are zero.
        scales: Whether the first argument is multiplied or divided by the second, so that a number there keeps zeros.
        moves: Whether it copies elements of the first argument to other positions. It may repeat them or add constants.
        copies: Whether it copies every element of the first argument to the same position.
        folds_into_layer: Whether TFLite files fold it into the weights of the layer before it.
        fuses_into_producer: Whether it is an activation that TFLite files may fuse into the operator before it.
        takes_activation: Whether TFLite files may fuse the activation after it into it.
    """

    layer: Literal["convolution", "any_convolution", "linear"] | None = None
    multiplies_matrices: bool = False
    scales_channels: bool = False
    keeps_zero: bool = False
    scales: bool = False
    moves: bool = False
    copies: bool = False
    folds_into_layer: bool = False
    fuses_into_producer: bool = False
    takes_activation: bool = False

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, transposed or not."""
        return self.layer in ("convolution", "any_convolution")


_MOVEMENT = (
    "adjoint as_strided channel_shuffle chunk constant_pad_nd diagonal expand expand_as flatten flip gather im2col "
    "index index_select matrix_H mH mT movedim moveaxis narrow numpy_T pad permute pixel_shuffle pixel_unshuffle "
    "reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d "
    "replication_pad3d reshape reshape_as roll rot90 select slice split split_with_sizes squeeze swapaxes swapdims t "
    "tensor_split tile transpose tril triu unbind unflatten unfold unsafe_chunk unsafe_split unsafe_split_with_sizes "
    "unsqueeze view view_as _reshape_alias _unsafe_view"
)
_ROWS: tuple[tuple[str, AtenOperator], ...] = (
    ("conv1d conv2d conv3d", AtenOperator(layer="convolution", takes_activation=True)),
    (
        "convolution conv_transpose1d conv_transpose2d conv_transpose3d",
        AtenOperator(layer="any_convolution", takes_activation=True),
    ),
    ("linear", AtenOperator(layer="linear", takes_activation=True)),
    ("matmul mm bmm addmm baddbmm mv", AtenOperator(multiplies_matrices=True)),
    ("batch_norm", AtenOperator(scales_channels=True, folds_into_layer=True, takes_activation=True)),
    ("cudnn_batch_norm native_batch_norm", AtenOperator(scales_channels=True, folds_into_layer=True)),
    ("instance_norm group_norm layer_norm native_layer_norm rms_norm", AtenOperator(scales_channels=True)),
    ("add sub", AtenOperator(takes_activation=True)),
    ("mul div", AtenOperator(scales=True, takes_activation=True)),
    ("relu relu6 hardtanh", AtenOperator(keeps_zero=True, fuses_into_producer=True)),
    ("clamp", AtenOperator(fuses_into_producer=True)),
    ("leaky_relu elu gelu silu tanh dropout feature_dropout", AtenOperator(keeps_zero=True)),
    ("max_pool2d avg_pool2d adaptive_avg_pool2d", AtenOperator(keeps_zero=True, takes_activation=True)),
    (
        "max_pool1d max_pool3d avg_pool1d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool3d",
        AtenOperator(keeps_zero=True),
    ),
    (_MOVEMENT, AtenOperator(moves=True, keeps_zero=True)),
    ("alias clone contiguous", AtenOperator(copies=True, keeps_zero=True)),
)
ATEN = OperatorTable(
    (([f"aten.{name}" for name in names.split()], facts) for names, facts in _ROWS), default=AtenOperator()
)
