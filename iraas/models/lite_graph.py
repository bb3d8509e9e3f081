"""Conversion of an EfficientNet-Lite from its torch module to an ONNX graph.

The family has five operations (convolution, ReLU6, addition, global mean, linear layer), so the
graph is built node by node: batch norms are folded in double precision, "same" padding becomes the
convolutions' own, and the same weights give the same bytes, hence the same bundle hash, on every
machine. `iraas.models.export` checks the result against torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

INPUT_NAME = "pixels"
OUTPUT_NAME = "logits"
OPSET = 17
IR_VERSION = 8
"""Opset and IR version of 2022, which every supported onnxruntime reads."""


class LiteGraph:
    """Builds the graph layer by layer; `finish` returns the model. Not thread-safe.

    Layers take torch modules and the names of their input tensors, and return those of their output
    tensors.
    """

    def __init__(self, size: int, mean: float, scale: float) -> None:
        """Start with the input: uint8 RGB (n, size, size, 3), normalised as (x - mean) / scale.

        The division is folded into the stem's weights. The subtraction cannot be: the padding
        around the image has to be zero after it.

        Args:
            size: Side of the square input, in pixels.
            mean: Subtracted from each 8-bit value.
            scale: Divides the difference.
        """
        self._size = size
        self._scale = scale
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._count = 0
        zero, six = self._constant(np.float32(0)), self._constant(np.float32(6))
        self._relu6_bounds = [zero, six]
        centred = self._node("Cast", [INPUT_NAME], to=TensorProto.FLOAT)
        centred = self._node("Sub", [centred, self._constant(np.float32(mean))])
        self._pixels = self._node("Transpose", [centred], perm=[0, 3, 1, 2])

    def stem(self, conv: Any, norm: Any) -> str:
        """Add the first convolution, on the pixels."""
        return self._relu6(self._convolution(self._pixels, conv, norm, 1.0 / self._scale))

    def head(self, x: str, conv: Any, norm: Any) -> str:
        """Add the last convolution."""
        return self._relu6(self._convolution(x, conv, norm))

    def block(self, x: str, block: Any) -> str:
        """Add an inverted residual block (``MBConvBlock`` without squeeze and excitation).

        Raises:
            ValueError: The block has squeeze and excitation.
        """
        if block.has_se:
            raise ValueError("squeeze and excitation is not of the Lite family")
        arguments = block._block_args
        y = x
        if arguments.expand_ratio != 1:
            y = self._relu6(self._convolution(y, block._expand_conv, block._bn0))
        y = self._relu6(self._convolution(y, block._depthwise_conv, block._bn1))
        y = self._convolution(y, block._project_conv, block._bn2)
        stride = arguments.stride if isinstance(arguments.stride, int) else arguments.stride[0]
        same = arguments.input_filters == arguments.output_filters
        return self._node("Add", [y, x]) if block.id_skip and stride == 1 and same else y

    def classes(self, x: str, linear: Any) -> None:
        """Add the mean over all positions and the linear layer, which gives the logits."""
        mean = self._node("GlobalAveragePool", [x])
        flat = self._node("Flatten", [mean], axis=1)
        weight, bias = self._constant(_array(linear.weight)), self._constant(_array(linear.bias))
        self._nodes.append(helper.make_node("Gemm", [flat, weight, bias], [OUTPUT_NAME], transB=1))

    def finish(self, name: str, classes: int) -> ModelProto:
        """The model, with a variable batch size.

        Args:
            name: The graph's name.
            classes: The number of logits.
        """
        pixels = helper.make_tensor_value_info(
            INPUT_NAME, TensorProto.UINT8, ["n", self._size, self._size, 3]
        )
        logits = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", classes])
        graph = helper.make_graph(self._nodes, name, [pixels], [logits], self._constants)
        return helper.make_model(
            graph,
            producer_name="iraas",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _convolution(self, x: str, conv: Any, norm: Any, factor: float = 1.0) -> str:
        weight = _array(conv.weight).astype(np.float64)
        spread = np.sqrt(_array(norm.running_var).astype(np.float64) + norm.eps)
        gain = _array(norm.weight) / spread
        bias = _array(norm.bias) - _array(norm.running_mean) * gain
        folded = weight * gain[:, None, None, None] * factor
        left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        return self._node(
            "Conv",
            [x, self._constant(folded.astype(np.float32)), self._constant(bias.astype(np.float32))],
            group=conv.groups,
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            pads=[top, left, bottom, right],
        )

    def _relu6(self, x: str) -> str:
        return self._node("Clip", [x, *self._relu6_bounds])

    def _constant(self, value: NDArray[Any] | np.float32) -> str:
        self._count += 1
        name = f"c{self._count}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, operation: str, inputs: list[str], **attributes: Any) -> str:
        self._count += 1
        name = f"t{self._count}"
        self._nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name


def build_lite_graph(model: Any, *, size: int, mean: float, scale: float) -> ModelProto:
    """The ONNX model of an ``efficientnet_lite_pytorch.EfficientNet`` of the Lite family.

    Args:
        model: The torch module, with its weights, in eval mode.
        size: Side of the square input, in pixels.
        mean: Subtracted from each 8-bit value.
        scale: Divides the difference.

    Returns:
        A model from uint8 RGB pixels (n, size, size, 3) to float32 logits (n, classes). The same
        weights give the same bytes.
    """
    graph = LiteGraph(size, mean, scale)
    x = graph.stem(model._conv_stem, model._bn0)
    for block in model._blocks:
        x = graph.block(x, block)
    x = graph.head(x, model._conv_head, model._bn1)
    graph.classes(x, model._fc)
    return graph.finish("efficientnet-lite", int(model._fc.out_features))


def _array(tensor: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return array
