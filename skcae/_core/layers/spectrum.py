"""Singular values and right singular vectors of the Jacobians of samples.

They come from the eigenvalues s² and the eigenvectors of the smaller of J Jᵀ and Jᵀ J.
Squaring costs half of the digits: in float64 a singular value is exact to about 1e-8
of the largest. It does not cost the range: however small J is, as where all units are
saturated, slopes and matrices are divided by their scale before.
"""

from inspect import signature

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, eigsh
from torch import Tensor

from skcae._core.layers.chain import Chain

# Of a Gram matrix of at least so many rows per eigenvalue wanted, an iteration finds
# the leading ones in less time than a factorisation all of them: of 784 rows, up to 49.
ROWS_PER_ITERATED_VALUE = 16

# Whether this SciPy can be told where ARPACK takes its new vectors from when it has
# found an invariant subspace, as of orthogonal units. Older ones draw their own.
TAKES_RANDOM_STATE = "rng" in signature(eigsh).parameters


def singular_values(layers: Chain, states: list[Tensor], n_values: int) -> Tensor:
    """Return the n_values largest singular values of each sample, in falling order.

    Parameters
    ----------
    layers : Chain
        The encoder, in float64.
    states : list
        What the derivative of each layer depends on, at each sample.
    n_values : int
        At most min(h, d).

    Returns
    -------
    values : tensor of shape (n, n_values)
    """
    states, scale = layers.scaled(states)
    squares, _ = leading_eigenpairs(small_gram_matrices(layers, states), n_values)
    # Rounding leaves values of zero on either side of it, and a narrow layer none.
    return padded(squares.clamp_(min=0).sqrt_().mul_(scale), n_values)


def right_singular_vectors(
    layers: Chain, states: list[Tensor], n_vectors: int, *, in_row_space: bool = False
) -> Tensor:
    """Return the n_vectors leading right singular vectors of each sample.

    They are orthonormal, also where J has a smaller rank than n_vectors; the largest
    entry of each is positive. With `in_row_space`, those beyond the rank are zero.

    Parameters
    ----------
    layers, states
        As above.
    n_vectors : int
        At most min(h, d).

    Returns
    -------
    vectors : tensor of shape (n, n_vectors, d)
    """
    states, _ = layers.scaled(states)
    gram = small_gram_matrices(layers, states)
    squares, vectors = leading_eigenpairs(gram, n_vectors, vectors=True)
    directions = padded(vectors, n_vectors).mT
    if is_of_the_code(layers):
        directions = layers.pull_back(states, directions)
    elif layers.has_matrices:
        # Rᵀ R has the eigenvectors v, and J Jᵀ has R v.
        R = layers.reduced_jacobians(states)
        directions = layers.pull_back(states, directions @ R.mT)
    tangents = orthonormalized(directions.mT).mT
    largest = tangents.gather(2, tangents.abs().argmax(2, keepdim=True))
    scale = largest.sign()
    if in_row_space:
        scale *= padded(is_significant(squares, gram), n_vectors)[:, :, None]
    return tangents * scale


def is_significant(squares: Tensor, gram: Tensor) -> Tensor:
    """Tell with 1 and 0 which eigenvalues are more than rounding of the largest."""
    rounding = gram.shape[1] * torch.finfo(gram.dtype).eps
    return (squares > rounding * squares[:, :1]).to(gram.dtype)


def is_of_the_code(layers: Chain) -> bool:
    """Tell which side of the Jacobians is the smaller: the code's, or its inputs'."""
    if not layers.has_matrices:
        return layers.n_components <= layers.n_features
    return layers.n_components <= layers.first_row_space.shape[1]


def small_gram_matrices(layers: Chain, states: list[Tensor]) -> Tensor:
    """Return a matrix of each sample with the squared singular values of J, (n, m, m).

    It is J Jᵀ, or Jᵀ J, or Rᵀ R with the narrow R for which R Rᵀ is J Jᵀ.
    """
    is_of_code = is_of_the_code(layers)
    if not layers.has_matrices:
        I = layers.unit_vectors(states, layers.n_singular_values)  # noqa: E741
        if is_of_code:
            return layers.push_forward(states, layers.pull_back(states, I))
        return layers.pull_back(states, layers.push_forward(states, I))
    if not is_of_code:
        return column_gram_matrices(layers.reduced_jacobians(states))
    if len(states) == 1:
        # D W Wᵀ D.
        return states[0][:, :, None] * layers.first_gram_matrix * states[0][:, None, :]
    return column_gram_matrices(layers.reduced_jacobians(states).mT)


def column_gram_matrices(R: Tensor) -> Tensor:
    """Return Rᵀ R of each sample.

    On the CPU by NumPy, which computes one triangle of such a product only.
    """
    if R.device.type != "cpu":
        return R.mT @ R
    matrices = R.numpy()
    return torch.from_numpy(matrices.swapaxes(1, 2) @ matrices)


def leading_eigenpairs(
    gram: Tensor, n_values: int, *, vectors: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the largest eigenvalues of symmetric matrices, and their eigenvectors.

    In falling order, (n, n_values) and (n, m, n_values); without `vectors` those are
    of width 0. There are no more of them than m.
    """
    m = gram.shape[1]
    if gram.device.type == "cpu" and m >= ROWS_PER_ITERATED_VALUE * n_values:
        try:
            return iterated_eigenpairs(gram, n_values, vectors=vectors)
        except ArpackError:
            # As of a matrix of zeros.
            pass
    if not vectors:
        return torch.linalg.eigvalsh(gram).flip(1)[:, :n_values], gram[:, :, :0]
    values, found = torch.linalg.eigh(gram)
    return values.flip(1)[:, :n_values], found.flip(2)[:, :, :n_values]


def iterated_eigenpairs(
    gram: Tensor, n_values: int, *, vectors: bool
) -> tuple[Tensor, Tensor]:
    """Do the same by a Lanczos iteration, to full precision."""
    # A fixed start, since ARPACK would draw its own.
    start = np.random.RandomState(0).standard_normal(gram.shape[1])
    how = {"rng": 0} if TAKES_RANDOM_STATE else {}
    squares = gram.new_empty((len(gram), n_values))
    found = gram.new_empty((*gram.shape[:2], n_values if vectors else 0))
    for k, matrix in enumerate(gram.numpy()):
        # ARPACK takes anything below 1e-11 for as good as zero.
        scale = matrix.diagonal().max() or 1.0
        pairs = eigsh(
            matrix / scale, n_values, v0=start, return_eigenvectors=vectors, **how
        )
        values = pairs[0] if vectors else pairs
        order = np.argsort(values)[::-1]
        squares[k] = torch.from_numpy(scale * values[order])
        if vectors:
            found[k] = torch.from_numpy(pairs[1][:, order])
    return squares, found


def padded(matrices: Tensor, n_columns: int) -> Tensor:
    """Add columns of zeros up to so many."""
    missing = n_columns - matrices.shape[-1]
    return torch.nn.functional.pad(matrices, (0, missing)) if missing else matrices


def orthonormalized(matrices: Tensor) -> Tensor:
    """Make columns orthonormal one after the other; one of zeros gets a direction."""
    tiny = torch.finfo(matrices.dtype).tiny
    norms = matrices.norm(dim=1, keepdim=True).clamp_(min=tiny)
    Q: Tensor = torch.linalg.qr(matrices / norms).Q
    return Q
