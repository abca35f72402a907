"""The gradient of one step, with that of large weights kept as factors.

Plain gradient descent adds it to the weights without ever forming it; the other solvers
add it to a tensor that they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.layer import Factors, Parameters


@dataclass(eq=False)
class Gradient:
    """The gradient of the mean objective of a batch.

    Parameters
    ----------
    scale : float
        1/n. All else is summed over the samples.
    parts : dict of Tensor or Factors
        The gradient of each parameter, formed, or as its layer keeps it.
    """

    scale: float
    parts: dict[str, Tensor | Factors]

    @property
    def is_kept(self) -> bool:
        """Whether all of it is kept as factors, which may change where they lie."""
        return not any(isinstance(part, Tensor) for part in self.parts.values())

    def plus(self, other: "Gradient", parameters: Parameters) -> "Gradient":
        """Return the sum of this and another of as many samples, formed."""
        zeros = {name: torch.zeros_like(part) for name, part in parameters.items()}
        for each in (self, other):
            each.add_to(zeros, parameters, decay=1.0)
        return Gradient(1.0, dict(zeros))

    def add_to(
        self, tensors: Parameters, parameters: Parameters, *, decay: float = 0.0
    ) -> None:
        """Set tensor ← decay · tensor + gradient of the parameter of its name."""
        for name, tensor in tensors.items():
            part = self.parts[name]
            if not isinstance(part, Tensor):
                part.add_to(tensor, parameters[name], scale=self.scale, decay=decay)
            elif decay == 0:
                torch.mul(part, self.scale, out=tensor)
            else:
                tensor.mul_(decay).add_(part, alpha=self.scale)

    def descend(self, parameters: Parameters, rates: Mapping[str, float]) -> None:
        """Take the step −rate · gradient, with the rate of each parameter."""
        for name, part in self.parts.items():
            step = rates[name] * self.scale
            if isinstance(part, Tensor):
                parameters[name].sub_(part, alpha=step)
            else:
                part.descend(parameters[name], step)


def derivatives(
    ends: list[Tensor], starts: list[Tensor], leaves: list[Tensor]
) -> tuple[Tensor, ...]:
    """Return the derivative by each leaf, from those by the ends, as torch finds it.

    It is 0 by what nothing is computed from, as a module may have.
    """
    pairs = [pair for pair in zip(ends, starts, strict=True) if pair[0].requires_grad]
    if not pairs:
        return tuple(map(torch.zeros_like, leaves))
    ends, starts = map(list, zip(*pairs, strict=True))
    return torch.autograd.grad(ends, leaves, starts, materialize_grads=True)
