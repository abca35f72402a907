"""Layers as the nodes of an ONNX graph that skl2onnx builds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import numpy as np

from skcae._core.layers.convolution import Convolution, TransposedConvolution
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Affine, Layer
from skcae._core.layers.pooling import AveragePooling, MaxPooling, Unpooling
from skcae._core.layers.rectified import Rectified
from skcae._core.layers.regions import PatchCodes
from skcae._core.layers.triangle import Triangle
from skcae._encoders.steps import DecodingLayer
from skcae._encoders.tensors import name_of
from skcae.onnx._images import (
    add_average_pooling,
    add_convolution,
    add_max_pooling,
    add_transposed_convolution,
    add_unpooling,
)
from skcae.onnx._patches import add_patches, add_rectified, add_regions, add_triangle


@dataclass(frozen=True)
class Graph:
    """The part of a graph that an estimator becomes. Values are known by their names.

    Parameters
    ----------
    scope, container : object
        Where skl2onnx keeps the names, and the nodes.
    dtype : dtype
        The precision of the numbers.
    """

    scope: Any
    container: Any
    dtype: np.dtype[Any]

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output: str = self.scope.get_unique_variable_name(operator.lower())
        name = self.scope.get_unique_operator_name(operator)
        self.container.add_node(operator, list(inputs), output, name=name, **attributes)
        return output

    def constant(self, values: Any) -> str:
        """Add an array as it is, and return its name."""
        helper = import_module("onnx.helper")
        name: str = self.scope.get_unique_variable_name("constant")
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        self.container.add_initializer(name, kind, values.shape, values)
        return name

    def numbers(self, values: Any) -> str:
        """Add numbers in the graph's precision, and return their name."""
        return self.constant(np.asarray(values, self.dtype))

    def cast(self, values: str, dtype: Any = None) -> str:
        """Bring numbers of another type to this one, or to the graph's precision."""
        to_type = import_module("onnx.helper").np_dtype_to_tensor_dtype
        return self.node("Cast", values, to=to_type(np.dtype(dtype or self.dtype)))

    def give(self, values: str, output: Any) -> None:
        """Make values an output of the estimator."""
        self.container.add_node("Identity", values, output.full_name)


# From a graph and the name of a; returns that of φ(a).
AddActivation = Callable[[Graph, str], str]


def operator_of(name: str) -> AddActivation:
    """Make an activation of one of ONNX's operators."""
    return lambda graph, a: graph.node(name, a)


# onnxruntime computes ONNX's own Softplus and Elu in float32 only.


def add_softplus(graph: Graph, a: str) -> str:
    """Add log(1 + exp(a)) = max(a, 0) + log(1 + exp(−|a|)), which cannot overflow."""
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", a)))
    rest = graph.node("Log", graph.node("Add", small, graph.numbers([1])))
    return graph.node("Add", graph.node("Relu", a), rest)


def add_elu(graph: Graph, a: str) -> str:
    """Add max(a, 0) + exp(min(a, 0)) − 1."""
    exponential = graph.node("Exp", graph.node("Min", a, graph.numbers([0])))
    bend = graph.node("Sub", exponential, graph.numbers([1]))
    return graph.node("Add", graph.node("Relu", a), bend)


#: How each activation of `skcae.activations` is added to a graph.
ACTIVATION_NODES: dict[str, AddActivation] = {
    "sigmoid": operator_of("Sigmoid"),
    "tanh": operator_of("Tanh"),
    "relu": operator_of("Relu"),
    "softplus": add_softplus,
    "elu": add_elu,
    "identity": lambda graph, a: a,
}


def add_dense(graph: Graph, layer: Dense, x: str) -> str:
    """Add Wx + b."""
    W, b = graph.numbers(layer.weights), graph.numbers(layer.intercept)
    return graph.node("Gemm", x, W, b, transB=1)


def add_patch_codes(graph: Graph, layer: PatchCodes, x: str) -> str:
    """Add codes of the patches at all positions, pooled over regions."""
    rows = add_patches(graph, layer.pool.patches, x)
    codes = add_layers(graph, layer.code.layers, rows)
    return add_regions(graph, layer.pool, codes)


#: How each kind of layer is added, of affine ones a = Wx + b, from the name of x.
LAYER_NODES: dict[type[Layer], Callable[[Graph, Any, str], str]] = {
    Dense: add_dense,
    Convolution: add_convolution,
    TransposedConvolution: add_transposed_convolution,
    MaxPooling: add_max_pooling,
    AveragePooling: add_average_pooling,
    Unpooling: add_unpooling,
    PatchCodes: add_patch_codes,
    Triangle: add_triangle,
    Rectified: add_rectified,
}


def add_layers(graph: Graph, layers: Sequence[Layer], values: str) -> str:
    """Add layers one after the other, and return the name of the last output."""
    for layer in layers:
        if type(layer) not in LAYER_NODES:
            raise TypeError(
                "A module of torch is not converted here. Take torch.onnx.export, and "
                "skcae.functional.to_module of the fitted estimator."
            )
        values = LAYER_NODES[type(layer)](graph, layer, values)
        if isinstance(layer, Affine):
            # h = φ(a).
            values = ACTIVATION_NODES[name_of(layer.activation)](graph, values)
    return values


#: How the output s(z) of each loss of `skcae.losses` is added to a graph.
OUTPUT_NODES: dict[str, AddActivation] = {
    "squared_error": ACTIVATION_NODES["identity"],
    "cross_entropy": ACTIVATION_NODES["sigmoid"],
}


def add_squared_error(graph: Graph, x: str, z: str) -> str:
    """Add (x − z)²."""
    difference = graph.node("Sub", x, z)
    return graph.node("Mul", difference, difference)


def add_cross_entropy(graph: Graph, x: str, z: str) -> str:
    """Add log(1 + exp(z)) − xz."""
    return graph.node("Sub", add_softplus(graph, z), graph.node("Mul", x, z))


#: How the loss of each entry is added to a graph, from the names of x and z.
LOSS_NODES: dict[str, Callable[[Graph, str, str], str]] = {
    "squared_error": add_squared_error,
    "cross_entropy": add_cross_entropy,
}


def add_scores(
    graph: Graph, layers: Sequence[DecodingLayer], codes: str, x: str
) -> str:
    """Add minus the loss of the rows that layers decode from codes, of shape (n,)."""
    values = codes
    *above, last = layers
    for layer, loss in above:
        values = add_layers(graph, [layer], values)
        values = values if loss is None else OUTPUT_NODES[loss](graph, values)
    z = add_layers(graph, [last.layer], values)
    losses = LOSS_NODES[cast(str, last.loss)](graph, x, z)
    minus = graph.numbers(np.full(last.layer.n_units, -1))
    return graph.node("MatMul", losses, minus)
