"""The search: the same number of trials for each model, and more epochs for the best.

Successive halving on the validation error after fine-tuning. Each rung runs the best
half of the one before with twice the epochs, up to the full number. More epochs are not
always better, so that their number is part of the choice: the best trial of all rungs
is trained again with new seeds, and only these runs read the test rows.
"""

from dataclasses import replace
from typing import NamedTuple

from models import BATCH_SIZE, draw_settings


class Choice(NamedTuple):
    """What the search decides for a model."""

    setting: dict
    n_epochs: tuple[int, int]


def rungs(n_trials, n_epochs):
    """Return (number of trials, epochs) of each rung, from the first."""
    counts = [n_trials]
    while counts[-1] > 2:
        counts.append((counts[-1] + 1) // 2)
    return [
        (count, tuple(max(1, n >> (len(counts) - 1 - k)) for n in n_epochs))
        for k, count in enumerate(counts)
    ]


def epochs(model, n_epochs):
    """Return the epochs of a model; a support vector machine has none."""
    return (0, 0) if model == "SVM_rbf" else n_epochs


def epochs_of_as_many_steps(n_rows, n_rows_before, n_epochs):
    """Return the epochs in which a number of rows takes the steps of another number."""
    steps = n_epochs * -(-n_rows_before // BATCH_SIZE)
    return -(-steps // -(-n_rows // BATCH_SIZE))


def search(results, task, models, n_trials, n_jobs):
    """Search for each model, all of one rung side by side; return what is best.

    `task` says all that the models have in common. Of equal trials the one with fewer
    epochs is the better.
    """
    alive = {model: draw_settings(model, n_trials) for model in models}
    trials = {model: [] for model in models}
    for count, n_epochs in rungs(n_trials, task.n_epochs):
        tasks = [
            replace(
                task, model=model, setting=setting, n_epochs=epochs(model, n_epochs)
            )
            for model in models
            for setting in alive[model][:count]
        ]
        records = results.run(tasks, n_jobs)
        for model in models:
            mine = [record for record in records if record["model"] == model]
            mine.sort(key=valid_error)
            alive[model] = [record["setting"] for record in mine]
            trials[model] += mine
    return {model: choice(min(trials[model], key=valid_error)) for model in models}


def valid_error(record):
    """Return what decides between trials."""
    return record["valid_error"]


def choice(record):
    """Return what a trial had that is to be run again."""
    return Choice(record["setting"], tuple(record["n_epochs"]))


def finals(results, task, best, seeds, n_jobs):
    """Train each model as was chosen for it, once for each seed, and test it."""
    return results.run(final_tasks(task, best, seeds), n_jobs)


def final_tasks(task, best, seeds):
    """Return the task of each model as was chosen for it, for each seed."""
    return [
        replace(
            task,
            model=model,
            setting=chosen.setting,
            n_epochs=chosen.n_epochs,
            seed=seed,
            stage="final",
        )
        for model, chosen in best.items()
        for seed in seeds
    ]
