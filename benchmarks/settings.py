"""Which settings suit which kind of data: the guide's table, measured.

Six small sets, one of each kind. On each the codes of a contractive autoencoder go
into a ridge classifier that chooses its penalty by leave-one-out; so do the columns
themselves, principal components and a Nystroem approximation. Half of the rows train
and half test, in several splits. λ is a share of λ_max, twice the largest eigenvalue of
the covariance over the activation's slope at 0 (half of that for cross-entropy). In a
second table one setting at a time is another. Nothing is chosen by the test rows: each
choice has a column.

    python benchmarks/settings.py
    python benchmarks/settings.py --names images few-rows --splits 2
"""

import argparse
import inspect
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.utils.discovery import all_estimators, all_functions

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.anomalies import beats
from skcae import ContractiveAutoencoder

REPORT = Path(__file__).parent / "results" / "settings" / "settings.md"
SHARES = (0, 0.001, 0.01, 0.1, 1)
SLOPES = {"sigmoid": 1 / 4, "tanh": 1}


# ---- the sets ---------------------------------------------------------------------


def images():
    """Give 800 digits, 0 to 16."""
    X, y = load_digits(return_X_y=True)
    return X[:800], y[:800]


def table():
    """Give measurements of tumours, in their units."""
    return load_breast_cancer(return_X_y=True)


def few_rows():
    """Give 178 wines."""
    return load_wine(return_X_y=True)


def frame():
    """Generate a frame of numbers and names, some missing, and what follows of them."""
    rng = np.random.default_rng(0)
    n = 800
    group = rng.integers(4, size=n)
    latent = rng.normal(size=(n, 3)) + np.eye(4, 3)[group]
    numbers = np.exp(latent @ rng.normal(size=(3, 6)) + rng.normal(0, 0.5, (n, 6)))
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    X = pd.DataFrame(numbers).add_prefix("number_")
    X["place"] = np.array(list("abcd"))[np.where(rng.random(n) < 0.7, group, 0)]
    X["colour"] = rng.choice(["red", "green", "blue", "black"], n)
    X["size"] = np.array(["S", "M", "L"])[np.digitize(latent[:, 0], [-0.5, 1])]
    X.loc[rng.random(n) < 0.05, "size"] = None
    y = (latent[:, 1] * latent[:, 2] + 0.5 * (group == 2) > 0.3).astype(int)
    return X, y


def text():
    """Give scikit-learn's docstrings, and the module of each."""
    found = [
        (thing.__module__.split(".")[1], inspect.getdoc(thing).split("Examples\n")[0])
        for _, thing in [*all_estimators(), *all_functions()]
        if thing.__doc__
    ]
    sizes = Counter(module for module, _ in found)
    kept = [(module, doc) for module, doc in found if sizes[module] > 15]
    modules, docs = zip(*kept, strict=True)
    return np.array(docs, object), np.array(modules)


def windows():
    """Generate windows of a signal of five kinds, as in the anomalies' benchmark."""
    rng = np.random.default_rng(0)
    kinds = ["normal", "no P wave", "wide QRS", "inverted T", "raised ST"]
    X = np.concatenate([beats(150, rng, kind) for kind in kinds])
    return X, np.repeat(kinds, 150)


def columns_of_a_frame():
    """Make numbers of all columns of the frame, standardised and one-hot."""
    is_number = [f"number_{k}" for k in range(6)]
    numbers = make_pipeline(
        SimpleImputer(), FunctionTransformer(np.log), StandardScaler()
    )
    names = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (numbers, is_number), (names, ["place", "colour", "size"])
    )


def tfidf():
    """Make rows of length 1 of texts."""
    return TfidfVectorizer(
        min_df=2, max_features=500, sublinear_tf=True, token_pattern=r"[A-Za-z]{3,}"
    )


class OneScale(FunctionTransformer):
    """Divide all columns by one number: their mean standard deviation."""

    def fit(self, X, y=None):
        """Centre each column, and measure the scale."""
        self.mean_, self.scale_ = X.mean(0), X.std(0).mean()
        return super().fit(X)

    def transform(self, X):
        """Centre and divide."""
        return (X - self.mean_) / self.scale_


# By name: the data, what comes before the encoder, the settings, and others for one of
# them at a time.
BASE = {
    "n_components": 128,
    "bias_spread": 0,
    "batch_size": 20,
    "max_iter": 40,
    "tol": 1e-4,
}
SETS = {
    "images": (images, MinMaxScaler, {"loss": "cross_entropy"}),
    "table": (table, StandardScaler, {}),
    "frame": (frame, columns_of_a_frame, {}),
    "text": (text, tfidf, {"activation": "tanh"}),
    "windows": (windows, OneScale, {}),
    "few-rows": (few_rows, StandardScaler, {}),
}
OTHER_SCALERS = {
    "images": {"StandardScaler": StandardScaler},
    "table": {"MinMaxScaler": MinMaxScaler, "no scaler": FunctionTransformer},
    "frame": {},
    "text": {},
    "windows": {"StandardScaler": StandardScaler, "no scaler": FunctionTransformer},
    "few-rows": {"MinMaxScaler": MinMaxScaler, "no scaler": FunctionTransformer},
}
OTHERS = {
    "32 units": {"n_components": 32},
    "batch of 100": {"batch_size": 100},
    "sigmoid": {"activation": "sigmoid"},
    "tanh": {"activation": "tanh"},
    "cross-entropy": {"loss": "cross_entropy"},
    "squared error": {"loss": "squared_error"},
}


