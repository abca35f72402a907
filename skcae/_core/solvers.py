"""Gradient solvers, with state that can be kept."""

from functools import partial

import torch
from torch import Tensor
from torch.optim.adam import adam

from skcae._core.gradient import Gradient
from skcae._core.layers import Parameters

# For each name of the solver's `slots` one tensor per parameter, "mean.components",
# "mean.intercept_hidden", …, and for Adam "step", the steps that each has taken.
SolverState = dict[str, Tensor]


class Solver:
    """Changes the parameters in place, one gradient at a time.

    Parameters
    ----------
    parameters : dict of tensors
        What to change.
    state : dict of tensors, optional
        The state of an earlier solver of the same kind, to go on from. It is copied.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self, parameters: Parameters, state: SolverState | None = None
    ) -> None:
        self.parameters = parameters
        self.state = self._initial_state()
        earlier = state or {}
        for name in self.state.keys() & earlier.keys():
            self.state[name].copy_(earlier[name])

    def _initial_state(self) -> SolverState:
        return {
            f"{slot}.{name}": torch.zeros_like(parameter)
            for slot in self.slots
            for name, parameter in self.parameters.items()
        }

    def _slot(self, slot: str) -> Parameters:
        return {name: self.state[f"{slot}.{name}"] for name in self.parameters}

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        raise NotImplementedError


class Adam(Solver):
    """Adam (Kingma and Ba, ICLR 2015) with its usual constants, by torch's update."""

    slots = ("mean", "square")

    def __init__(
        self, parameters: Parameters, state: SolverState | None = None
    ) -> None:
        super().__init__(parameters, state)
        self._gradient = {n: torch.zeros_like(p) for n, p in parameters.items()}
        self._update = partial(
            adam,
            list(parameters.values()),
            list(self._gradient.values()),
            list(self._slot("mean").values()),
            list(self._slot("square").values()),
            [],
            list(self.state["step"].unbind()),
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def _initial_state(self) -> SolverState:
        some = next(iter(self.parameters.values()))
        steps = some.new_zeros(len(self.parameters), dtype=torch.float32)
        return {"step": steps, **super()._initial_state()}

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        for name, matrix in self._gradient.items():
            gradient.add_to(matrix, name, self.parameters)
        self._update(lr=rate)


class Sgd(Solver):
    """Stochastic gradient descent, with heavy-ball momentum if it is not 0."""

    def __init__(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        momentum: float = 0.0,
    ) -> None:
        self.slots = ("velocity",) if momentum else ()
        super().__init__(parameters, state)
        self.momentum = momentum

    def update(self, gradient: Gradient, rate: float) -> None:
        """Take one step of the given learning rate."""
        if not self.momentum:
            gradient.descend(self.parameters, rate)
            return
        for name, velocity in self._slot("velocity").items():
            gradient.add_to(velocity, name, self.parameters, decay=self.momentum)
        for name, velocity in self._slot("velocity").items():
            self.parameters[name].sub_(velocity, alpha=rate)
