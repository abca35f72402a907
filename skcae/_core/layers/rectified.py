"""By how much a code is above the one of rest, or above and below it.

A code z with the value r at rest becomes h = max(0, z − r), or, split, two units

    h = (max(0, z − r), max(0, r − z))

(Coates and Ng, 2011, who do so to products with filters). Added up over many positions,
what is above r and what is below it does not cancel.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from skcae._core.layers.differentiated import Differentiated


@dataclass(frozen=True)
class Rectified(Differentiated):
    """A layer h = max(0, z − r), and max(0, r − z) after it if it splits.

    Parameters
    ----------
    rest : tensor of shape (K,)
        r: what the inputs are where there is nothing to see. It is not trained.
    splits : bool
        Whether there are two units for each input.
    """

    rest: Tensor
    splits: bool

    @property
    def n_inputs(self) -> int:
        """The number K of units below."""
        return len(self.rest)

    @property
    def n_units(self) -> int:
        """K, or 2 K."""
        return self.n_inputs * (2 if self.splits else 1)

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes: none, but as many steps as units."""
        return self.n_units

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """Return the same layer in this precision and there."""
        return replace(self, rest=self.rest.to(device, dtype))

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the units of each row, (n, K) → (n, K) or (n, 2 K)."""
        D = X - self.rest
        H = torch.relu(D)
        if self.splits:
            # The units are along the axis 1.
            H = torch.cat([H, torch.relu(-D)], 1)
        return H if out is None else out.copy_(H)
