"""Solvers of steps that touch few columns: the others stay as they are."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.layers.layer import Parameters
from skcae._core.training.solvers import USUAL, Solver, SolverState

# What has no columns, and is changed at each step.
WHOLE = "intercept_hidden"


def by_columns(parameters: Parameters) -> Parameters:
    """Return the same tensors, the numbers of a column side by side in memory."""
    return {
        name: tensor.mT.contiguous().mT if tensor.ndim == 2 else tensor
        for name, tensor in parameters.items()
    }


def _columns_first(tensor: Tensor) -> Array:
    """Return the same memory, (d, …)."""
    array: Array = tensor.mT.numpy() if tensor.ndim == 2 else tensor.numpy()
    return array


def at(columns: Array, tensors: Parameters) -> Parameters:
    """Return a copy of m columns, which are the first axis of it: (m, h) or (m,)."""
    # NumPy gathers and scatters whole rows several times faster than torch.
    return {
        name: tensor.clone()
        if name == WHOLE
        else torch.from_numpy(_columns_first(tensor).take(columns, 0))
        for name, tensor in tensors.items()
    }


def put_at(columns: Array, tensors: Parameters, part: Parameters) -> None:
    """Write such a copy back."""
    for name, of_part in part.items():
        if name == WHOLE:
            tensors[name].copy_(of_part)
        else:
            _columns_first(tensors[name])[columns] = of_part.numpy()


class LazySolver(Solver):
    """Changes some columns of the parameters at a time."""

    def change(
        self, part: Parameters, columns: Array, gradient: Parameters, rate: float
    ) -> None:
        """Change `part`, a copy of these columns, by a step of this learning rate."""
        raise NotImplementedError


class LazySgd(LazySolver):
    """Stochastic gradient descent without momentum, which asks for no laziness."""

    def change(
        self, part: Parameters, columns: Array, gradient: Parameters, rate: float
    ) -> None:
        """Change `part`, a copy of these columns, by a step of this learning rate."""
        for name, of_part in part.items():
            of_part.sub_(gradient[name], alpha=rate)


class LazyAdam(LazySolver):
    """Adam whose moments of a column advance at the steps that touch it, and only then.

    The correction of their bias counts those steps, for each column by itself. Where
    all columns are touched it is Adam; otherwise it is another method, since Adam's own
    moments fade, and go on moving the weights, while the gradient is zero.
    """

    slots = ("mean", "square")
    # Of each column its steps, under the name of what has one number for each.
    counts: ClassVar[str] = "count.intercept_visible"

    def __init__(
        self, parameters: Parameters, state: SolverState | None = None
    ) -> None:
        some = parameters["intercept_visible"]
        more: dict[str, Any] = {
            # As Adam has it, which may go on from here.
            "step": some.new_zeros(len(parameters), dtype=torch.float32),
            self.counts: torch.zeros_like(some, dtype=torch.float32),
        }
        super().__init__(parameters, state, **more)
        if state and self.counts not in state:
            self.state[self.counts].fill_(self.state["step"][0])

    def change(
        self, part: Parameters, columns: Array, gradient: Parameters, rate: float
    ) -> None:
        """Change `part`, a copy of these columns, by a step of this learning rate."""
        beta1, beta2 = USUAL["beta1"], USUAL["beta2"]
        self.state["step"].add_(1)
        counts = self.state[self.counts].numpy()
        counts[columns] += 1
        t = torch.from_numpy(counts[columns]).double()
        means, squares = (at(columns, self.slot[name]) for name in self.slots)
        for name, of_part in part.items():
            g, mean, square = gradient[name], means[name], squares[name]
            mean.lerp_(g, 1 - beta1)
            square.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            # Kingma and Ba, the efficient form at the end of section 2; columns are
            # the first axis.
            steps = self.state["step"].double()[0] if name == WHOLE else t
            root = (1 - beta2**steps).sqrt_()
            size, eps = rate * root / (beta1**steps - 1), USUAL["eps"] * root
            if g.ndim == 2:
                size, eps = size[:, None], eps[:, None]
            of_part.addcdiv_(mean * size.to(g), square.sqrt().add_(eps.to(g)))
        for name, parts in zip(self.slots, (means, squares), strict=True):
            put_at(columns, self.slot[name], parts)


LAZY: dict[str, type[LazySolver]] = {"adam": LazyAdam, "sgd": LazySgd}
