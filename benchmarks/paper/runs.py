"""One run of one model: pre-train, fine-tune, measure."""

import subprocess
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from benchmarks.paper.models import SVM, encoder, encoder_parameters, tuning_parameters
from benchmarks.paper.protocol import CONFIRMING, PROTOCOL
from skcae import FineTunedClassifier
from skcae.exceptions import DeadModelWarning
from skcae.inspection import jacobian_norm, saturation

# The norms of deep encoders are measured on so many validation rows: each takes a
# product of matrices.
DEEP_ROWS = 100
FAILURE = {"valid_error": 1.0, "best_epoch": 1}


def find_commit():
    """Name the commit that is checked out."""
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return out.stdout.strip() or "unknown"


# What runs is what was imported, whatever is checked out later.
COMMIT = find_commit()


def use_one_thread():
    """Leave the other cores to other runs."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def timed(function, *arguments, **more):
    """Return what a function measures, with the seconds of a core that it took."""
    use_one_thread()
    started = time.process_time()
    measured = attempted(function, *arguments, **more)
    seconds = time.process_time() - started
    return {**measured, "seconds": round(seconds, 1), "commit": COMMIT}


def attempted(function, *arguments, **more):
    """Return what a function measures, or that its training diverged."""
    try:
        with warnings.catch_warnings():
            # The epochs are part of what is tried, and so are rates that are too high.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", DeadModelWarning)
            return function(*arguments, **more)
    except ValueError as error:
        if "diverged" not in str(error):
            raise
        return {**FAILURE, "failure": str(error)}


# ---- on validation rows ------------------------------------------------------------


def trial(cell, setting, n_epochs, seed, noise=0.0):
    """Train on the training rows, and measure on the validation rows."""
    images = cell.images
    if cell.model == SVM:
        svm = SVC(**setting, cache_size=500).fit(images.X_train, images.y_train)
        return {"valid_error": 1 - svm.score(images.X_valid, images.y_valid)}
    model = encoder_of(cell, setting, n_epochs, seed)
    # What is run again with several noises starts at the same encoder.
    fit = remembered(cell.folder) if seed in CONFIRMING else fitted
    model = fit(model, images.X_train)
    train = images.X_train, images.y_train
    return validated(cell, setting, model, seed, *train, corruption_level=noise)


def validated(cell, setting, model, seed, X, y, **changes):
    """Fine-tune an encoder, and measure both on the validation rows."""
    images = cell.images
    parameters = {**tuning_parameters(setting), **changes}
    parameters["max_iter"] = cell.budget.n_tuning
    held_out = {"X_val": images.X_valid, "y_val": images.y_valid}
    network = fine_tuned(model, parameters, seed, X, y, **held_out)
    errors = network.validation_error_curve_
    return {
        "valid_error": float(errors.min()),
        # The last of several epochs with the lowest error, as it is kept.
        "best_epoch": len(errors) - int(errors[::-1].argmin()),
        "last_valid_error": float(errors[-1]),
        "training_loss": float(network.loss_curve_[-1]),
        **diagnostics(model, images.X_valid),
    }


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


# ---- on test rows ------------------------------------------------------------------


def tested(cell, setting, n_epochs, seed, noise):
    """Train on training and validation rows, and predict the test rows.

    `n_epochs` are those of pre-training and of fine-tuning, all of which are run.
    """
    X, y = rows_of_final_runs(cell.images)
    if cell.model == SVM:
        network = SVC(**setting, cache_size=500).fit(X, y)
    else:
        # With noise and without it, fine-tuning starts at the same encoder.
        model = encoder_of(cell, setting, n_epochs[0], seed)
        model = remembered(cell.folder)(model, X)
        parameters = {**tuning_parameters(setting), "corruption_level": noise}
        parameters["max_iter"] = n_epochs[1]
        network = fine_tuned(model, parameters, seed, X, y)
    return {"predicted": network.predict(cell.images.X_test)}


def rows_of_final_runs(images):
    """Return training and validation rows together, with their labels."""
    X = np.concatenate([images.X_train, images.X_valid])
    return X, np.concatenate([images.y_train, images.y_valid])


# ---- training ----------------------------------------------------------------------


def encoder_of(cell, setting, n_epochs, seed):
    """Build the encoder of a cell."""
    n_components = cell.budget.n_components
    return encoder(
        cell.model, encoder_parameters(setting), n_components, n_epochs, seed
    )


def fitted(model, X):
    """Fit an encoder, on one thread and for the epochs it is given."""
    use_one_thread()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def remembered(folder):
    """Return `fitted`, which fits what is kept in a folder only once."""
    return joblib.Memory(folder / "models" / str(PROTOCOL), verbose=0).cache(fitted)


def fine_tuned(model, parameters, seed, X, y, **held_out):
    """Fine-tune an encoder, to the best epoch if there are held-out rows."""
    network = FineTunedClassifier(
        FrozenEstimator(model),
        **parameters,
        early_stopping=bool(held_out),
        random_state=seed + 500,
    )
    return network.fit(X, y, **held_out)
