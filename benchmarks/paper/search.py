"""The search: trials of a cell that optuna draws, in rungs, and what is chosen.

Each rung runs the best trials of the one below with more epochs of pre-training
(successive halving). The best of all rungs are run with a second seed, and of these
that with the lowest mean validation error is chosen.
"""

import json
import warnings
import zlib
from typing import NamedTuple

import optuna

from benchmarks.paper import runs
from benchmarks.paper.cells import text_of
from benchmarks.paper.models import SVM
from benchmarks.paper.protocol import (
    N_REGION,
    NOISE,
    ONE_LAYER,
    SPACES,
    STARTS,
    SVM_TRIALS,
    region,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

COLUMNS = ["valid_error", "best_epoch", "last_valid_error", "training_loss"]
COLUMNS += ["norm", "norm_rms", "mean_square", "saturation"]
COLUMNS += ["failure", "seconds", "commit"]


class Choice(NamedTuple):
    """What the search decides for a cell.

    Parameters
    ----------
    setting : dict
        See `protocol`.
    n_epochs : (int, int)
        Of pre-training of each layer, and of fine-tuning.
    valid_error : float
        Mean over the seeds.
    noise : float
        On the rows while fine-tuning.
    """

    setting: dict
    n_epochs: tuple[int, int]
    valid_error: float
    noise: float = 0.0


def rungs(cell):
    """Return (trials, epochs) of each rung; a support vector machine has one."""
    return ((SVM_TRIALS, 0),) if cell.model == SVM else cell.budget.rungs


def search(cell, mnist=None):
    """Run the trials that are missing, and return what is chosen.

    `mnist` gives the cell on MNIST in whose region the search stays, if it is one of
    Table 2.
    """
    (n_trials, n_epochs), *above = rungs(cell)
    space, starts = space_of(cell, mnist)
    drawn = [json.loads(row["setting"]) for row in rows_of(cell, n_epochs)]
    while len(drawn) < n_trials:
        setting = drawn_by_optuna(cell, space, starts, rows_of(cell, n_epochs))
        run(cell, setting, n_epochs)
        drawn.append(setting)
    below = n_epochs
    for n_best, n_epochs in above:
        for row in best(rows_of(cell, below))[:n_best]:
            run(cell, json.loads(row["setting"]), n_epochs)
        below = n_epochs
    return chosen(cell)


def drawn_by_optuna(cell, space, starts, rows):
    """Return the next setting, given the trials so far; the same in any process."""
    seed = zlib.crc32(f"{cell.data} {cell.model} {len(rows)}".encode())
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for row in rows:
        study.add_trial(
            optuna.create_trial(
                params=json.loads(row["setting"]),
                distributions=space,
                value=float(row["valid_error"]),
            )
        )
    if len(rows) < len(starts):
        return starts[len(rows)]
    return study.ask(space).params


def space_of(cell, mnist):
    """Return what is drawn from, and the settings to start with."""
    kind = ONE_LAYER.get(cell.model, cell.model)
    space, starts = SPACES[kind], STARTS[kind]
    if mnist is None:
        return space, starts
    found = [json.loads(row["setting"]) for row in best(rows_of(mnist))]
    distinct = [s for k, s in enumerate(found) if s not in found[:k]][:N_REGION]
    return region(space, distinct), distinct[:1]


# ---- the trials' rows --------------------------------------------------------------


def run(cell, setting, n_epochs, seed=0, noise=0.0):
    """Run a trial, unless there is its row; return the row."""
    key = {**cell.key, "n_epochs": n_epochs, "seed": seed, "noise": noise}
    key["setting"] = text_of(setting)
    records = cell.trials
    if not records.find(key):
        cell.check_time()
        measured = runs.timed(runs.trial, cell, setting, n_epochs, seed, noise)
        records.add(row_of(key, measured))
    return records.find(key)


def row_of(key, measured):
    """Lay out a row, with nothing where nothing was measured."""
    return {**key, **{name: measured.get(name, "") for name in COLUMNS}}


def rows_of(cell, n_epochs=None, *, seed=0, noise=0.0):
    """Return the trials of a cell, of one rung or of all."""
    key = {**cell.key, "seed": seed, "noise": noise}
    if n_epochs is not None:
        key["n_epochs"] = n_epochs
    return cell.trials.all(key)


def best(rows):
    """Sort trials by their validation error; of equal ones that of fewer epochs."""
    return sorted(rows, key=lambda r: (float(r["valid_error"]), int(r["n_epochs"])))


# ---- what is chosen ----------------------------------------------------------------


def chosen(cell):
    """Run the best trials with a second seed, and choose one of them."""
    confirmed = []
    n_confirmed = 1 if cell.model == SVM else cell.budget.n_confirmed
    for row in best(rows_of(cell))[:n_confirmed]:
        setting, n_epochs = json.loads(row["setting"]), int(row["n_epochs"])
        both = [row]
        if n_confirmed > 1:
            both.append(run(cell, setting, n_epochs, seed=1))
        confirmed.append(
            Choice(setting, (n_epochs, best_epoch(both)), mean_error(both))
        )
    return min(confirmed, key=lambda choice: choice.valid_error)


def best_epoch(rows):
    """Return the epochs of fine-tuning, rounded from the mean of several seeds."""
    epochs = [int(row["best_epoch"] or 0) for row in rows]
    return round(sum(epochs) / len(epochs))


def mean_error(rows):
    """Return the mean validation error."""
    return sum(float(row["valid_error"]) for row in rows) / len(rows)


def chosen_with_noise(cell, choice):
    """Choose the noise of fine-tuning for what was chosen without."""
    tried = [
        run(cell, choice.setting, choice.n_epochs[0], noise=noise) for noise in NOISE
    ]
    row = best(tried)[0]
    n_epochs = choice.n_epochs[0], best_epoch([row])
    noise = float(row["noise"])
    return Choice(choice.setting, n_epochs, float(row["valid_error"]), noise)
