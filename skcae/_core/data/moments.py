"""The mean and the variance of each column, and the start that they ask for."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from skcae._core.data.arrays import Array, to_array
from skcae._core.data.tensors import MatrixRows
from skcae._core.data.threads import fitting_threads

# Columns of which the root mean square is no larger are left alone. All data in [0, 1]
# are, and with room to spare what a StandardScaler gives.
LARGEST_UNSCALED = 2.0
# Means are rounded to this part of a column's scale.
PART_OF_SCALE = 1 / 8
# Rows are all alike where their variance is no more than this part of their mean
# square: means are rounded to about the root of that, in float64.
ALIKE = 1e-28
# A covariance of so many columns is formed, of more its largest eigenvalue is iterated.
FORMED = 64


@dataclass(frozen=True)
class Moments:
    """The weighted mean and variance of each column of some rows.

    Parameters
    ----------
    weight : float
        The weight of all the rows.
    mean, variance : ndarray of shape (n_features,)
        Their first two moments, in float64.
    """

    weight: float
    mean: Array
    variance: Array

    @property
    def are_alike(self) -> bool:
        """Whether all rows are the same, but for rounding."""
        with np.errstate(over="ignore"):
            total = self.variance.sum()
            return bool(total <= ALIKE * (total + self.mean @ self.mean))

    @property
    def root_mean_square(self) -> float:
        """That of all entries, in two digits, so that no order of adding up counts."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(f"{np.sqrt(np.mean(self.mean**2 + self.variance)):.1e}")

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of rows together."""
        if not self.weight or not other.weight:
            return self if self.weight else other
        # Chan, Golub and LeVeque (1979): the mean of the variances, and the variance
        # of the means.
        weight = self.weight + other.weight
        part = other.weight / weight
        change = other.mean - self.mean
        between = part * (1 - part) * change * change
        within = (1 - part) * self.variance + part * other.variance
        return Moments(weight, self.mean + part * change, within + between)


@dataclass(frozen=True)
class Scaling:
    """Where the columns lie, and how far they reach: x = shift + scale · (about 1).

    Both are rounded, so that they do not depend on the order in which rows were added
    up: from any container the same model starts. Scales are powers of two.

    Parameters
    ----------
    shift, scale : ndarray of shape (n_features,)
        0 and 1 for columns that are left alone.
    """

    shift: Array
    scale: Array

    def joined(self, n_channels: int) -> "Scaling":
        """Return that of each channel, where columns are pixels of several each."""
        shifts, scales = (
            part.reshape(-1, n_channels) for part in (self.shift, self.scale)
        )
        shift = shifts.mean(0)
        # The variance of a channel: within its columns, and between them.
        variance = (scales**2 + (shifts - shift) ** 2).mean(0)
        return Scaling(shift, np.exp2(np.round(np.log2(variance) / 2)))


def moments_of(rows: MatrixRows) -> Moments:
    """Return the weighted moments of all rows, a block at a time."""
    return reduce(add, (moments_of_block(*block) for block in rows.blocks()))


def moments_of_block(block: Any, weights: Any = None) -> Moments:
    """Return the moments of a block of rows, a tensor or a CSR matrix."""
    if weights is not None and not weights.any():
        return Moments(0.0, np.zeros(block.shape[1]), np.zeros(block.shape[1]))
    # What overflows here is left alone, and then training says so.
    if sparse.issparse(block):
        w = np.ones(block.shape[0]) if weights is None else weights.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            return _moments_of_sparse(block, w)
    with fitting_threads(block.numel()):
        return _moments_of_tensor(in_double(block), weights)


def in_double(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, where it is if there is such a type."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _moments_of_tensor(X: Tensor, weights: Tensor | None) -> Moments:
    # Samples are the axis 0.
    w = X.new_ones(len(X)) if weights is None else weights.to(X)
    total = w.sum()
    mean = w @ X / total
    # Centred first: E[x²] − E[x]² loses all digits of a column far from 0.
    X = X - mean
    variance = w @ X.square_() / total
    return Moments(float(total), to_array(mean), to_array(variance))


def _moments_of_sparse(block: Any, w: Array) -> Moments:
    """Go through the entries that are stored; the others are 0."""
    # A stored entry has the weight of its row; what is left of the total is of zeros.
    column, x = block.indices, block.data.astype(np.float64)
    total, n_weighted = float(w.sum()), np.count_nonzero(w)
    w = w.repeat(np.diff(block.indptr))

    def sums(values: Array) -> Array:
        found: Array = np.bincount(column, values, block.shape[1])
        return found

    mean = sums(w * x) / total
    stored = sums(w * np.square(x - mean[column]))
    # Nothing is left where all is stored, and no rounding of the sum: a column may be
    # far from 0.
    rest = np.where(sums(w > 0) < n_weighted, np.maximum(total - sums(w), 0), 0)
    return Moments(total, mean, (stored + rest * mean**2) / total)


def largest_variance(rows: MatrixRows, moments: Moments, tol: float = 0.0) -> float:
    """Return the largest eigenvalue of the covariance of all rows.

    `moments` are theirs, and `tol` is the relative error that is allowed.
    """
    d, mean = rows.n_features, moments.mean

    def times(V: Array) -> Array:
        """Return C V, where C = 1/Σw Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ."""
        V = V.reshape(d, -1)
        product = np.zeros(V.shape)
        for X, weights in rows.blocks():
            if sparse.issparse(X):
                product += _times_block(X, weights, mean, V)
            else:
                X = in_double(X)
                w = None if weights is None else weights.to(X)
                there = (torch.from_numpy(part).to(X) for part in (mean, V))
                product += to_array(_times_block(X, w, *there))
        return product / moments.weight

    if d <= FORMED:
        C = times(np.eye(d))
        return float(np.linalg.eigvalsh((C + C.T) / 2)[-1])
    operator = LinearOperator((d, d), matvec=times, matmat=times, dtype=np.float64)
    start = np.random.RandomState(0).standard_normal(d)
    found = eigsh(operator, 1, v0=start, tol=tol, return_eigenvectors=False)
    return float(found[0])


def _times_block(X: Any, weights: Any, mean: Any, V: Any) -> Any:
    """Return (X − x̄)ᵀ w (X − x̄) V; sparse rows are not centred themselves."""
    along = X @ V - mean @ V
    along = along if weights is None else along * weights[:, None]
    return X.T @ along - mean[:, None] * along.sum(0)


def scaling_of(moments: Moments) -> Scaling | None:
    """Settle what columns that are not scaled ask of the initial weights, if any."""
    mean, deviation = moments.mean, np.sqrt(moments.variance)
    # The root mean square, √(mean² + variance).
    is_far = np.hypot(mean, deviation) > LARGEST_UNSCALED
    is_far &= np.isfinite(mean) & np.isfinite(deviation)
    if not is_far.any():
        return None
    far = np.where(is_far, deviation, 1.0)
    # To divide by a power of two rounds nothing.
    scale = np.exp2(np.round(np.log2(np.maximum(far, 1.0))))
    unit = PART_OF_SCALE * scale
    return Scaling(np.where(is_far, unit * np.round(mean / unit), 0.0), scale)
