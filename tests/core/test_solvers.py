"""What makes a step of a gradient, and its state."""

from functools import partial

import pytest
import torch

from skcae._core.layers.dense import MatrixFactors
from skcae._core.layers.gradient import Gradient
from skcae._core.training.solvers import Adam, Sgd

SOLVERS = {
    "adam": Adam,
    "sgd": Sgd,
    "momentum": partial(Sgd, momentum=0.9),
}
OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, fused=True),
    "sgd": lambda groups: torch.optim.SGD(groups),
    "momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9),
}


def dense_gradient(parameters):
    """A gradient of W and of the intercepts."""
    W = parameters["components"]
    return Gradient(
        scale=0.5,
        parts={
            "components": MatrixFactors(
                torch.ones_like(W), torch.ones_like(W.T @ W), torch.ones_like(W[:, 0])
            ),
            **{n: torch.ones_like(p) for n, p in parameters.items() if p.ndim == 1},
        },
    )


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_the_state_of_a_solver_can_be_taken_up(solver, layer):
    """Ten steps are five and five more from the saved state."""
    gradient, make = dense_gradient(layer()), SOLVERS[solver]
    whole, halves = layer(), layer()
    one = make(whole)
    for _ in range(10):
        one.update(gradient, 0.1)
    first = make(halves)
    for _ in range(5):
        first.update(gradient, 0.1)
    second = make(halves, {k: v.clone() for k, v in first.state.items()})
    for _ in range(5):
        second.update(gradient, 0.1)
    for name in whole:
        torch.testing.assert_close(halves[name], whole[name], rtol=0, atol=0)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_solvers_keep_their_state_on_the_parameters_device(solver, layer):
    parameters = {name: p.to("meta") for name, p in layer().items()}
    made = SOLVERS[solver](parameters)
    assert all(tensor.is_meta for tensor in made.state.values())
    made.update(dense_gradient(parameters), 0.1)
    assert all(p.is_meta for p in parameters.values())


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_steps_are_those_of_torch_at_the_rates_of_the_parameters(solver, layer):
    """Of a gradient with a part in W, which changes from step to step."""
    factors = {"components": 0.5, "intercept_hidden": 2.0}
    ours, theirs = layer(), layer()
    made = SOLVERS[solver](ours, factors=factors)
    optimizer = OPTIMIZERS[solver](
        [{"params": [p], "factor": factors.get(n, 1.0)} for n, p in theirs.items()]
    )
    for step in range(5):
        made.update(dense_gradient(ours), 0.1 / (step + 1))
        gradient = dense_gradient(theirs)
        for name, parameter in theirs.items():
            parameter.grad = torch.zeros_like(parameter)
            gradient.add_to({name: parameter.grad}, theirs)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (step + 1) * group["factor"]
        optimizer.step()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name])
