"""What is compared, all of the same width, and the two classifiers that judge it."""

import time
from functools import partial

import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.model_selection import jacobian_penalty_max

WIDTH = 256
# λ as shares of λ_max, of which labels choose.
SHARES = (0, 0.0001, 0.001, 0.01, 0.1)


# ---- features ---------------------------------------------------------------------


def raw(X, y, seed):
    """Take the columns as they are."""


def pca(X, y, seed):
    """Take as many principal components as there are."""
    return PCA(min(WIDTH, *X.shape), random_state=seed)


def nystroem(X, y, seed):
    """Take Nystroem as it is: an RBF kernel whose γ is 1 / n_features."""
    return Nystroem(n_components=min(WIDTH, len(X)), random_state=seed)


def nystroem_scaled(X, y, seed):
    """Take Nystroem with the γ that SVC calls "scale"."""
    gamma = 1 / (X.shape[1] * X.var())
    return Nystroem(gamma=gamma, n_components=min(WIDTH, len(X)), random_state=seed)


def rbf_sampler(X, y, seed):
    """Take random Fourier features of the same kernel."""
    return RBFSampler(gamma="scale", n_components=WIDTH, random_state=seed)


def rbm(X, y, seed):
    """Take a Boltzmann machine, as it is, of columns in [0, 1]."""
    machine = BernoulliRBM(WIDTH, random_state=seed)
    return make_pipeline(MinMaxScaler(clip=True), machine)


def autoencoder(X, y, seed, of_kind=Autoencoder):
    """Take an autoencoder of ours at its defaults."""
    return of_kind(WIDTH, random_state=seed)


def chosen_by_labels(X, y, seed):
    """Choose λ by a ridge classifier on a fifth of the training rows."""
    top = jacobian_penalty_max(X)
    inner, held, y_inner, y_held = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )

    def with_penalty(share):
        return ContractiveAutoencoder(
            WIDTH, jacobian_penalty=share * top, random_state=seed
        )

    def error(share):
        cae = with_penalty(share).fit(inner)
        return ridge_error(cae.transform(inner), cae.transform(held), y_inner, y_held)

    return with_penalty(min(SHARES, key=error))


FEATURES = {
    "raw": raw,
    "PCA": pca,
    "Nystroem": nystroem,
    "Nystroem, scale": nystroem_scaled,
    "RBFSampler": rbf_sampler,
    "RBM": rbm,
    "AE": autoencoder,
    "DAE": partial(autoencoder, of_kind=DenoisingAutoencoder),
    "CAE": partial(autoencoder, of_kind=ContractiveAutoencoder),
    "CAE, λ by labels": chosen_by_labels,
}


def with_settings(X, y, seed, share=None, **settings):
    """Take a contractive autoencoder of these settings, λ perhaps a share of λ_max."""
    if share is not None:
        settings["jacobian_penalty"] = share * jacobian_penalty_max(X)
    return ContractiveAutoencoder(
        **{"n_components": WIDTH, "random_state": seed, **settings}
    )


def before(X, y, seed, **others):
    """Take the settings that were the defaults before this benchmark."""
    batch_size = 100 if len(X) >= 64 else len(X)
    old = {"bias_spread": 0, "batch_size": batch_size, "max_iter": 200}
    return with_settings(X, y, seed, **old | others)


# What was tried before the defaults were set: they, and one thing at a time of others.
TRIALS = {
    "raw": raw,
    "Nystroem": nystroem,
    "Nystroem, scale": nystroem_scaled,
    "before": before,
    "before, λ = 0": partial(before, jacobian_penalty=0),
    "before, spread 3": partial(before, bias_spread=3),
    "now": with_settings,
    **{
        name: partial(with_settings, **settings)
        for name, settings in {
            "λ = 0": {"jacobian_penalty": 0},
            "λ = 0.03": {"jacobian_penalty": 0.03},
            "λ = 0.3": {"jacobian_penalty": 0.3},
            "λ = 0.001 λ_max": {"share": 0.001},
            "λ = 0.01 λ_max": {"share": 0.01},
            "λ = 0.1 λ_max": {"share": 0.1},
            "spread 0": {"bias_spread": 0},
            "spread 1.5": {"bias_spread": 1.5},
            "spread 5": {"bias_spread": 5},
            "batches of 100": {"batch_size": 100},
            "25 epochs": {"max_iter": 25},
            "100 epochs": {"max_iter": 100},
            "rate 0.05": {"learning_rate": 0.05},
            "rate 0.01": {"learning_rate": 0.01},
            "64 units": {"n_components": 64},
            "512 units": {"n_components": 512},
            "tanh": {"activation": "tanh"},
            "softplus": {"activation": "softplus"},
            "relu": {"activation": "relu"},
            "untied": {"tied_weights": False},
        }.items()
    },
}


# ---- judges -----------------------------------------------------------------------


def ridge_error(X, X_test, y, y_test):
    """Return the test error in % of a ridge that chooses its penalty by itself."""
    ridge = RidgeClassifierCV(np.logspace(-4, 4, 17))
    return 100 * (1 - ridge.fit(X, y).score(X_test, y_test))


def svm_error(X, X_test, y, y_test):
    """Return the test error in % of a linear SVM whose C is chosen by three folds."""
    mean, scale = X.mean(0), X.var(0).sum()
    # The features, centred and of total variance 1, by their Gram matrix: once for all.
    K, K_test = ((A - mean) @ (X - mean).T / scale for A in (X, X_test))
    svm = GridSearchCV(
        SVC(kernel="precomputed", max_iter=20_000), {"C": [1, 10, 100, 1000]}, cv=3
    )
    return 100 * (1 - svm.fit(K, y).score(K_test, y_test))


def judged(features, X, X_test, y, y_test):
    """Fit features; return both errors, the fit's processor seconds, and its epochs."""
    start = time.process_time()
    if features is not None:
        features.fit(X)
    seconds = time.process_time() - start
    if features is not None:
        X, X_test = features.transform(X), features.transform(X_test)
    return {
        "ridge": round(ridge_error(X, X_test, y, y_test), 3),
        "svm": round(svm_error(X, X_test, y, y_test), 3),
        "fit_seconds": round(seconds, 2),
        "epochs": len(getattr(features, "loss_curve_", ())),
    }
