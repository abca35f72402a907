"""Gradient solvers: torch's own functional updates, with state that can be kept."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from skcae._core.layers import Parameters

# For each name of the solver's `slots` one tensor per parameter, "mean.components",
# "mean.intercept_hidden", …, and "step", the number of steps that each has taken.
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

    slots: ClassVar[tuple[str, ...]]

    def __init__(
        self, parameters: Parameters, state: SolverState | None = None
    ) -> None:
        self.parameters = parameters
        self.state = self._initial_state()
        for name, tensor in (state or {}).items():
            self.state[name].copy_(tensor)

    def _initial_state(self) -> SolverState:
        some = next(iter(self.parameters.values()))
        state = {"step": some.new_zeros(len(self.parameters), dtype=torch.float32)}
        for slot in self.slots:
            for name, parameter in self.parameters.items():
                state[f"{slot}.{name}"] = torch.zeros_like(parameter)
        return state

    def _slot(self, slot: str) -> list[Tensor]:
        return [self.state[f"{slot}.{name}"] for name in self.parameters]

    def update(self, gradient: Parameters, rate: float) -> None:
        """Take one step of the given learning rate."""
        raise NotImplementedError


class Adam(Solver):
    """Adam (Kingma and Ba, ICLR 2015) with its usual constants."""

    slots = ("mean", "square")

    def update(self, gradient: Parameters, rate: float) -> None:
        """Take one step of the given learning rate."""
        adam(
            list(self.parameters.values()),
            [gradient[name] for name in self.parameters],
            self._slot("mean"),
            self._slot("square"),
            [],
            list(self.state["step"].unbind()),
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Sgd(Solver):
    """Stochastic gradient descent with heavy-ball momentum."""

    slots = ("velocity",)

    def __init__(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(parameters, state)
        self.momentum = momentum

    def update(self, gradient: Parameters, rate: float) -> None:
        """Take one step of the given learning rate."""
        velocity: list[Tensor | None] = list(self._slot("velocity"))
        sgd(
            list(self.parameters.values()),
            [gradient[name] for name in self.parameters],
            velocity if self.momentum else [None] * len(velocity),
            fused=True,
            weight_decay=0.0,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        self.state["step"] += 1
