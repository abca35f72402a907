import numpy as np
import pytest
import torch

from skcae._core.data.rows import Rows
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import mean_objective
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES


def test_mean_objective_is_the_weighted_mean(layer):
    X = np.random.default_rng(0).random((9, 4))
    weights = np.arange(9.0)
    objective = Objective(ACTIVATIONS["tanh"], LOSSES["squared_error"])
    per_sample = objective.per_sample(
        objective.coder(layer()), torch.from_numpy(X)
    ).numpy()
    rows = Rows(X, weights, dtype=X.dtype, device=torch.device("cpu"))
    mean = mean_objective(objective, layer(), rows)
    assert mean == pytest.approx(np.average(per_sample, weights=weights))
