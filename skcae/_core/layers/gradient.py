"""The gradient of one step, with the weights' part kept as factors.

Plain gradient descent adds it to the weights without ever forming it; the other solvers
add it to a tensor that they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from skcae._core.layers.layer import Parameters, WeightGradient


@dataclass(frozen=True)
class Gradient:
    """The gradient of the mean objective of a batch.

    Parameters
    ----------
    scale : float
        1/n. All else is summed over the samples.
    weights : dict of WeightGradient
        The gradient of each layer's weights, as the layer keeps it.
    vectors : dict of tensors
        The gradient of each intercept, and of all that is formed.
    """

    scale: float
    weights: dict[str, WeightGradient]
    vectors: dict[str, Tensor]

    def add_to(
        self, tensor: Tensor, name: str, parameters: Parameters, *, decay: float = 0.0
    ) -> None:
        """Set tensor ← decay · tensor + gradient of the parameter of this name."""
        if name in self.vectors:
            tensor.mul_(decay).add_(self.vectors[name], alpha=self.scale)
        else:
            factors = self.weights[name]
            factors.add_to(tensor, parameters[name], scale=self.scale, decay=decay)

    def descend(self, parameters: Parameters, rates: Mapping[str, float]) -> None:
        """Take the step −rate · gradient, with the rate of each parameter."""
        for name, factors in self.weights.items():
            factors.descend(parameters[name], rates[name] * self.scale)
        for name, vector in self.vectors.items():
            parameters[name].sub_(vector, alpha=rates[name] * self.scale)
