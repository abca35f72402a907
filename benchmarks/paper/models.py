"""The models of the tables: how each is built, and what is searched.

A setting is one value from each line of a grid. What all models share is searched on
the same values.
"""

import itertools

import numpy as np
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    StackedCAE,
)

# The protocol of the paper: cross-entropy, sigmoid units, tied weights.
PROTOCOL = {"loss": "cross_entropy", "tol": 0.0, "learning_rate_schedule": "linear"}

# Solver and learning rate: Adam in batches of 100 rows, plain descent in batches of 20.
PRE_TRAINING = {"training": ["adam 0.003", "adam 0.01", "sgd 0.1"]}
# The same of fine-tuning: both in batches of 100 rows, descent with momentum 0.9.
FINE_TUNING = {"tuning": ["adam 0.001", "adam 0.003", "sgd 0.3"]}

LAMBDAS = [0.05, 0.1, 0.2, 0.3, 0.5]
DECAYS = [1e-5, 1e-4, 3e-4, 1e-3, 3e-3]
DEVIATIONS = [0.2, 0.3, 0.4, 0.5, 0.6]
FRACTIONS = [0.1, 0.25, 0.4, 0.5, 0.6]

GRIDS = {
    "AE": PRE_TRAINING,
    "AE+wd": {"weight_decay": DECAYS, **PRE_TRAINING},
    "DAE-g": {"corruption_level": DEVIATIONS, **PRE_TRAINING},
    "DAE-b": {"corruption_level": FRACTIONS, **PRE_TRAINING},
    "RBM": {"learning_rate": [0.01, 0.03, 0.1], "batch_size": [20, 100]},
    "CAE": {"jacobian_penalty": LAMBDAS, **PRE_TRAINING},
}
GRIDS |= {
    "SAE-3": GRIDS["AE"],
    "RBM-3": GRIDS["RBM"],
    "DAE-b-3": GRIDS["DAE-b"],
    "CAE-1": GRIDS["CAE"],
    "CAE-2": GRIDS["CAE"],
}
SVM_RBF = {"C": [1.0, 3.0, 10.0, 30.0], "gamma": [0.005, 0.01, 0.02, 0.03, 0.05]}

TABLE_1 = ["AE", "AE+wd", "DAE-g", "DAE-b", "RBM", "CAE"]
TABLE_2 = ["SVM_rbf", "SAE-3", "RBM-3", "DAE-b-3", "CAE-1", "CAE-2"]


CLASSES = {
    "AE": Autoencoder,
    "SAE": Autoencoder,
    "AE+wd": Autoencoder,
    "DAE-g": DenoisingAutoencoder,
    "DAE-b": DenoisingAutoencoder,
    "CAE": ContractiveAutoencoder,
}


def encoder(name, setting, n_components, n_epochs, seed):
    """Build the encoder of a model with this setting, not yet fitted."""
    kind, n_layers = (name[:-2], 3) if name.endswith("-3") else (name, 1)
    if kind == "RBM":
        rbm = {**setting, "n_iter": n_epochs, "random_state": seed}
        return stack(lambda: BernoulliRBM(n_components, **rbm), n_layers)
    ours = {**PROTOCOL, **setting, "max_iter": n_epochs, "random_state": seed}
    ours |= training_parameters(ours.pop("training"))
    if name.startswith("CAE-"):
        return StackedCAE((n_components,) * int(name[-1]), **ours)
    if kind.startswith("DAE"):
        ours["corruption"] = {"DAE-g": "gaussian", "DAE-b": "masking"}[kind]
    return stack(lambda: CLASSES[kind](n_components, **ours), n_layers)


def stack(make, n_layers):
    """Return one encoder, or a pipeline of several."""
    if n_layers == 1:
        return make()
    return make_pipeline(*(make() for _ in range(n_layers)))


def training_parameters(text):
    """Read the solver and rate of pre-training, such as "adam 0.01"."""
    solver = solver_parameters(text)
    if solver["solver"] == "sgd":
        solver |= {"momentum": 0.0, "batch_size": 20}
    return solver


def solver_parameters(text):
    """Read a solver and its rate."""
    solver, rate = text.split()
    return {"solver": solver, "learning_rate": float(rate)}


def draw_settings(name, n_trials, seed=0):
    """Draw different settings of a model from its grid, in an order of their own.

    More trials begin with the same ones, so that a search can be extended.
    """
    grid = SVM_RBF if name == "SVM_rbf" else {**GRIDS[name], **FINE_TUNING}
    every = [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]
    order = np.random.RandomState(seed).permutation(len(every))
    return [every[k] for k in order[:n_trials]]
