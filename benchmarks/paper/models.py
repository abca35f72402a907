"""The models of the tables: how each is built, and what is searched.

A setting is one value from each line of a grid. What all models share is searched on
the same values.
"""

import math
import zlib
from functools import partial

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
PROTOCOL = {
    "loss": "cross_entropy",
    "bias_spread": 0,  # as in the paper
    "tol": 0.0,
    "learning_rate_schedule": "linear",
}
# To be raised when what a run does changes, so that its results are not taken for the
# same as those of before. In runs of version 2 the output layer's biases began at 0, in
# those of version 3 at the logarithms of the classes' shares.
PROTOCOL_VERSION = 3

# What a first search of Table 1 on wider grids left worth trying.

# Solver and learning rate: Adam in batches of 100 rows, plain descent in batches of 20.
PRE_TRAINING = {"training": ["adam 0.01", "sgd 0.1"]}
# The same of fine-tuning: both in batches of 100 rows, descent with momentum 0.9.
FINE_TUNING = {"tuning": ["adam 0.003", "adam 0.01", "sgd 0.3"]}
# All layers at that rate, and no penalty on the output layer.
ONE_RATE = {"encoder_rate_factor": 1.0, "alpha": 0.0}
# Rows to a step of fine-tuning.
BATCH_SIZE = 100

LAMBDAS = [0.1, 0.3, 1.0, 3.0]
DECAYS = [1e-4, 3e-4, 1e-3, 3e-3]
DEVIATIONS = [0.2, 0.3, 0.4, 0.5]
FRACTIONS = [0.25, 0.4, 0.5, 0.6]

GRIDS = {
    "AE": PRE_TRAINING,
    "AE+wd": {"weight_decay": DECAYS, **PRE_TRAINING},
    "DAE-g": {"corruption_level": DEVIATIONS, **PRE_TRAINING},
    "DAE-b": {"corruption_level": FRACTIONS, **PRE_TRAINING},
    "RBM": {"learning_rate": [0.03, 0.1], "batch_size": [20]},
    "CAE": {"jacobian_penalty": LAMBDAS, **PRE_TRAINING},
}
GRIDS |= {
    "SAE-3": GRIDS["AE"],
    "RBM-3": GRIDS["RBM"],
    "DAE-b-3": GRIDS["DAE-b"],
    "CAE-1": GRIDS["CAE"],
    "CAE-2": GRIDS["CAE"],
}
# With few labels: the encoder, on all rows, its fine-tuning, and the tangents.
CAE_H = {
    "jacobian_penalty": [0.3, 1.0, 3.0, 10.0],
    "hessian_penalty": [0.0, 0.03, 0.1, 0.3],
    **PRE_TRAINING,
}
FEW_LABELS_TUNING = {"tuning": ["adam 0.01", "sgd 0.1", "sgd 0.3"]}
TANGENTS = {
    "tangent_penalty": [0.3, 1.0, 3.0, 10.0, 30.0],
    "n_tangents": [5, 10, 15, 25],
}
FEW_LABELS = {
    "NN": FEW_LABELS_TUNING,
    "CAE": {**CAE_H, **FEW_LABELS_TUNING},
    "MTC": {**CAE_H, **FEW_LABELS_TUNING, **TANGENTS},
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
        rbm = {**setting, "n_iter": n_epochs}
        return stack(partial(BernoulliRBM, n_components, **rbm), n_layers, seed)
    # No epoch is saved: a stall ends no training.
    epochs = {"max_iter": n_epochs, "n_iter_no_change": n_epochs}
    ours = {**PROTOCOL, **setting, **epochs}
    ours |= training_parameters(ours.pop("training"))
    if name.startswith("CAE-"):
        sizes = (n_components,) * int(name[-1])
        return StackedCAE(sizes, random_state=seed, **ours)
    if kind.startswith("DAE"):
        ours["corruption"] = {"DAE-g": "gaussian", "DAE-b": "masking"}[kind]
    return stack(partial(CLASSES[kind], n_components, **ours), n_layers, seed)


def stack(make, n_layers, seed):
    """Return one encoder, or a pipeline of several, each with a seed of its own."""
    layers = [make(random_state=seed + 1000 * k) for k in range(n_layers)]
    return layers[0] if n_layers == 1 else make_pipeline(*layers)


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


def grid_of(name):
    """Return the values that are searched for a model, by the line's name."""
    return SVM_RBF if name == "SVM_rbf" else {**GRIDS[name], **FINE_TUNING}


def n_settings(name):
    """Count the settings of a model's grid."""
    return size(grid_of(name))


def size(grid):
    """Count the settings of a grid."""
    return math.prod(len(values) for values in grid.values())


def is_on_grid(setting, grid):
    """Tell whether a setting has a grid's lines, each with one of its values."""
    return setting.keys() == grid.keys() and all(
        value in grid[line] for line, value in setting.items()
    )


def draw_settings(name, n_trials):
    """Draw different settings of a model from its grid."""
    return draw(name, grid_of(name), n_trials)


def draw(name, grid, n_trials):
    """Draw different settings from a grid, evenly from each line.

    Each line's values come in one random order after another, so that all of them are
    tried as often, give or take one. More trials begin with the same ones. The name
    decides the orders.
    """
    drawn, n_in_all = [], size(grid)
    if n_trials > n_in_all:
        raise ValueError(f"{name} has only {n_in_all} settings to try.")
    model = zlib.crc32(name.encode())
    lines = {
        line: shuffled(values, np.random.RandomState([model, number]))
        for number, (line, values) in enumerate(grid.items())
    }
    while len(drawn) < n_trials:
        setting = {line: next(values) for line, values in lines.items()}
        if setting not in drawn:
            drawn.append(setting)
    return drawn


def shuffled(values, random):
    """Go through the values in one random order after another, for ever."""
    while True:
        yield from (values[k] for k in random.permutation(len(values)))
