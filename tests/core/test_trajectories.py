"""Fifty steps of one layer, and the same by a graph and torch.optim.

A trajectory holds everything at once: the gradient and what the solver makes of it, the
weights and the noise, the order of the rows and the short batch at the end of an epoch.
"""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from skcae import penalties as library
from skcae._core.data.rows import Rows
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.training.loop import Training
from skcae._core.training.schedules import StoppingRule, constant_rate, linear_rate
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from tests import oracles

SOLVERS = {
    "adam": lambda parameters: Adam(parameters),
    "sgd": lambda parameters: Sgd(parameters, momentum=0.0),
    "momentum": lambda parameters: Sgd(parameters, momentum=0.9),
}
OPTIMIZERS = {
    "adam": lambda tensors: torch.optim.Adam(tensors, lr=0.01),
    "sgd": lambda tensors: torch.optim.SGD(tensors, lr=0.01),
    "momentum": lambda tensors: torch.optim.SGD(tensors, lr=0.01, momentum=0.9),
}
PENALTIES = {
    "plain": {},
    "jacobian": {"jacobian_penalty": 0.1},
    "hessian": {"hessian_penalty": 0.02},
    "both": {"jacobian_penalty": 0.1, "hessian_penalty": 0.02},
    "decay": {"weight_decay": 0.1},
}
SCHEDULES = {
    "constant": constant_rate(0.01),
    # Of fifty steps five rise.
    "linear": linear_rate(0.01, 50),
}
RATES = {
    "constant": lambda step: 0.01,
    "linear": lambda step: 0.01 * min((step + 1) / 5, (50 - step) / 46),
}

#: What makes an encoder's trajectory, in any combination ...
LAYERS = {
    "activation": sorted(ACTIVATIONS),
    "penalties": sorted(PENALTIES),
    "tied": [True, False],
}
#: ... and how it is trained.
TRAININGS = {
    "solver": sorted(SOLVERS),
    "loss": sorted(LOSSES),
    "weighted": [True, False],
    "corrupted": [True, False],
    "schedule": sorted(SCHEDULES),
    "shuffle": [True, False],
}


def combined(factors):
    """Return all combinations of what the factors may be."""
    return [
        dict(zip(factors, values, strict=True)) for values in product(*factors.values())
    ]


def says_something_new(layer):
    """A Hessian that is zero is no penalty: those cases there are already."""
    curved = ACTIVATIONS[layer["activation"]].curved
    return curved or "hessian_penalty" not in PENALTIES[layer["penalties"]]


def parts(case):
    """Return every pair in a case, and which solver meets which gradient of W."""
    return {
        *combinations(case.items(), 2),
        tuple((name, case[name]) for name in ("solver", "tied", "penalties")),
    }


def cover(layers, trainings):
    """Train each layer once, in the way that shows most of what is still to be seen."""
    cases, seen = [], set()
    for layer in layers:
        ways = [layer | training for training in trainings]
        cases.append(max(ways, key=lambda case: len(parts(case) - seen)))
        seen |= parts(cases[-1])
    return cases


LAYERS_THAT_DIFFER = list(filter(says_something_new, combined(LAYERS)))
CASES = cover(LAYERS_THAT_DIFFER, combined(TRAININGS))


def test_the_cases_have_every_pair():
    everything = product(LAYERS_THAT_DIFFER, combined(TRAININGS))
    assert set().union(*(parts(layer | how) for layer, how in everything)) == (
        set().union(*map(parts, CASES))
    )


def mask(target, generator, out):
    """A corruption that is the same at each presentation of a row."""
    out.copy_(torch.where(target > 0.7, 0.0, target))


def name_of(case):
    return "-".join(
        value if isinstance(value, str) else name if value else f"not {name}"
        for name, value in case.items()
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_fifty_steps_equal_autograd_and_torchs_optimizers(case, layer):
    """The same trajectory, to rounding."""
    activation, loss, solver = case["activation"], case["loss"], case["solver"]
    strengths = {"jacobian_penalty": 0.0, "hessian_penalty": 0.0}
    strengths |= PENALTIES[case["penalties"]]
    X = np.random.default_rng(0).random((18, 4))
    weights = None
    if case["weighted"]:
        weights = np.random.default_rng(1).uniform(0.5, 1.5, 18)
    corrupt = mask if case["corrupted"] else None
    start = {name: 0.3 * p for name, p in layer(tied=case["tied"]).items()}

    parameters = {name: p.clone() for name, p in start.items()}
    learner = ReconstructionLearner(
        Objective(
            ACTIVATIONS[activation],
            LOSSES[loss],
            tuple((strengths[name], library.PENALTIES[name]) for name in strengths),
        ),
        parameters,
        SOLVERS[solver](parameters),
        Rows(X, weights, dtype=X.dtype, device=torch.device("cpu")),
        batch_size=4,
        corrupt=corrupt,
    )
    training = Training(
        learner,
        batch_size=4,
        rate=SCHEDULES[case["schedule"]],
        stopping=StoppingRule(tol=0.0, n_iter_no_change=10),
        shuffle=case["shuffle"],
        generator=torch.Generator().manual_seed(7),
    )
    for _ in range(10):
        training.run_epoch()

    naive = {name: p.clone().requires_grad_() for name, p in start.items()}
    optimizer = OPTIMIZERS[solver](list(naive.values()))
    generator = torch.Generator().manual_seed(7)
    target = torch.from_numpy(X)
    presented = target.clone()
    if corrupt:
        corrupt(target, None, presented)
    every_weight = torch.ones(18) if weights is None else torch.from_numpy(weights)
    step = 0
    for _ in range(10):
        total = 0.0
        order = torch.arange(18)
        if case["shuffle"]:
            order = torch.randperm(18, generator=generator)
        for index in order.split(4):
            optimizer.param_groups[0]["lr"] = RATES[case["schedule"]](step)
            optimizer.zero_grad()
            value = oracles.fast_objective(
                naive,
                presented[index],
                every_weight[index],
                activation=activation,
                loss=loss,
                target=target[index],
                **strengths,
            )
            value.backward()
            total += float(value.detach()) * len(index) / 18
            optimizer.step()
            step += 1
    assert training.step == step == 50
    assert training.loss_curve[-1] == pytest.approx(total, rel=1e-9)
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            parameter, naive[name].detach(), rtol=1e-8, atol=1e-10, msg=name
        )
