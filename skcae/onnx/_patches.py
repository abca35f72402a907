"""Patches and regions of images as nodes, in any precision."""

import math
from typing import Any

import numpy as np
import torch

from skcae._core.layers.patches import CONTRAST, Patches
from skcae._core.layers.rectified import Rectified
from skcae._core.layers.regions import PooledPatches, parts
from skcae._core.layers.triangle import Triangle
from skcae.onnx._images import reshaped

# From here on ONNX takes the axes of a maximum as an input.
AXES_ARE_AN_INPUT = 18


def add_patches(graph: Any, patches: Patches, x: str) -> str:
    """Add the patches at all positions, one below the other, (n, d) → (n p, N)."""
    n, size = patches.n_numbers, math.prod(patches.image_shape)
    # Which numbers of a row each patch has.
    where = patches.views(torch.arange(size, device="cpu")[None]).reshape(-1).numpy()
    found = graph.node("Gather", x, graph.constant(where), axis=1)
    rows = reshaped(graph, found, n)
    if not patches.normalize:
        return rows
    # x − mean(x), and the mean of its squares, as products.
    centred = graph.node("MatMul", rows, graph.numbers(np.eye(n) - 1 / n))
    squares = graph.node("Mul", centred, centred)
    variance = graph.node("MatMul", squares, graph.numbers(np.full((n, 1), 1 / n)))
    widened = graph.node("Add", variance, graph.numbers([CONTRAST]))
    found = graph.node("Div", centred, graph.node("Sqrt", widened))
    return str(found)


def add_triangle(graph: Any, layer: Triangle, x: str) -> str:
    """Add max(0, mean(z) − z) of the distances z = ‖x − c‖."""
    C, n = layer.centres, layer.n_units
    # z² = ‖x‖² + ‖c‖² − 2 x·c, which rounding can bring below 0.
    squares = graph.node("Mul", x, x)
    sizes = graph.node("MatMul", squares, graph.numbers(np.ones((layer.n_inputs, 1))))
    products = graph.node(
        "Gemm", x, graph.numbers(-2 * C), graph.numbers(C.square().sum(1)), transB=1
    )
    z = graph.node("Sqrt", graph.node("Relu", graph.node("Add", sizes, products)))
    mean = graph.node("MatMul", z, graph.numbers(np.full((n, 1), 1 / n)))
    return str(graph.node("Relu", graph.node("Sub", mean, z)))


def add_rectified(graph: Any, layer: Rectified, z: str) -> str:
    """Add max(0, z − r), and max(0, r − z) beside it where units are split."""
    rest = graph.numbers(layer.rest)
    above = graph.node("Relu", graph.node("Sub", z, rest))
    if not layer.splits:
        return str(above)
    below = graph.node("Relu", graph.node("Sub", rest, z))
    return str(graph.node("Concat", above, below, axis=1))


def add_regions(graph: Any, pool: PooledPatches, codes: str) -> str:
    """Add what joins the codes of each region, (n p, K) → (n, regions · K)."""
    n_units = len(pool.rest)
    by_image = reshaped(graph, codes, pool.n_positions, n_units)
    members = positions_of(pool)
    n_outputs = len(members) * n_units
    if pool.pooling == "max":
        largest = [add_maximum(graph, by_image, member) for member in members]
        return reshaped(graph, graph.node("Concat", *largest, axis=1), n_outputs)
    # A mean or a sum is a product with what each position counts in each region.
    counts = np.array([len(member) for member in members])
    R = np.zeros((len(members), pool.n_positions))
    for region, member in enumerate(members):
        R[region, member] = 1 / counts[region] if pool.pooling == "mean" else 1
    found = graph.node("MatMul", graph.numbers(R), by_image)
    if pool.pooling == "sum":
        rest = counts[:, None] * pool.rest.numpy()
        found = graph.node("Sub", found, graph.numbers(rest))
    return reshaped(graph, found, n_outputs)


def add_maximum(graph: Any, codes: str, member: Any) -> str:
    """Add the largest code of some positions, (n, p, K) → (n, K)."""
    some = graph.node("Gather", codes, graph.constant(member), axis=1)
    if graph.container.target_opset < AXES_ARE_AN_INPUT:
        found = graph.node("ReduceMax", some, axes=[1], keepdims=0)
    else:
        axes = graph.constant(np.array([1]))
        found = graph.node("ReduceMax", some, axes, keepdims=0)
    return str(found)


def positions_of(pool: PooledPatches) -> list[Any]:
    """Return the numbers of the positions of each region, row by row."""
    numbers = np.arange(pool.n_positions).reshape(pool.patches.positions)
    lines, columns = map(parts, pool.patches.positions, pool.regions)
    return [numbers[line, column].ravel() for line in lines for column in columns]
