"""The search: the same number of trials for each model, and more epochs for the best.

Successive halving on the validation error after fine-tuning. Each rung runs the best
half of the one before with twice the epochs, up to the full number; the best of the
last rung is then trained with new seeds, and only these runs read the test rows.
"""

from dataclasses import replace

from models import draw_settings


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


def search(results, task, models, n_trials, n_jobs):
    """Search for each model, all of one rung side by side; return the best settings.

    `task` says all that the models have in common.
    """
    alive = {model: draw_settings(model, n_trials) for model in models}
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
            mine.sort(key=lambda record: record["valid_error"])
            alive[model] = [record["setting"] for record in mine]
    return {model: settings[0] for model, settings in alive.items()}


def finals(results, task, best, seeds, n_jobs):
    """Train each model at its best setting, once for each seed, and test it."""
    return results.run(final_tasks(task, best, seeds), n_jobs)


def final_tasks(task, best, seeds):
    """Return the task of each model at its best setting, for each seed."""
    return [
        replace(
            task,
            model=model,
            setting=setting,
            n_epochs=epochs(model, task.n_epochs),
            seed=seed,
            stage="final",
        )
        for model, setting in best.items()
        for seed in seeds
    ]