# ---- one set ----------------------------------------------------------------------


def encoder(share, X, settings, seed):
    """Make a contractive autoencoder whose λ is a share of λ_max for X."""
    settings = {"activation": "sigmoid", "loss": "squared_error", **BASE, **settings}
    centred = dense(X) - dense(X).mean(0)
    largest = np.linalg.norm(centred, 2) ** 2 / len(centred)
    times = 2 if settings["loss"] == "squared_error" else 1
    penalty = share * times * largest / SLOPES[settings["activation"]]
    return ContractiveAutoencoder(
        jacobian_penalty=penalty, random_state=seed, **settings
    )


def error(features, X, X_test, y, y_test):
    """Return the test error of a ridge on features, in %."""
    ridge = RidgeClassifierCV(np.logspace(-4, 4, 17))
    if features is not None:
        X, X_test = features.fit(X).transform(X), features.transform(X_test)
    return 100 * (1 - ridge.fit(X, y).score(X_test, y_test))


def others(name):
    """Give what may stand in the place of a setting: a scaler, and parameters."""
    _, scaler, settings = SETS[name]
    for what, other in OTHER_SCALERS[name].items():
        # Cross-entropy needs data in [0, 1].
        yield what, other, {**settings, "loss": "squared_error"}
    for what, other in OTHERS.items():
        now = {"activation": "sigmoid", "loss": "squared_error", **BASE, **settings}
        if all(now[key] == value for key, value in other.items()):
            continue
        if "cross_entropy" in other.values() and scaler is not MinMaxScaler:
            continue
        yield what, scaler, {**settings, **other}


def measure(name, n_splits):
    """Return the shape, the λ of the first split, and the errors of each column."""
    data, scaler, settings = SETS[name]
    X, y = data()
    errors, penalties = {}, {}
    for seed in range(n_splits):
        raw, raw_test, *labels = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=seed
        )

        def note(what, features, scaler=scaler, rows=(raw, raw_test), labels=labels):
            scaled = scaler().fit(rows[0])
            Z, Z_test = scaled.transform(rows[0]), scaled.transform(rows[1])
            made = features(Z)
            errors.setdefault(what, []).append(error(made, Z, Z_test, *labels))
            return Z, made

        Z, _ = note("columns", lambda Z: None)
        note("PCA", components)
        note("Nystroem", nystroem)
        for share in SHARES:
            _, made = note(share, lambda Z, s=share, r=seed: encoder(s, Z, settings, r))
            penalties.setdefault(share, made.jacobian_penalty)
        for what, other, changed in others(name):
            note(
                what,
                lambda Z, c=changed, r=seed: encoder(0.01, Z, c, r),
                scaler=other,
            )
    return Z.shape, penalties, {what: np.array(e) for what, e in errors.items()}


def components(Z):
    """Make principal components of 95 % of the variance, of sparse rows 100."""
    if hasattr(Z, "toarray"):
        return TruncatedSVD(100, random_state=0)
    return PCA(0.95, svd_solver="full")


def nystroem(Z):
    """Approximate a Gaussian kernel whose width is that of the data."""
    gamma = 1 / (2 * dense(Z).var(0).sum())
    return Nystroem(n_components=min(128, Z.shape[0]), gamma=gamma, random_state=0)


def dense(Z):
    """Return an array."""
    return Z.toarray() if hasattr(Z, "toarray") else Z


# ---- the report -------------------------------------------------------------------


def report(results, n_splits):
    """Write both tables."""
    head = ["set", "rows × columns", "columns", "PCA", "Nystroem", "λ = 0"]
    head += [f"{share} λ_max (λ)" for share in SHARES[1:]]
    lines = [
        "# Settings by kind of data",
        "",
        f"Test error of a ridge classifier in %, the mean of {n_splits} splits in "
        f"halves, by `python benchmarks/settings.py`. {BASE['n_components']} units, "
        f"batches of {BASE['batch_size']}, {BASE['max_iter']} epochs; as many points "
        "for Nystroem.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for name, (shape, penalties, errors) in results.items():
        cells = [name, f"{shape[0]} × {shape[1]}"]
        cells += [f"{errors[w].mean():.1f}" for w in ("columns", "PCA", "Nystroem", 0)]
        cells += [f"{errors[s].mean():.1f} ({penalties[s]:.2g})" for s in SHARES[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "At 0.01 λ_max, one setting is another: the error less that of the table above,"
        " in points, with its standard error over the splits.",
        "",
    ]
    whats = [
        what
        for what in [*dict.fromkeys(w for n in SETS for w in OTHER_SCALERS[n]), *OTHERS]
        if any(what in errors for *_, errors in results.values())
    ]
    lines += ["| set | " + " | ".join(whats) + " |", "|---" * (len(whats) + 1) + "|"]
    for name, (*_, errors) in results.items():
        cells = [
            difference(errors[what] - errors[0.01]) if what in errors else ""
            for what in whats
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def difference(values):
    """Write a mean with its standard error."""
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():+.1f} ± {spread:.1f}"


def main():
    """Measure, and write the report if all sets were measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--splits", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = {}
    for name in args.names:
        results[name] = measure(name, args.splits)
        print(report({name: results[name]}, args.splits), flush=True)
    if args.names == list(SETS):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(report(results, args.splits), encoding="utf-8")


if __name__ == "__main__":
    main()
