"""All labels of MNIST: the manifold tangent classifier, and what it adds.

    python -m benchmarks.paper.all_labels --quick
    python -m benchmarks.paper.all_labels --local-file mnist.npz --hours 3

Rifai and others (NIPS 2011) report 0.81 % of two layers of 2000 units and 15 tangents,
and 1.04 % of the same network without. The encoder and its fine-tuning have the setting
that Table 1's search chose for CAE. The penalty is chosen with one layer of 1000 units
on the validation rows; the final runs train on all rows. A run of those takes hours:
when the time is up, it ends after an epoch, and the same command goes on with the next.
"""

import time
from typing import NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from benchmarks.paper import command, finals, paired_tests, report, runs, search
from benchmarks.paper.cells import name_of, text_of
from benchmarks.paper.few_labels_grids import tangent_parameters
from benchmarks.paper.models import encoder, encoder_parameters, tuning_parameters
from benchmarks.paper.tables import with_interval
from skcae import FineTunedClassifier
from skcae.checkpoints import Checkpoint, resume

DATA = ["mnist", "digits"]
PUBLISHED = {"CAE": 1.04, "MTC": 0.81}
# What is not to change along the tangents, and how strongly.
PENALTIES = ["prediction 1", "prediction 10", "linear 0.01", "linear 0.1"]
NONE = "none"
N_EPOCHS = 15
SEEDS = {"search": 0, "final": 11}


class Size(NamedTuple):
    """How large the network is, and how many tangents there are at how many rows."""

    model: str
    n_units: int
    n_tangents: int
    n_tangent_rows: int


SMALL = Size("CAE-1", 1000, 10, 2000)
LARGE = Size("CAE-2", 2000, 15, 5000)
QUICK = {"n_units": 16, "n_tangents": 3, "n_tangent_rows": 20}


def main(arguments=None):
    """Run what is missing, and report what there is."""
    args = command.parsed(__doc__, DATA, arguments)
    cell = command.cell_of(args, args.data[0], "CAE")
    sizes = [size._replace(**QUICK) if args.quick else size for size in (SMALL, LARGE)]
    command.work_on([cell], lambda cell: run_and_report(cell, *sizes))


def run_and_report(cell, small, large):
    """Run what is missing, and report what there is, also when the time is up."""
    choice = search.search(cell)
    try:
        run_all(cell, choice, small, large)
    finally:
        text = written(cell, choice, small, large)
        path = cell.folder / f"all_labels_{cell.data}.md"
        path.write_text(text, encoding="utf-8")
        print(text)


def run_all(cell, choice, small, large):
    """Choose the penalty on the validation rows, and run what is tested."""
    tried = [NONE, *PENALTIES]
    rows = [run(cell, choice, small, penalty, "search") for penalty in tried]
    errors = [float(row["error"]) for row in rows[1:]]
    for penalty in (NONE, PENALTIES[int(np.argmin(errors))]):
        run(cell, choice, large, penalty, "final")


def run(cell, choice, size, penalty, stage):
    """Train a network, unless there is its row; return the row."""
    key = {**key_of(cell, choice, size, stage), "penalty": penalty}
    if not cell.all_labels.find(key):
        cell.check_time()
        unfinished = Unfinished(cell, key)
        measured = runs.timed(measure, cell, choice, size, penalty, stage, unfinished)
        measured["seconds"] += unfinished.earlier
        if stage == "final":
            finals.kept(cell, kept_as(line_of(penalty)), SEEDS[stage], measured)
        found = {name: measured[name] for name in ("seconds", "commit")}
        cell.all_labels.add({**key, "error": measured.get("error", 1.0), **found})
        unfinished.forget()
    return cell.all_labels.find(key)


def key_of(cell, choice, size, stage):
    """Return what all runs of a stage have in common."""
    key = {**cell.key, "stage": stage, "size": text_of(size._asdict())}
    key["seed"] = SEEDS[stage]
    setting = {"setting": text_of(choice.setting), "n_epochs": choice.n_epochs[0]}
    return {**key, **setting}


