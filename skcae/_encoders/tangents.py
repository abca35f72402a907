"""The tangents of the manifold that an encoder has learnt, at rows of data."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from torch import Tensor

from skcae._core.data.arrays import resolve_device_or_cpu, to_tensor
from skcae._core.data.evaluation import map_rows
from skcae._core.data.tensors import MatrixRows
from skcae._core.layers.chain import Chain
from skcae._core.layers.layer import Layer
from skcae._core.layers.spectrum import right_singular_vectors
from skcae._encoders.steps import code_size, split_steps
from skcae._encoders.tensors import chain_of


def tangents_at(
    layers: Chain,
    rows: MatrixRows,
    n_tangents: int,
    dtype: np.dtype[Any],
    *,
    in_row_space: bool = False,
) -> Any:
    """Return the leading right singular vectors of J at each row.

    Parameters
    ----------
    layers : Chain
        The encoder, in float64.
    rows : MatrixRows
        What its first layer takes, in float64.
    n_tangents : int
        How many.
    dtype : dtype
        Of the result.
    in_row_space : bool
        Whether there are zeros in place of those beyond the rank of J.

    Returns
    -------
    tangents : ndarray, or tensor as the rows are one, of shape (n, n_tangents, d)

    Raises
    ------
    ValueError
        If there are not so many.
    """
    check_at_most("n_tangents", n_tangents, layers.n_singular_values)

    def vectors(X: Tensor, out: Tensor) -> None:
        states = layers.states_at(X)
        found = right_singular_vectors(
            layers, states, n_tangents, in_row_space=in_row_space
        )
        out.copy_(found)

    return map_rows(
        rows,
        vectors,
        shape=(n_tangents, layers.n_features),
        width=layers.jacobian_size,
        n_multiplications=layers.jacobian_size,
        dtype=dtype,
    )


def tangents_of(encoder: Sequence[Layer], rows: MatrixRows, n_tangents: int) -> Tensor:
    """Return the tangents of rows, where and in the precision that their batches are.

    They are computed in float64, on the same device if it has it. Directions to which
    the code does not respond at all are no tangents, and are zero.
    """
    double = np.dtype(np.float64)
    device = resolve_device_or_cpu(rows.device, double)
    exact = replace(rows, dtype=double, device=device)
    layers = chain_of(encoder, double, device)
    found = tangents_at(layers, exact, n_tangents, rows.dtype, in_row_space=True)
    return to_tensor(found, rows.dtype, rows.device)


def check_n_tangents(n_tangents: int, encoder: Any, X: Any) -> None:
    """Refuse more tangents than an encoder can have, before it is fitted on X.

    As far as that is known: preprocessing may change the number of features.
    """
    steps, encoders = split_steps(clone(encoder))
    n_features = math.inf if steps else X.shape[1]
    check_at_most("n_tangents", n_tangents, min(code_size(encoders[-1]), n_features))


def check_at_most(name: str, value: int, largest: float) -> None:
    """Refuse to give more singular values or vectors than there are.

    Raises
    ------
    ValueError
        If the value is larger.
    """
    if value > largest:
        raise ValueError(
            f"{name}={value} is more than the Jacobian has: "
            f"min(n_components, n_features) = {largest}."
        )
