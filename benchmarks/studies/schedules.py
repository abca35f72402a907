"""Schedules of λ: constant, warmed up, annealed down, and whether one always helps.

python -m benchmarks.studies.schedules --mnist FILE --cifar FILE
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.studies.study import (
    Study,
    change,
    chosen,
    drawn_differences,
    less,
    less_base,
    level,
    measured,
    table,
    table_of_sets,
    values,
)
from skcae import ContractiveAutoencoder

WIDTH, EPOCHS, STAGES = 128, 50, 10
RATE = 0.02  # what "auto" is for up to 1,000 columns
PENALTIES = (0.001, 0.01, 0.1, 1.0)
# λ of each stage of a fit, as a part of the λ that it is about.
SCHEDULES = {
    "constant": np.ones(STAGES),
    "warmed up": np.minimum(1, 2 * np.arange(1, STAGES + 1) / STAGES),
    "annealed down": np.geomspace(10, 1, STAGES),
    "annealed away": np.linspace(1, 0, STAGES),
}


def trials(small):
    """List all schedules."""
    return [{"schedule": name} for name in SCHEDULES]


@dataclass
class InStages:
    """A contractive autoencoder with a λ of its own in each stage of its fit."""

    penalty: float
    schedule: str
    seed: int

    def fit(self, X):
        """Fit each stage from where the one before ended, at a rate that falls."""
        cae = ContractiveAutoencoder(
            WIDTH,
            max_iter=EPOCHS // STAGES,
            learning_rate_schedule="constant",
            tol=0.0,
            warm_start=True,
            random_state=self.seed,
        )
        for k, part in enumerate(SCHEDULES[self.schedule]):
            cae.set_params(
                jacobian_penalty=part * self.penalty,
                learning_rate=RATE * (1 - k / STAGES),
            ).fit(X)
        return cae


def run(data, seed, trial):
    """Measure one schedule, with the λ that training rows choose for it."""
    of = partial(InStages, schedule=trial["schedule"], seed=seed)
    penalty = chosen(of, PENALTIES, data, seed)
    return {"lambda": penalty, **measured(of(penalty), data)}


def report(rows):
    """Say how the schedules differ."""
    names = ("error", "norm", "reconstruction")
    errors = {name: values(rows, "error", schedule=name) for name in SCHEDULES}
    lines = []
    for schedule, error in errors.items():
        found = [level(values(rows, name, schedule=schedule)) for name in names]
        more = change(less(error, errors["constant"]), len(SCHEDULES) - 1)
        lines.append([schedule, *found, "" if schedule == "constant" else more])
    header = ["λ", "test error, %", "‖J‖", "loss", "error less the constant's"]
    sets = table_of_sets(errors)
    label = "test error less that of a constant λ, points; a dot is a seed"
    figure = drawn_differences(less_base(errors, "constant"), label)
    return f"{table(header, lines)}\n\nTest error, %:\n\n{sets}", figure


STUDY = Study(
    name="schedules",
    question="Does a schedule of λ help everywhere?",
    measure=(
        f"Test error of a ridge classifier on the codes of {WIDTH} units, λ chosen on "
        "training rows for each schedule, with the same epochs and rates. An answer is "
        "a difference from a constant λ whose interval over sets leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