class Unfinished:
    """A callback that notes what a run has taken, and ends the call after an epoch.

    Beside it is the checkpoint from which the next call goes on.

    Parameters
    ----------
    cell : Cell
        Which has so much time.
    key : dict
        What the run is.
    """

    def __init__(self, cell, key):
        self.cell = cell
        self.checkpoint = cell.folder / ".cache" / f"{name_of(key)}.skops"
        self.seconds = self.checkpoint.with_suffix(".seconds")
        self.earlier = float(self.seconds.read_text()) if self.seconds.exists() else 0.0
        self.started = time.process_time()

    def setup(self, estimator, context):
        """Do nothing before a fit."""

    def teardown(self, estimator, context):
        """Do nothing after a fit."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator, context):
        """Note how long it took, and see whether there is time for another."""
        if context.task_name == "epoch":
            taken = self.earlier + time.process_time() - self.started
            self.seconds.write_text(str(taken))
            self.cell.check_time()

    def fitted(self, network, X, y):
        """Fit a network, or go on where the last call ended."""
        callbacks = Checkpoint(self.checkpoint), self
        if self.checkpoint.exists():
            return resume(self.checkpoint, X, y, callbacks=callbacks)
        return network.set_callbacks(*callbacks).fit(X, y)

    def forget(self):
        """Leave nothing of a run that has its row."""
        for path in (self.checkpoint, self.seconds):
            path.unlink(missing_ok=True)


def measure(cell, choice, size, penalty, stage, unfinished):
    """Return the error of a network, and what it predicts."""
    images = cell.images
    X, y, rows = images.X_train, images.y_train, "valid"
    if stage == "final":
        (X, y), rows = runs.rows_of_final_runs(images), "test"
    network = network_of(cell, choice, size, penalty, X, SEEDS[stage])
    network = unfinished.fitted(network, X, y)
    predicted = network.predict(images[f"X_{rows}"])
    error = float(np.mean(predicted != images[f"y_{rows}"]))
    return {"error": error, "predicted": predicted}


def network_of(cell, choice, size, penalty, X, seed):
    """Return a network that starts at an encoder, with the penalty if there is one."""
    parameters = encoder_parameters(choice.setting)
    n_epochs = choice.n_epochs[0]
    model = encoder(size.model, parameters, size.n_units, n_epochs, seed)
    model = runs.remembered(cell.folder)(model, X)
    tangents = {}
    if penalty != NONE:
        how = {"n_tangents": size.n_tangents, "n_tangent_rows": size.n_tangent_rows}
        tangents = tangent_parameters({"tangents": penalty, **how})
    return FineTunedClassifier(
        FrozenEstimator(model),
        **tuning_parameters(choice.setting),
        **tangents,
        output="sigmoid",
        max_iter=min(N_EPOCHS, cell.budget.n_tuning),
        random_state=seed + 500,
    )


# ---- what is kept, and the report --------------------------------------------------


def line_of(penalty):
    """Name the line of the table that has this penalty."""
    return "CAE" if penalty == NONE else "MTC"


def kept_as(line):
    """Name the line in the folder of predictions, beside Table 1's."""
    return f"all_labels_{line}"


def written(cell, choice, small, large):
    """Write the report."""
    tried = [
        [row["penalty"], f"{100 * float(row['error']):.2f}", minutes(row)]
        for row in cell.all_labels.all(key_of(cell, choice, small, "search"))
    ]
    tested, wrong = [], {}
    for row in cell.all_labels.all(key_of(cell, choice, large, "final")):
        line = line_of(row["penalty"])
        wrong[line] = finals.wrong(cell, kept_as(line), [row])
        error = with_interval(paired_tests.error(wrong[line]))
        tested.append([line, row["penalty"], PUBLISHED[line], error, minutes(row)])
    pair = "Not both have been run."
    if len(wrong) == 2:
        found = paired_tests.difference(wrong["CAE"], wrong["MTC"])
        pair = f"CAE − MTC: {with_interval(found, '+.2f')} points, p = "
        pair += f"{found.p_value:.4f} by bootstrap over the test images."
    head = ["model", "penalty", "paper: error, %", "ours, %", "minutes"]
    images = cell.images
    return f"""# All labels of {cell.data}

Two layers of {large.n_units} units, {large.n_tangents} tangents at
{large.n_tangent_rows:,} rows, trained on {len(images.y_train) + len(images.y_valid):,}
rows and tested on {len(images.y_test):,}; one seed, with the 95 % interval over the
test images. Minutes are of a core; those of the encoder are CAE's.

{report.markdown(head, tested)}

{pair}

## The penalty

One layer of {small.n_units} units, {small.n_tangents} tangents at
{small.n_tangent_rows:,} rows: error of {len(images.y_valid):,} validation rows after
the last epoch. The minutes of the first are with the encoder's, unless it was there.

{report.markdown(["penalty", "validation error, %", "minutes"], tried)}

`python -m benchmarks.paper.all_labels`
"""


def minutes(row):
    """Show how long a run took."""
    return f"{float(row['seconds']) / 60:.0f}"


if __name__ == "__main__":
    main()
