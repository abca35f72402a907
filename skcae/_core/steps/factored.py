"""Descent on sparse rows whose step costs the same however many columns there are.

The squared error of a linear decoder z = Vᵀh + c has a gradient that is made of a small
matrix times the weights, and of a part in the columns where the batch has entries. With
Y = [V; cᵀ] and Ĥ = [H, 1] (docs/gradient.md)

    Y ← M Y − Bᵀ X,

so that Y = U F is kept as two factors: M changes the small one, and X few columns of
the other. What else a step asks of all columns is the Gram matrix K = Y Yᵀ, which it
keeps up to date. Nothing here is an estimate.
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeGuard

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows
from skcae._core.data.streams import TrainingRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.layers.layer import Parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import mean_objective
from skcae._core.training.solvers import Sgd, Solver
from skcae.losses import LOSSES

# The factors are multiplied out when rounding in U F may be so many times that in Y.
LARGEST_GROWTH = {torch.float64: 1e3, torch.float32: 1e2}
# So many columns at a time.
BLOCK = 2**12
# A multiplication with a stored entry takes as long as so many of a dense product.
COST_OF_ENTRY = 10


class FactoredMatrix:
    """A matrix Y = U F, (k, d), and its Gram matrix K = Y Yᵀ.

    U and K are in float64 whatever Y is.

    Parameters
    ----------
    *parts : tensors of shapes (k_i, d)
        The rows of Y, which are copied.
    """

    def __init__(self, *parts: Tensor) -> None:
        sizes = [len(part) for part in parts]
        # Fᵀ: the k numbers of a column lie together.
        self.F = parts[0].new_empty(parts[0].shape[1], sum(sizes))
        for columns, part in zip(self.F.split_with_sizes(sizes, 1), parts, strict=True):
            columns.copy_(part.mT)
        self._begin()

    def _begin(self) -> None:
        """Begin with an F that is Y: U is the identity, and K is computed."""
        self.U = torch.eye(self.F.shape[1], dtype=torch.float64, device="cpu")
        self.K = torch.zeros_like(self.U)
        for columns in torch.split(self.F, BLOCK):
            Y = columns.double()
            self.K.addmm_(Y.mT, Y)

    def multiply_out(self) -> None:
        """Let F be Y, and U the identity."""
        for columns in torch.split(self.F, BLOCK):
            columns.copy_(columns.double() @ self.U.mT)
        self._begin()

    def write_to(self, *parts: Tensor) -> None:
        """Write the rows of Y into such tensors."""
        sizes = [len(part) for part in parts]
        for start in range(0, len(self.F), BLOCK):
            at = slice(start, start + BLOCK)
            Y = self.F[at].double() @ self.U.mT
            for part, rows in zip(parts, Y.mT.split_with_sizes(sizes), strict=True):
                part[:, at] = rows

    def push(self, X: SparseRows) -> Tensor:
        """Return X Yᵀ, (n, k)."""
        return self._push(X, self.F.numpy()[X.columns])

    def _push(self, X: SparseRows, F: Array) -> Tensor:
        return torch.from_numpy(X.entries @ F).double() @ self.U.mT

    def descend(self, M: Tensor, B: Tensor, X: SparseRows, P: Tensor) -> None:
        """Set Y ← M Y − Bᵀ X, where P is X Yᵀ; samples are the rows of B, (n, k)."""
        K, P = M @ self.K @ M.mT, P @ M.mT
        # (46): M goes into U, and U⁻¹ Bᵀ X into F.
        self.U = M @ self.U
        inverse, _ = torch.linalg.inv_ex(self.U)
        growth = (self.U.abs() @ inverse.abs()).norm()
        if not growth <= LARGEST_GROWTH[self.F.dtype]:
            self.multiply_out()
            inverse = self.U
        change = (B @ inverse.mT).to(self.F.dtype)
        columns = self.F.numpy()[X.columns]
        columns -= X.entries.T @ change.numpy()
        self.F.numpy()[X.columns] = columns
        # (47).
        K -= P.mT @ B + B.mT @ self._push(X, columns)
        self.K = (K + K.mT) / 2


@dataclass(eq=False)
class FactoredLearner:
    """One layer that learns to reconstruct sparse rows by plain descent.

    It takes the steps of `ReconstructionLearner`, and no corrupted rows nor ranks.

    Parameters
    ----------
    objective : Objective
        What to lower, with a squared error.
    start : dict of tensors
        Where to start; changed in place.
    solver : Sgd
        Plain descent.
    rows : Rows
        The training data.
    batch_size : int
        The most rows to a step.
    validation : MatrixRows, optional
        Held-out data.
    """

    objective: Objective
    start: Parameters
    solver: Solver
    rows: Rows
    batch_size: int = field(kw_only=True)
    validation: MatrixRows | None = field(default=None, kw_only=True)

    has_dense_batches: ClassVar[bool] = False

    def __post_init__(self) -> None:
        start = self.start
        self.is_tied = "decoder_components" not in start
        # Where the decoder's rows are, [V; cᵀ].
        V = start["components" if self.is_tied else "decoder_components"]
        self.decoder_parts = V, start["intercept_visible"][None]
        self.b = start["intercept_hidden"].double()
        self.matrices: tuple[FactoredMatrix, FactoredMatrix] | None = None
        h = len(self.b)
        self.n_multiplications = min(self.batch_size, len(self.rows)) * h * h

    @property
    def encoder_and_decoder(self) -> tuple[FactoredMatrix, FactoredMatrix]:
        """W and Y, which is both where weights are tied."""
        if self.matrices is None:
            decoder = FactoredMatrix(*self.decoder_parts)
            W = self.start["components"]
            self.matrices = decoder if self.is_tied else FactoredMatrix(W), decoder
        return self.matrices

    @property
    def parameters(self) -> Parameters:
        """What is being trained, as it is now.

        The factors are gone then: they are there only while steps are taken.
        """
        if self.matrices is not None:
            encoder, decoder = self.matrices
            decoder.write_to(*self.decoder_parts)
            if not self.is_tied:
                encoder.write_to(self.start["components"])
            # What goes on, or is taken up, begins with the numbers that are kept.
            self.b = self.start["intercept_hidden"].copy_(self.b).double()
            self.matrices = None
        return self.start

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        Both are summed over the batch's rows.
        """
        # Samples are rows.
        assert not isinstance(index, Tensor)
        X, h = self.rows.read_sparse(index), len(self.b)
        encoder, decoder = self.encoder_and_decoder
        weights = self.rows.weights_of(index)
        w = X.ones() if weights is None else weights.double()
        P = decoder.push(X)
        # (1), and Ĥ = [H, 1] of (41).
        A = P[:, :h] if self.is_tied else encoder.push(X)
        H = self.objective.activation.in_place(A + self.b)
        H_hat = torch.cat((H, X.ones()[:, None]), 1)
        # Ĥ K − P of (43), and with it (42).
        E = H_hat @ decoder.K - P
        loss = w @ ((H_hat * (E - P)).sum(1) + X.squared_norms())
        dA, r, penalty = self.objective.through_units(
            H, 2 * w[:, None] * E[:, :h], encoder.K.diagonal()[:h], w
        )
        totals.copy_(torch.stack((loss, penalty)))
        step = rate / len(X)
        # (44): M = 1 − η G, and B = −η D.
        B = -2 * step * w[:, None] * H_hat
        M = torch.eye(h + 1, dtype=B.dtype, device=B.device).addmm_(H_hat.mT, B)
        if self.is_tied:
            # (45).
            M.diagonal()[:h].sub_(r, alpha=step)
            B[:, :h].add_(dA, alpha=step)
        else:
            encoder.descend(torch.diag(1 - step * r), step * dA, X, A)
        decoder.descend(M, B, X, P)
        # (15).
        self.b.sub_(dA.sum(0), alpha=step)

    def held_out(self) -> float | None:
        """Measure the objective of the held-out data."""
        if self.validation is None:
            return None
        return mean_objective(self.objective, self.parameters, self.validation)


def pays(
    rows: TrainingRows,
    objective: Objective,
    solver: Solver,
    batch_size: int,
    n_units: int,
) -> TypeGuard[Rows]:
    """Tell of rows whether there is such a step, and it is less work than the dense."""
    is_plain = isinstance(solver, Sgd) and not solver.momentum
    if not (is_plain and isinstance(rows, Rows) and rows.are_sparse):
        return False
    if objective.loss is not LOSSES["squared_error"] or objective.n_copies:
        return False
    # For each row and unit: three products with the entries, those with K, Ĥ and U,
    # and the inverse of U; and five products with all columns.
    entries = rows.matrix.nnz / rows.matrix.shape[0]
    small = n_units * (4 + 4 * n_units / min(batch_size, len(rows)))
    return bool(3 * COST_OF_ENTRY * entries + small < 5 * rows.n_features)
