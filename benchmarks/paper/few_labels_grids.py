"""With few labels: the settings of encoder, fine-tuning and tangents, and a draw.

A setting is one value from each line of a grid.
"""

import math
import zlib
from itertools import product

import numpy as np

# The encoder, on all rows, its fine-tuning, and the tangents. A solver stands with its
# learning rate, and descent has no momentum. The encoder is what a search over
# penalties of 0.3 to 10 and 0 to 0.3 and both solvers found to serve best on the
# validation rows.
CAE_H = {"jacobian_penalty": 3.0, "hessian_penalty": 0.03, "training": "sgd 0.1"}
FEW_LABELS_TUNING = {
    "tuning": ["adam 0.01", "sgd 0.3", "sgd 1", "sgd 3"],
    "output": ["softmax", "sigmoid"],
}
# That of the first trials with the penalty.
TUNED = {"tuning": "sgd 0.3", "output": "sigmoid"}
# What is not to change along the tangents, and the strength of that. Linear outputs are
# larger than probabilities, and so are their changes. And how many tangents are at the
# rows with a label, or at how many that are drawn from all.
TANGENTS = {
    "tangents": ["prediction 1", "prediction 3", "linear 0.03", "linear 0.1"],
    "n_tangents": [5, 10],
    "n_tangent_rows": [None, 1000],
}
# What the best of them is then changed to, one line after another: the values beside
# its own.
FURTHER = {
    "n_tangent_rows": [None, 1000, 5000],
    "tuning": ["sgd 0.1", "sgd 0.3", "sgd 1"],
    "tangents": [
        *(f"linear {strength}" for strength in (0.01, 0.03, 0.1, 0.3)),
        *(f"prediction {strength}" for strength in (1, 3, 10)),
    ],
    "n_tangents": [5, 10, 20],
    "output": ["softmax", "sigmoid"],
}
MODELS = ["NN", "CAE", "MTC"]


def settings_of(n_trials):
    """Return by model what is tried; of MTC so many settings are drawn."""
    tunings = list(every(FEW_LABELS_TUNING))
    return {
        "NN": tunings,
        "CAE": [CAE_H | tuning for tuning in tunings],
        "MTC": [CAE_H | TUNED | setting for setting in draw("MTC", TANGENTS, n_trials)],
    }


def beside(line, setting):
    """Return the settings with the value before and the one after on a line."""
    values = FURTHER[line]
    k = values.index(setting[line])
    near = values[max(k - 1, 0) : k] + values[k + 1 : k + 2]
    return [setting | {line: value} for value in near]


def training_parameters(text):
    """Read the solver and rate of pre-training, such as "adam 0.01"."""
    solver = {**solver_parameters(text), "learning_rate_schedule": "linear"}
    return solver | ({"batch_size": 20} if solver["solver"] == "sgd" else {})


def tangent_parameters(setting):
    """Read the tangents' part of a setting, if it has one."""
    if "tangents" not in setting:
        return {}
    output, strength = setting["tangents"].split()
    return {
        "tangent_output": output,
        "tangent_penalty": float(strength),
        "n_tangents": setting["n_tangents"],
        "n_tangent_rows": setting["n_tangent_rows"],
    }


def solver_parameters(text):
    """Read a solver and its rate."""
    solver, rate = text.split()
    return {"solver": solver, "learning_rate": float(rate), "momentum": 0.0}


def size(grid):
    """Count the settings of a grid."""
    return math.prod(len(values) for values in grid.values())


def every(grid):
    """Go through all settings of a grid."""
    return (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))


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
