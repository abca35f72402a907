"""Runs with few labels: an encoder of all rows, fine-tuned on some.

An encoder is fitted once and kept in a file, for all numbers of labels and all that is
tried in fine-tuning.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from benchmarks.paper.cells import name_of, text_of
from benchmarks.paper.data import load
from benchmarks.paper.few_labels_grids import (
    FEW_LABELS_TUNING,
    TANGENTS,
    solver_parameters,
    tangent_parameters,
    training_parameters,
)
from benchmarks.paper.models import NETWORK, encoder
from benchmarks.paper.runs import COMMIT, attempted, use_one_thread
from skcae import ContractiveAutoencoder, FineTunedClassifier

# To be raised when what a run does changes, so that its results are not taken for the
# same as those of before. In runs of version 2 the output layer's biases began at 0, in
# those of version 3 at the logarithms of the classes' shares; version 4 has steps of 50
# rows in place of 100, and tangents at rows without a label; up to it descent had a
# momentum of 0.9 in fine-tuning.
PROTOCOL_VERSION = 5
# The same of an encoder.
ENCODER_VERSION = 4
# Rows to a step of fine-tuning.
BATCH_SIZE = 50


@dataclass(frozen=True)
class FewLabelsTask:
    """What a run is; two runs of the same task give the same numbers.

    Parameters
    ----------
    data, local_file, sizes, checksum
        The data set, see `data.load` and `data.checksum`.
    model, setting
        See `few_labels_grids`.
    n_components : int
        Hidden units of each layer.
    n_epochs : (int, int)
        Of pre-training, each layer, and of fine-tuning.
    seed : int
        For all that is random.
    stage : str
        "search": validation error only. "final": the test rows too.
    n_labels : int
        How many rows of the training data have labels: their draw is the seed's, with
        each class at its share.
    encoders : str
        The folder of fitted encoders.
    """

    data: str
    local_file: str | None
    sizes: tuple[int, int, int] | None
    checksum: str
    model: str
    setting: dict
    n_components: int
    n_epochs: tuple[int, int]
    seed: int
    stage: str
    n_labels: int
    encoders: str

    @property
    def described(self):
        """What tells this task from others, wherever the files are."""
        described = {**asdict(self), "protocol": PROTOCOL_VERSION}
        del described["local_file"], described["encoders"]
        return described

    @property
    def key(self):
        """The same as a string."""
        return text_of(self.described)

    @property
    def encoder_setting(self):
        """The part of the setting that is the encoder's, empty for random weights."""
        of_tuning = {*FEW_LABELS_TUNING, *TANGENTS}
        return {k: value for k, value in self.setting.items() if k not in of_tuning}

    @property
    def encoder_file(self):
        """Where the encoder is kept, by all that it depends on."""
        same = [self.data, self.checksum, self.sizes, self.n_components, self.seed]
        own = [self.encoder_setting, self.n_epochs[0], ENCODER_VERSION]
        return Path(self.encoders) / f"{name_of(same + own)}.joblib"

    def labelled(self, y):
        """Draw the rows that have labels."""
        rows, _ = train_test_split(
            np.arange(len(y)),
            train_size=self.n_labels,
            stratify=y,
            random_state=self.seed,
        )
        return rows

    def measure(self, images):
        """Fine-tune the encoder, and measure the network."""
        rows, n_epochs = self.labelled(images.y_train), self.n_epochs[1]
        network = FineTunedClassifier(
            FrozenEstimator(pre_trained(self)),
            **solver_parameters(self.setting["tuning"]),
            output=self.setting["output"],
            **tangent_parameters(self.setting),
            **NETWORK,
            batch_size=BATCH_SIZE,
            max_iter=n_epochs,
            random_state=self.seed + 500,
        ).fit(
            images.X_train[rows],
            images.y_train[rows],
            X_unlabeled=np.delete(images.X_train, rows, 0),
        )
        measured = {
            "valid_error": 1 - network.score(images.X_valid, images.y_valid),
            "training_loss": float(network.loss_curve_[-1]),
        }
        if self.stage == "final":
            measured["test_error"] = 1 - network.score(images.X_test, images.y_test)
        return measured


