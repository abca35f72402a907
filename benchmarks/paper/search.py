"""The search: trials of a cell that optuna draws, in rungs, and what is chosen.

Each rung runs the best trials of the one below with more epochs of pre-training
(successive halving), as long as more of them help. The best of all rungs are run again
as final runs are, and of these that with the lowest mean validation error is chosen.
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
    CONFIRMING,
    N_REGION,
    NOISE,
    ONE_LAYER,
    SPACES,
    STARTS,
    SVM_TRIALS,
    region,
    settling,
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
        Mean over the seeds that confirm it.
    noise : float
        On the rows while fine-tuning.
    """

    setting: dict
    n_epochs: tuple[int, int]
    valid_error: float
    noise: float = 0.0


def rungs(cell):
    """Return (trials, epochs) of each rung; a support vector machine has one."""
    is_svm = cell.model == SVM
    return ((SVM_TRIALS, 0),) if is_svm else cell.budget.rungs_of(cell.model)


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
        if int(best(rows_of(cell))[0]["n_epochs"]) < below:
            break
        for row in best(rows_of(cell, below))[:n_best]:
            run(cell, json.loads(row["setting"]), n_epochs)
        below = n_epochs
    return chosen(cell)


def drawn_by_optuna(cell, space, starts, rows):
    """Return the next setting, given the trials so far; the same in any process."""
    seed = zlib.crc32(f"{cell.data} {cell.model} {len(rows)}".encode())
    # The first half is drawn at random.
    n_startup_trials = min(10, rungs(cell)[0][0] // 2)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=n_startup_trials, multivariate=True, seed=seed
    )
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


def has_drawn_all(cell):
    """Tell whether the first rung of a cell is complete."""
    n_trials, n_epochs = rungs(cell)[0]
    return len(rows_of(cell, n_epochs)) >= n_trials


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
    """Run the best trials again, as final runs are, and choose one of them."""
    n_confirmed = 0 if cell.model == SVM else cell.budget.n_confirmed
    ranked = best(rows_of(cell))
    if not n_confirmed:
        return choice_of(cell, ranked[0])
    confirmed = [confirmed_of(cell, row) for row in ranked[:n_confirmed]]
    return min(confirmed, key=lambda choice: choice.valid_error)


def choice_of(cell, row):
    """Choose the setting and the epochs of a trial; all epochs of tuning are run."""
    setting, valid_error = json.loads(row["setting"]), float(row["valid_error"])
    if cell.model == SVM:
        return Choice(setting, (0, 0), valid_error)
    n_epochs = int(row["n_epochs"]), cell.budget.n_tuning
    return Choice(settling(setting), n_epochs, valid_error)


def confirmed_of(cell, row):
    """Return the choice that a trial is, with its error as final runs would have it."""
    choice = choice_of(cell, row)
    errors = [
        last_error(run(cell, choice.setting, choice.n_epochs[0], seed))
        for seed in CONFIRMING
    ]
    return choice._replace(valid_error=sum(errors) / len(errors))


def last_error(row):
    """Return the validation error after the last epoch, of what diverged the worst."""
    return float(row["last_valid_error"] or row["valid_error"])


def chosen_with_noise(cell, choice):
    """Choose the noise of fine-tuning for what was chosen without."""
    seed = CONFIRMING[0]
    tried = [
        run(cell, choice.setting, choice.n_epochs[0], seed, noise) for noise in NOISE
    ]
    row = min(tried, key=last_error)
    return choice._replace(valid_error=last_error(row), noise=float(row["noise"]))
