"""The learning rate of each step, and the rule by which a training has stalled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The learning rate of each step, counted from 0.
Schedule = Callable[[int], float]


@dataclass(frozen=True)
class StoppingRule:
    """When a training has come to its end.

    Parameters
    ----------
    tol : float
        It has stalled when the last `n_iter_no_change` epochs lowered the objective by
        no more than this part of the first epoch's.
    n_iter_no_change : int or inf
        Number of epochs over which the objective must fall.
    min_epochs : int
        Number of epochs to run in any case.
    cools_down : bool
        Whether the rate falls to zero, over `n_iter_no_change` epochs, before a
        training that has stalled ends.
    """

    tol: float
    n_iter_no_change: float
    min_epochs: int = 0
    cools_down: bool = False

    def has_stalled(self, curve: Sequence[float]) -> bool:
        """Tell whether the last epochs lowered the objective by next to nothing.

        That is next to the objective of the first epoch, which stands for the scale of
        the data. Too short a curve has not stalled.
        """
        if len(curve) <= self.n_iter_no_change:
            return False
        n_recent = int(self.n_iter_no_change)
        before, recent = curve[:-n_recent], curve[-n_recent:]
        return min(before) - min(recent) <= self.tol * abs(curve[0])


def constant_rate(learning_rate: float) -> Schedule:
    """Keep the rate."""
    return lambda step: learning_rate


def linear_rate(learning_rate: float, n_steps: int) -> Schedule:
    """Raise the rate linearly over the first tenth of the steps, then lower it to 0.

    Without the rise Adam's first steps, each as long as the rate whatever the gradient,
    throw wide layers far off.
    """
    n_rising = max(1, n_steps // 10)

    def rate(step: int) -> float:
        rising = (step + 1) / n_rising
        falling = (n_steps - step) / (n_steps - n_rising + 1)
        return learning_rate * min(rising, falling)

    return rate


def inverse_rate(learning_rate: float, n_steps: int) -> Schedule:
    """Keep the rate over the first tenth of the steps, then lower it as 1 / t.

    It ends at a tenth (Bengio, "Practical recommendations for gradient-based training
    of deep architectures", 2012: equation 6).
    """
    n_constant = max(1, n_steps // 10)
    return lambda step: learning_rate * min(1.0, n_constant / (step + 1))


def falling_rate(rate: Schedule, step: int, n_steps: float) -> Schedule:
    """Let a rate fall to zero within n_steps from the given step."""
    return lambda at: rate(at) * max(0.0, 1.0 - (at - step) / n_steps)
