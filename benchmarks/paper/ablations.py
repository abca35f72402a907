"""What was never tried, one thing at a time, on validation rows.

    python -m benchmarks.paper.ablations --local-file mnist.npz --hours 2

The base is the contractive autoencoder as table1.py has chosen it. Each variation
changes one thing of it and is run with two seeds; test rows are not read.
"""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.paper import command, report, runs, search
from benchmarks.paper.cells import text_of
from benchmarks.paper.models import encoder_parameters
from benchmarks.paper.table1 import DATA

SEEDS = (0, 1)


@dataclass(frozen=True)
class Variation:
    """One thing that is other than in the base.

    Parameters
    ----------
    setting : dict
        Lines of the setting, see `protocol`.
    n_epochs : int or None
        Of pre-training.
    tuning : dict
        Parameters of the network.
    penalties : tuple of float
        λ of the parts of pre-training, as multiples of the base's.
    part : float
        Of the training rows.
    """

    setting: dict = field(default_factory=dict)
    n_epochs: int | None = None
    tuning: dict = field(default_factory=dict)
    penalties: tuple[float, ...] = (1.0,)
    part: float = 1.0


def noise(level, kind="gaussian"):
    """Put noise on the rows while fine-tuning."""
    return Variation(tuning={"corruption": kind, "corruption_level": level})


def by_descent(rate, schedule):
    """Fine-tune by plain descent in batches of 20; the usual rate is 0.2."""
    setting = {"tuning": "sgd", "tuning_batch_size": 20, "tuning_rate": rate / 0.2}
    return Variation({**setting, "tuning_schedule": schedule})


DESCENT = {"training": "sgd", "rate": 1.0, "batch_size": 20}
VARIATIONS = {
    "as chosen": Variation(),
    "noise of 0.1 while fine-tuning": noise(0.1),
    "noise of 0.2": noise(0.2),
    "noise of 0.3": noise(0.3),
    "a quarter of the pixels masked while fine-tuning": noise(0.25, "masking"),
    "pre-trained by descent in batches of 20, 1/t": Variation(
        {**DESCENT, "schedule": "inverse"}
    ),
    "fine-tuned by descent in batches of 20, 0.1, 1/t": by_descent(0.1, "inverse"),
    "fine-tuned by descent in batches of 20, 0.3, 1/t": by_descent(0.3, "inverse"),
    "fine-tuned at a constant rate": Variation({"tuning_schedule": "constant"}),
    "fine-tuned at a rate that falls as 1/t": Variation({"tuning_schedule": "inverse"}),
    "weight decay in fine-tuning, α = 5": Variation(tuning={"alpha": 5.0}),
    "weight decay in fine-tuning, α = 50": Variation(tuning={"alpha": 50.0}),
    "the encoder's rate a third": Variation(tuning={"encoder_rate_factor": 0.3}),
    "the encoder's rate a tenth": Variation(tuning={"encoder_rate_factor": 0.1}),
    "300 epochs of pre-training": Variation(n_epochs=300),
    "λ falls from ten times": Variation(penalties=(10.0, 3.0, 1.0)),
    "λ rises from 0": Variation(penalties=(0.0, 0.3, 1.0)),
    "four fifths of the training rows": Variation(part=0.8),
}


def measure(cell, choice, variation, seed):
    """Run a variation, and measure it on the validation rows."""
    images = cell.images
    n_rows = int(variation.part * len(images.y_train))
    X, y = images.X_train[:n_rows], images.y_train[:n_rows]
    setting = {**choice.setting, **variation.setting}
    n_epochs = variation.n_epochs or choice.n_epochs[0]
    model = pre_trained(cell, setting, n_epochs, variation.penalties, seed, X)
    return runs.validated(cell, setting, model, seed, X, y, **variation.tuning)


def pre_trained(cell, setting, n_epochs, penalties, seed, X):
    """Fit the encoder, λ after λ."""
    model = runs.encoder_of(cell, setting, n_epochs, seed)
    fit = runs.remembered(cell.folder)
    if penalties == (1.0,):
        return fit(model, X)
    strength = encoder_parameters(setting)["jacobian_penalty"]
    for times in penalties:
        model.set_params(
            jacobian_penalty=times * strength,
            max_iter=max(1, n_epochs // len(penalties)),
            warm_start=True,
        )
        model = fit(model, X)
    return model


def run_all(cell):
    """Run the variations of what was chosen, and report those that there are."""
    choice = search.search(cell)
    try:
        for seed in SEEDS:
            for name in VARIATIONS:
                run(cell, choice, name, seed)
    finally:
        path = cell.folder / f"ablations_{cell.data}.md"
        path.write_text(written(cell, choice), encoding="utf-8")


def run(cell, choice, name, seed):
    """Run a variation, unless there is its row."""
    key = {**key_of(cell, choice, name), "seed": seed}
    if cell.variations.find(key):
        return
    cell.check_time()
    measured = runs.timed(measure, cell, choice, VARIATIONS[name], seed)
    cell.variations.add(search.row_of(key, measured))


def key_of(cell, choice, name):
    """Return what the runs of a variation have in common."""
    setting = {"setting": text_of(choice.setting), "n_epochs": choice.n_epochs[0]}
    return {**cell.key, "variation": name, **setting}


def of_seeds(records, which):
    """Return an error of each seed."""
    return {row["seed"]: float(row[which] or 1) for row in records}


def written(cell, choice):
    """Write the report."""
    rows, base = [], {}
    for name in VARIATIONS:
        records = cell.variations.all(key_of(cell, choice, name))
        if not records:
            continue
        best, last = (
            of_seeds(records, which) for which in ("valid_error", "last_valid_error")
        )
        base = base or best
        more = [error - base[seed] for seed, error in best.items()]
        rows.append(
            [
                name,
                report.percents(best.values()),
                f"{100 * np.mean(more):+.2f}",
                report.percents(last.values()),
                " ".join(r["best_epoch"] for r in records),
                report.shown(records[0]["norm_rms"], ".2f"),
                f"{sum(float(r['seconds']) for r in records) / 60:.0f}",
            ]
        )
    header = ["variation", "validation error, %", "less the base's", "last epoch, %"]
    header += ["best epoch", "root mean square of ‖J‖", "minutes"]
    setting = report.setting_text(choice.setting)
    return f"""# One thing at a time, on {cell.data}

The contractive autoencoder that Table 1's search chose ({setting},
{choice.n_epochs[0]} epochs), and what one change does to its error on
{len(cell.images.y_valid):,} validation rows: that of the best epoch of fine-tuning, of
each seed, and that of the last. "Less the base's" is the mean over the seeds. Minutes
are of a core; those of a shared encoder are with the first that took it.

{report.markdown(header, rows)}

`python -m benchmarks.paper.ablations`
"""


def main(arguments=None):
    """Run what is missing, and report what there is."""
    args = command.parsed(__doc__, DATA, arguments)
    cell = command.cell_of(args, args.data[0], "CAE")
    command.work_on([cell], run_all)


if __name__ == "__main__":
    main()
