"""Gradient solvers, with state that can be kept."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Parameters

# For each name of the solver's `slots` one tensor per parameter, "mean.components",
# "mean.intercept_hidden", …, and for Adam "step", the steps that each has taken.
SolverState = dict[str, Tensor]

# Adam's constants.
USUAL: dict[str, Any] = {
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
    "maximize": False,
}

# All parameters have the rate of the step.
ALIKE: Mapping[str, float] = {}


class Solver:
    """Changes the parameters in place, one gradient at a time.

    Parameters
    ----------
    parameters : dict of tensors
        What to change.
    state : dict of tensors, optional
        The state of an earlier solver of the same kind, to go on from. It is copied.
    factors : mapping of str to float, optional
        By what the rate of a parameter is multiplied; by 1 if it is not there.
    **more : tensor
        What else belongs to the state, by name.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        *,
        factors: Mapping[str, float] = ALIKE,
        **more: Tensor,
    ) -> None:
        self.parameters = parameters
        self.factors = {name: factors.get(name, 1.0) for name in parameters}
        self.slot = {
            slot: {name: torch.zeros_like(p) for name, p in parameters.items()}
            for slot in self.slots
        }
        self.state: SolverState = dict(more)
        for slot, tensors in self.slot.items():
            self.state |= {f"{slot}.{name}": t for name, t in tensors.items()}
        earlier = state or {}
        for name in self.state.keys() & earlier.keys():
            self.state[name].copy_(earlier[name])

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        raise NotImplementedError


class Adam(Solver):
    """Adam (Kingma and Ba, ICLR 2015) with its usual constants, by torch's update."""

    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        *,
        factors: Mapping[str, float] = ALIKE,
    ) -> None:
        # In float32, as the fused update wants them.
        some = next(iter(parameters.values()))
        steps = some.new_zeros(len(parameters), dtype=torch.float32)
        super().__init__(parameters, state, factors=factors, step=steps)
        # The update wants a gradient that is formed: the one buffer for it.
        self._gradient = {n: torch.zeros_like(p) for n, p in parameters.items()}
        # A tensor, since torch makes one of each number that it is given.
        self._one = torch.ones_like(steps[0])
        counts = dict(zip(parameters, steps.unbind(), strict=True))
        # There is nothing in the place of amsgrad's largest squares.
        kinds = (parameters, self._gradient, *self.slot.values(), {}, counts)
        # Parameters of one rate are updated by one call.
        self._groups: list[tuple[float, list[list[Tensor]]]] = []
        for factor in set(self.factors.values()):
            names = [name for name in parameters if self.factors[name] == factor]
            lists = [[of[name] for name in names if name in of] for of in kinds]
            self._groups.append((factor, lists))

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        gradient.add_to(self._gradient, self.parameters)
        self.state["step"].add_(self._one)
        for factor, tensors in self._groups:
            # The kernel of torch.optim.Adam, which keeps books for longer than this
            # updates a small layer.
            torch._fused_adam_(*tensors, lr=rate * factor, **USUAL)


class Sgd(Solver):
    """Stochastic gradient descent, with heavy-ball momentum if it is not 0."""

    def __init__(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        momentum: float = 0.0,
        *,
        factors: Mapping[str, float] = ALIKE,
    ) -> None:
        self.slots = ("velocity",) if momentum else ()
        super().__init__(parameters, state, factors=factors)
        self.momentum = momentum

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        rates = {name: rate * factor for name, factor in self.factors.items()}
        # Equation (20) goes straight into the weights, and no gradient is formed.
        if not self.momentum:
            gradient.descend(self.parameters, rates)
            return
        # v ← μ v + ∂. All before any weight changes: ∂/∂W has a part in W, diag(r) W.
        velocities = self.slot["velocity"]
        gradient.add_to(velocities, self.parameters, decay=self.momentum)
        for name, velocity in velocities.items():
            self.parameters[name].sub_(velocity, alpha=rates[name])
