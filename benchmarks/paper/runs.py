"""One run of one model, and the file that keeps what has been run."""

import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
import torch
from data import load
from models import ONE_RATE, PROTOCOL_VERSION, encoder, solver_parameters
from report import COMMIT
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from skcae import FineTunedClassifier
from skcae.inspection import jacobian_norm, saturation

# The norms of deep encoders are measured on so many validation rows: each takes a
# product of matrices.
DEEP_ROWS = 100
LINEAR_SVM_C = [0.01, 0.1, 1.0]
# The C of the linear SVM is chosen on machines that are trained on so many rows.
LINEAR_SVM_ROWS = 10_000


@dataclass(frozen=True)
class Task:
    """What a run is; two runs of the same task give the same numbers.

    Parameters
    ----------
    data, local_file, sizes, checksum
        The data set, see `data.load` and `data.checksum`.
    model, setting
        See `models`.
    n_components : int
        Hidden units of each layer.
    n_epochs : (int, int)
        Of pre-training, each layer, and of fine-tuning.
    seed : int
        For all that is random.
    stage : str
        "search": validation error only. "final": the test rows too, and a linear SVM
        on the codes.
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

    @property
    def described(self):
        """What tells this task from others, wherever the data's file is."""
        described = {**asdict(self), "protocol": PROTOCOL_VERSION}
        del described["local_file"]
        return described

    @property
    def key(self):
        """The same as a string."""
        return json.dumps(self.described, sort_keys=True)

    def measure(self, images):
        """Train and measure the model on the data."""
        measure = measure_svm if self.model == "SVM_rbf" else measure_network
        return measure(self, images)


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


def use_one_thread():
    """Leave the other cores to other runs, in joblib's workers and without them."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def run(task):
    """Train and measure; return a record for the results file."""
    use_one_thread()
    started = time.perf_counter()
    images = load(task.data, task.local_file, task.sizes)
    measured = attempted(task.measure, images)
    return {
        "key": task.key,
        **task.described,
        **measured,
        "seconds": time.perf_counter() - started,
    }


def attempted(function, *arguments):
    """Return what a function measures, or how its training diverged."""
    try:
        with warnings.catch_warnings():
            # The epochs are part of the task, and the linear SVM stops at a number of
            # steps, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function(*arguments)
    except ValueError as error:
        if "diverged" not in str(error):
            raise
        return {"valid_error": 1.0, "failure": str(error)}


def measure_network(task, images):
    """Pre-train, measure the encoder, fine-tune, and measure the network."""
    setting = dict(task.setting)
    tuning = solver_parameters(setting.pop("tuning"))
    n_pre_training, n_fine_tuning = task.n_epochs
    model = encoder(task.model, setting, task.n_components, n_pre_training, task.seed)
    started = time.perf_counter()
    model.fit(images.X_train)
    measured = {
        "pre_training_seconds": time.perf_counter() - started,
        **diagnostics(model, images.X_valid),
    }
    network = FineTunedClassifier(
        FrozenEstimator(model),
        **tuning,
        **ONE_RATE,
        max_iter=n_fine_tuning,
        n_iter_no_change=n_fine_tuning,
        tol=0.0,
        early_stopping=True,
        random_state=task.seed + 500,
    ).fit(images.X_train, images.y_train, X_val=images.X_valid, y_val=images.y_valid)
    errors = network.validation_error_curve_
    measured["valid_error"] = float(errors.min())
    measured["last_valid_error"] = float(errors[-1])
    # The last of several epochs with the lowest error, as it is kept.
    measured["best_epoch"] = len(errors) - int(errors[::-1].argmin())
    measured["training_loss"] = float(network.loss_curve_[-1])
    if task.stage == "final":
        measured["test_error"] = 1 - network.score(images.X_test, images.y_test)
        measured["svm"] = linear_svm(model, images, task.seed)
    return measured


def diagnostics(model, X):
    """Measure the encoder as the paper does: on validation rows, before fine-tuning."""
    deep = not hasattr(model, "components_")
    X = X[:DEEP_ROWS] if deep else X
    norms = jacobian_norm(model, X).astype(float)
    n_entries = X.shape[1] * model.transform(X[:1]).shape[1]
    return {
        "norm": float(norms.mean()),
        "norm_rms": float(np.sqrt((norms**2).mean())),
        "mean_square": float((norms**2).mean() / n_entries),
        "saturation": float(saturation(model, X).mean()),
    }


def linear_svm(model, images, seed):
    """Train a linear SVM on the codes, its C chosen on the validation rows."""
    H, H_valid = model.transform(images.X_train), model.transform(images.X_valid)

    def svm(C, n_rows):
        return LinearSVC(C=C, dual="auto", random_state=seed).fit(
            H[:n_rows], images.y_train[:n_rows]
        )

    scores = {
        C: svm(C, LINEAR_SVM_ROWS).score(H_valid, images.y_valid) for C in LINEAR_SVM_C
    }
    best = max(scores, key=scores.get)
    H_test = model.transform(images.X_test)
    return {"C": best, "test_error": 1 - svm(best, None).score(H_test, images.y_test)}


def measure_svm(task, images):
    """Train the SVM with a Gaussian kernel on raw pixels."""
    svm = SVC(**task.setting, cache_size=500).fit(images.X_train, images.y_train)
    measured = {"valid_error": 1 - svm.score(images.X_valid, images.y_valid)}
    if task.stage == "final":
        measured["test_error"] = 1 - svm.score(images.X_test, images.y_test)
    return measured
