"""What is nearer to a centre than to the average one: a code of k-means.

With the distance z_k = ‖x − c_k‖ from the centre k, a unit is

    h_k = max(0, mean(z) − z_k)

(Coates, Ng and Lee, 2011, their "triangle"). About half of the units are 0.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from skcae._core.layers.differentiated import Differentiated
from skcae._core.layers.layer import Parameters


@dataclass(frozen=True)
class Triangle(Differentiated):
    """A layer h = max(0, mean(z) − z).

    Parameters
    ----------
    centres : tensor of shape (K, d)
        What the distances are from.
    """

    centres: Tensor

    @property
    def n_inputs(self) -> int:
        """The number d of inputs."""
        return self.centres.shape[1]

    @property
    def n_units(self) -> int:
        """The number K of centres."""
        return self.centres.shape[0]

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes."""
        return self.centres.numel()

    @property
    def matrix(self) -> Tensor:
        """What a row is multiplied with, (K, d)."""
        return self.centres

    @property
    def parameters(self) -> Parameters:
        """The centres."""
        return {"centres": self.centres}

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters."""
        return replace(self, **parameters)

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the units of each row, (n, d) → (n, K)."""
        H = nearer_than_average(torch.cdist(X, self.centres))
        return H if out is None else out.copy_(H)


def nearer_than_average(Z: Tensor) -> Tensor:
    """Return max(0, mean(z) − z_k) of distances, (n, K) → (n, K)."""
    # The mean over the centres is along the axis 1.
    return torch.relu(Z.mean(1, keepdim=True) - Z)
