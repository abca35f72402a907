"""The gradient of one step, with the weight matrices' part kept as factors.

The gradient of W is scale · (left right + diag(row_factors) W). Plain gradient descent
adds it to W without ever forming it; the other solvers add it to a matrix they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.dense import Parameters


@dataclass(frozen=True)
class Gradient:
    """The gradient of the mean objective of a batch.

    Parameters
    ----------
    scale : float
        1/n. All else is summed over the samples.
    products : dict of (left, right), of shapes (h, k) and (k, d)
        For each weight matrix the factors of its gradient.
    row_factors : tensor of shape (h,) or None
        The penalties' factors of the rows of `components`.
    vectors : dict of tensors
        The gradient of each intercept, and of all that has no product.
    """

    scale: float
    products: dict[str, tuple[Tensor, Tensor]]
    row_factors: Tensor | None
    vectors: dict[str, Tensor]

    def add_to(
        self, tensor: Tensor, name: str, parameters: Parameters, *, decay: float = 0.0
    ) -> None:
        """Set tensor ← decay · tensor + gradient of the parameter of this name."""
        if name in self.vectors:
            tensor.mul_(decay).add_(self.vectors[name], alpha=self.scale)
            return
        tensor.addmm_(*self.products[name], beta=decay, alpha=self.scale)
        if name == "components" and self.row_factors is not None:
            W = parameters["components"]
            tensor.addcmul_(self.row_factors[:, None], W, value=self.scale)

    def descend(self, parameters: Parameters, rates: Mapping[str, float]) -> None:
        """Take the step −rate · gradient, W's part folded into its product.

        `rates` has that of each parameter.
        """
        steps = {name: rate * self.scale for name, rate in rates.items()}
        if self.row_factors is not None:
            kept = torch.rsub(self.row_factors, 1, alpha=steps["components"])
            parameters["components"].mul_(kept[:, None])
        for name, (left, right) in self.products.items():
            parameters[name].addmm_(left, right, alpha=-steps[name])
        for name, vector in self.vectors.items():
            parameters[name].sub_(vector, alpha=steps[name])
