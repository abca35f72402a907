"""Layers with targets: what they are to lower, and a step of their training.

For a batch of n rows with weights w_i, the objective is 1/n Σ_i w_i L(t_i, z_i) with

    H_0 = Xᵀ,  H_k = φ_k(W_k H_{k−1} + b_k),  Z = W_K H_{K−1} + b_K.

Samples are columns.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.evaluation import mean_over_rows
from skcae._core.data.tensors import MatrixRows
from skcae._core.layers.chain import Chain
from skcae._core.layers.gradient import Gradient
from skcae._core.steps.reconstruction import Corruption
from skcae._core.training.solvers import Solver
from skcae.losses import Loss


@dataclass(frozen=True)
class NetworkObjective:
    """What a network is to lower: the weighted mean over rows of a loss and a decay.

    Parameters
    ----------
    loss : Loss
        Of its linear outputs Z.
    decay : float
        The strength α of ½ α ‖W_K‖², on the weights of the output layer.
    """

    loss: Loss
    decay: float = field(default=0.0, kw_only=True)

    @property
    def columns_per_row(self) -> int:
        """How many columns each row has in the products of a step."""
        return 1

    def values_and_gradient(
        self,
        chain: Chain,
        index: Array | Tensor | slice,
        X: Tensor,
        T: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of each row, (2, n), and the mean's gradient.

        `index` says which of the training rows they are. The weights count in the
        gradient only.
        """
        # Samples are columns inside, and rows of Z, which is a view of the last output.
        outputs = chain.forward(X.mT)
        Z = outputs.pop().mT
        losses = self.loss.value(T, Z)
        # dZ = w ∂L/∂z in the place of Z.
        self.loss.gradient_in_place(T, Z)
        if weights is not None:
            Z.mul_(weights[:, None])
        gradient = chain.backward(outputs, Z.mT)
        decay = self.add_decay(chain, len(X), weights, gradient)
        return torch.stack((losses, decay.expand_as(losses))), gradient

    def add_decay(
        self,
        chain: Chain,
        n_rows: int,
        weights: Tensor | None,
        gradient: Gradient,
    ) -> Tensor:
        """Add the decay to the gradient of a batch, and return ½ α ‖W_K‖²."""
        name, W = f"coefs.{len(chain.layers) - 1}", chain.affine[-1].weights
        if self.decay == 0:
            return W.new_zeros(())
        # Its gradient is α W for each row, to which that of the loss is added.
        n = n_rows if weights is None else weights.sum()
        part, formed = gradient.parts[name], W * (self.decay * n)
        if isinstance(part, Tensor):
            formed.add_(part)
        else:
            part.add_to(formed, W, scale=1.0, decay=1.0)
        gradient.parts[name] = formed
        return self.decay / 2 * W.square().sum()


@dataclass(eq=False)
class NetworkLearner:
    """A network that learns to predict a target for each of its rows.

    Parameters
    ----------
    objective : NetworkObjective
        What to lower.
    chain : Chain
        The layers, the last of them linear; their parameters are changed in place.
    solver : Solver
        What changes them.
    rows : MatrixRows
        The training data.
    targets : tensor of shape (n, n_outputs)
        What to predict for each of the rows, on their device.
    batch_size : int
        The most rows to a step.
    validation : (MatrixRows, tensor), optional
        Held-out data with their targets.
    error : callable
        From (T, Z) to what is measured on the held-out data, for each row.
    corrupt : callable, optional
        What is predicted from is a corrupted copy of each batch, fresh at each
        presentation. Held-out rows stay as they are.
    generator : torch.Generator, optional
        Where the corruption comes from.
    """

    objective: NetworkObjective
    chain: Chain
    solver: Solver
    rows: MatrixRows
    targets: Tensor
    batch_size: int = field(kw_only=True)
    validation: tuple[MatrixRows, Tensor] | None = field(default=None, kw_only=True)
    error: Callable[[Tensor, Tensor], Tensor] = field(kw_only=True)
    corrupt: Corruption | None = field(default=None, kw_only=True)
    generator: torch.Generator = field(default_factory=torch.Generator, kw_only=True)

    has_dense_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        chain, n = self.chain, min(self.batch_size, len(self.rows))
        self.parameters = chain.parameters
        self.batch = self.targets.new_empty((n, self.rows.n_features))
        self.noisy = torch.empty_like(self.batch[: n if self.corrupt else 0])
        columns = n * self.objective.columns_per_row
        self.n_multiplications = columns * chain.n_multiplications

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        Both are summed over the batch's rows.
        """
        X, T = self.batch[: self.rows.count(index)], self.targets[index]
        self.rows.read(index, X)
        if self.corrupt is not None:
            clean, X = X, self.noisy[: len(X)]
            self.corrupt(clean, self.generator, X)
        weights = self.rows.weights_of(index)
        values, gradient = self.objective.values_and_gradient(
            self.chain, index, X, T, weights
        )
        totals.copy_(values.sum(1) if weights is None else values @ weights)
        self.solver.update(gradient, rate)

    def held_out(self) -> float | None:
        """Measure the weighted mean error of the held-out data."""
        if self.validation is None:
            return None
        rows, targets = self.validation

        def errors(part: slice, X: Tensor) -> Tensor:
            # Held-out rows have neither tangents nor a decay.
            Z = self.chain.forward(X.mT)[-1].mT
            return self.error(targets[part], Z)

        return mean_over_rows(
            rows,
            errors,
            width=self.chain.width,
            n_multiplications=self.chain.n_multiplications,
        )