def pre_trained(task):
    """Return the fitted encoder of a task, from its file if there is one.

    Raises
    ------
    ValueError
        If its training diverged.
    """
    known = task.encoder_file.exists()
    kept = joblib.load(task.encoder_file) if known else pre_train(task)
    if isinstance(kept, dict):
        raise ValueError(kept["failure"])
    return kept


def pre_train(task):
    """Fit the encoder of a task, and keep and return it, or how it diverged."""
    kept, path = attempted(fitted_encoder, task), task.encoder_file
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not there, whatever interrupts it.
    part = path.with_suffix(".part")
    joblib.dump(kept, part)
    part.replace(path)
    return kept


def fitted_encoder(task):
    """Fit the encoder of a task on all rows, or draw weights if it has no setting."""
    X, n_epochs = load(task.data, task.local_file, task.sizes).X_train, task.n_epochs[0]
    if task.encoder_setting:
        setting = dict(task.encoder_setting)
        setting |= training_parameters(setting.pop("training"))
        model = encoder("CAE", setting, task.n_components, n_epochs, task.seed)
        return model.fit(X)
    # One step that is too short to change a number.
    still = {"solver": "sgd", "momentum": 0.0, "learning_rate": 1e-30, "max_iter": 1}
    model = ContractiveAutoencoder(
        task.n_components, bias_spread=0, random_state=task.seed, **still
    )
    return model.fit(X[:2])


def fit_encoders(results, tasks, n_jobs):
    """Fit the encoders of the tasks that are still to be run, each of them once."""
    missing = {
        task.encoder_file: task
        for task in tasks
        if task.key not in results.by_key and not task.encoder_file.exists()
    }
    done = joblib.Parallel(n_jobs, return_as="generator_unordered")(
        joblib.delayed(fit_one)(task) for task in missing.values()
    )
    for number, text in enumerate(done, 1):
        print(f"[encoder {number}/{len(missing)}] {text}", flush=True)


def fit_one(task):
    """Fit and keep one encoder, and say what it took."""
    use_one_thread()
    started = time.process_time()
    kept = pre_train(task)
    seconds = f"{time.process_time() - started:.0f} s"
    took = kept["failure"] if isinstance(kept, dict) else seconds
    return f"{task.encoder_setting or 'random weights'}, seed {task.seed}: {took}"


def run_all(results, tasks, n_jobs):
    """Fit the encoders and run the tasks; return the records."""
    fit_encoders(results, tasks, n_jobs)
    return results.run(tasks, n_jobs)


# ---- the file of runs --------------------------------------------------------------


class Results:
    """A file of JSON lines, one for each finished run."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.by_key = {}
        kept = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # What a crash cut off in the middle of a line was not finished.
        whole, _, cut_off = kept.rpartition("\n")
        if cut_off:
            self.path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        for line in whole.splitlines():
            record = json.loads(line)
            self.by_key[record["key"]] = record

    def run(self, tasks, n_jobs):
        """Run what has not been run yet, and return the records of all tasks."""
        missing = [task for task in tasks if task.key not in self.by_key]
        done = joblib.Parallel(n_jobs, return_as="generator_unordered")(
            joblib.delayed(run)(task) for task in missing
        )
        for number, record in enumerate(done, 1):
            self.add(record)
            print(f"[{number}/{len(missing)}] {summary(record)}", flush=True)
        return [self.by_key[task.key] for task in tasks]

    def add(self, record):
        """Append a record at once, so that an interrupt loses none."""
        record = {**record, "commit": COMMIT}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True) + "\n")
        self.by_key[record["key"]] = record


def summary(record):
    """Say in one line what a run gave."""
    labels = f"{record['n_labels']} labels, " if "n_labels" in record else ""
    text = (
        f"{record['data']} {labels}{record['model']} {record['stage']} "
        f"{record['setting']} "
        f"{'+'.join(map(str, record['n_epochs']))} epochs, seed {record['seed']}: "
        f"validation error {100 * record['valid_error']:.2f} %"
    )
    if "test_error" in record:
        text += f", test error {100 * record['test_error']:.2f} %"
    return f"{text}, {record['seconds']:.0f} s"


def run(task):
    """Train and measure; return a record for the results file."""
    use_one_thread()
    started = time.process_time()
    images = load(task.data, task.local_file, task.sizes)
    measured = attempted(task.measure, images)
    return {
        "key": task.key,
        **task.described,
        **measured,
        "seconds": time.process_time() - started,
    }
