import numpy as np
import pytest
import torch

from skcae._core.data.rows import Rows
from skcae._core.training.loop import Training
from skcae._core.training.schedules import (
    StoppingRule,
)

CPU = torch.device("cpu")


class Still:
    """A learner of twelve rows that learns nothing and notes the rate of each step."""

    n_multiplications = 1

    def __init__(self, values):
        self.parameters = {"weights": torch.zeros(1, dtype=torch.float64)}
        self.rows = Rows(np.ones((12, 1)), dtype=np.dtype(float), device=CPU)
        self.values = iter(values)
        self.rates = []

    def take_step(self, index, rate, totals):
        self.rates.append(rate)

    def held_out(self):
        return next(self.values)


def annealed(values):
    """A training of three steps an epoch that ends two epochs after it stalls."""
    learner = Still(values)
    return Training(
        learner,
        batch_size=4,
        rate=lambda step: 1000.0 + step,
        stopping=StoppingRule(tol=0.0, n_iter_no_change=2, cools_down=True),
        shuffle=True,
        generator=torch.Generator(),
    )


@pytest.mark.parametrize("taken_up_after", [None, 3, 4, 5])
def test_the_rate_falls_to_zero_from_the_end_of_the_epoch_that_stalls(taken_up_after):
    """After epoch 4 of three steps each, and over six steps."""
    values = [9.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    training, rates = annealed(values), []
    while not training.should_end():
        training.run_epoch()
        if len(training.loss_curve) == taken_up_after:
            rates, progress = training.learner.rates, training.progress()
            training = annealed(values[taken_up_after:])
            training.go_on_from(progress)
    falling = [(1000.0 + step) * (1 - (step - 12) / 6) for step in range(12, 18)]
    expected = [*(1000.0 + step for step in range(12)), *falling]
    assert [*rates, *training.learner.rates] == pytest.approx(expected)


def test_a_training_that_is_taken_up_leaves_the_record_as_it_is():
    earlier = annealed([9.0])
    earlier.run_epoch()
    progress = earlier.progress()
    training = annealed([8.0])
    training.go_on_from(progress)
    training.parameters["weights"].fill_(5.0)
    training.run_epoch()
    assert training.kept["weights"] == 5.0
    assert progress["kept"]["weights"] == 0.0
    assert progress["means"].tolist() == [[0.0, 0.0]]
    assert progress["validation_curve"] == [9.0]
