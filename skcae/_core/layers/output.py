"""The output of a loss as the last layer of a decoder: it has no parameters."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.layer import Layer
from skcae.losses import Output


@dataclass(frozen=True)
class OutputLayer(Layer):
    """o = s(z), elementwise; its state are the slopes s'(z), (n, d).

    Parameters
    ----------
    output : Output
        s.
    size : int
        d.
    """

    output: Output
    size: int

    scales = True

    @property
    def n_inputs(self) -> int:
        """The number d of inputs."""
        return self.size

    @property
    def n_units(self) -> int:
        """The same number."""
        return self.size

    @property
    def n_multiplications(self) -> int:
        """One for each."""
        return self.size

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return s(z) of each row, (n, d) → (n, d)."""
        found = self.output(X)
        return found if out is None else out.copy_(found)

    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return s(z) and s'(z) of each row."""
        found = self.output(X)
        return found, self.output.along(found, torch.ones_like(found))

    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return s' ∘ v for k vectors of each row, (n, k, d) → (n, k, d)."""
        return V * state[:, None]

    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return the same: the Jacobian is diagonal."""
        return U * state[:, None]

    def squared_norms_at(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return s'² times the squared norms of the rows below."""
        # Row i of J is s'_i times that below.
        return None if below is None else state.square() * below
