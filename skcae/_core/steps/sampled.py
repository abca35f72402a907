"""Steps on sparse rows that look at a sample of the columns where a batch is zero.

All columns in which the batch has an entry, and some of the others, weighted so that
value and gradient are those of all columns on average (Dauphin, Glorot and Bengio,
"Large-Scale Learning of Embeddings with Reconstruction Sampling", ICML 2011). Only
these columns of the weights are read and changed, whatever the loss and the solver.
The equations are in docs/gradient.md.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.layers.layer import Parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import (
    Corruption,
    mean_objective,
    same_each_time,
)
from skcae._core.training.lazy import LazySolver, at, put_at


def sample(n: int, m: int, generator: torch.Generator) -> Array:
    """Draw m of n places without replacement, in order."""
    if m == n:
        return np.arange(n)
    places: Array = torch.randperm(n, generator=generator, device="cpu")[:m].numpy()
    return np.sort(places)


@dataclass(eq=False)
class SampledLearner:
    """One layer that learns to reconstruct some columns of sparse rows at each step.

    Parameters
    ----------
    objective : Objective
        What to lower.
    parameters : dict of tensors
        Where to start; changed in place.
    solver : LazySolver
        What changes them.
    rows : Rows
        The training data.
    sampling : float
        The fraction of the columns without an entry that a step looks at, at least one.
    batch_size : int
        The most rows to a step.
    generator : torch.Generator
        Where the samples come from.
    validation : MatrixRows, optional
        Held-out data.
    corrupt : callable, optional
        What is encoded is a corrupted copy of the entries, see `ReconstructionLearner`.
        Zeros stay zero.

    Attributes
    ----------
    squared_rows : tensor of shape (h,)
        ‖W_j‖² over all columns, in float64. A step changes it by what it changes W;
        after each epoch it is computed anew.
    """

    objective: Objective
    parameters: Parameters
    solver: LazySolver
    rows: Rows
    sampling: float = field(kw_only=True)
    batch_size: int = field(kw_only=True)
    generator: torch.Generator = field(kw_only=True)
    validation: MatrixRows | None = field(default=None, kw_only=True)
    corrupt: Corruption | None = field(default=None, kw_only=True)

    has_dense_batches: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.is_tied = "decoder_components" not in self.parameters
        n, W = min(self.batch_size, len(self.rows)), self.parameters["components"]
        self.n_multiplications = n * W.numel()
        self.squared_rows = squared_norms(W)

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        Both are summed over the batch's rows; the loss is estimated.
        """
        assert not isinstance(index, Tensor)
        X, share = self.sampled(self.rows.read_sparse(index))
        part = at(X.columns, self.parameters)
        # Norms are kept for penalties alone.
        before = part["components"].clone() if self.objective.penalties else None
        w = self.rows.weights_of(index)
        gradient = self.gradient(part, X, self.encoded(X), share, w, totals)
        self.solver.change(part, X.columns, gradient, rate)
        put_at(X.columns, self.parameters, part)
        if before is not None:
            # (51).
            after = part["components"]
            change = torch.sub(after, before).mul_(after + before)
            self.squared_rows += change.sum(0, dtype=torch.float64)

    def sampled(self, X: SparseRows) -> tuple[SparseRows, Tensor]:
        """Return the rows with some columns more, and by what each column weighs."""
        n_zero = X.n_features - len(X.columns)
        m = math.ceil(self.sampling * n_zero)
        places = sample(n_zero, m, self.generator)
        # How many columns without an entry come before each that has one.
        before = X.columns - np.arange(len(X.columns))
        others = places + np.searchsorted(before, places, side="right")
        # (48).
        share = self.parameters["components"].new_ones(len(X.columns) + m)
        share[len(X.columns) :] = n_zero / max(m, 1)
        return X.with_columns(others), share

    def encoded(self, X: SparseRows) -> SparseRows:
        """Return the rows with their entries corrupted, if they are to be."""
        if self.corrupt is None:
            return X
        corrupted = X.entries.copy()
        entries = torch.from_numpy(X.entries.data)
        self.corrupt(entries, self.generator, torch.from_numpy(corrupted.data))
        return replace(X, entries=corrupted)

    def gradient(
        self,
        part: Parameters,
        X: SparseRows,
        X_encoded: SparseRows,
        share: Tensor,
        weights: Tensor | None,
        totals: Tensor,
    ) -> Parameters:
        """Return the gradient of these columns, and put loss and penalties there.

        X, what is encoded in its place and `part` have the same columns, of which
        `share` has the weights.
        """
        # Samples are rows of X, H and Z; columns are those of W_S, (m, h).
        W, objective = part["components"], self.objective
        V = part.get("decoder_components", W)
        target = torch.from_numpy(X.entries.toarray())
        # (1): where a row has no entry plays no part in its code.
        A = torch.from_numpy(X_encoded.entries @ W.numpy()) + part["intercept_hidden"]
        H = objective.activation.in_place(A)
        Z = torch.addmm(part["intercept_visible"], H, V.mT)
        # (49).
        losses = objective.loss.elementwise(target, Z) @ share
        loss = losses.sum() if weights is None else weights @ losses
        # (11), of each column its share.
        dZ = objective.loss.gradient_in_place(target, Z).mul_(share)
        if weights is not None:
            dZ.mul_(weights[:, None])
        norms = self.squared_rows.to(H.dtype)
        dA, r, penalty = objective.through_units(H, dZ @ V, norms, weights)
        torch.stack((loss, penalty), out=totals)
        # (13) to (16) with (50): products and sums go over the samples.
        dW = torch.from_numpy(X_encoded.entries.T @ dA.numpy())
        if objective.penalties:
            dW.addcmul_(share[:, None] * r, W)
        gradient = {
            "components": dW,
            "intercept_hidden": dA.sum(0),
            "intercept_visible": dZ.sum(0),
        }
        if self.is_tied:
            dW.addmm_(dZ.mT, H)
        else:
            gradient["decoder_components"] = dZ.mT @ H
        return {name: tensor.div_(len(X)) for name, tensor in gradient.items()}

    def held_out(self) -> float | None:
        """Measure the objective of the held-out data; an epoch is over then."""
        if self.objective.penalties:
            self.squared_rows = squared_norms(self.parameters["components"])
        if self.validation is None:
            return None
        corrupt = self.corrupt and same_each_time(self.corrupt, self.generator)
        return mean_objective(self.objective, self.parameters, self.validation, corrupt)


def squared_norms(W: Tensor) -> Tensor:
    """Return ‖W_j‖² of each row, (h,), in float64."""
    norms: Tensor = torch.linalg.vector_norm(W, dim=1, dtype=torch.float64)
    return norms.square_()
