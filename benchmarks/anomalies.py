"""How well rows that training never saw the like of are told from those it did.

Models are fitted on normal rows alone, and judged by the area under the ROC curve of
their scores for other normal rows and for anomalies. What has a parameter, λ or the
number of principal components, gets it from some kinds of anomalies, and is reported on
other kinds and another split of the normal rows:

- digits: one class of digits is missing in training. Chosen on 0 to 4, reported on 5
  to 9.
- windows: generated windows of a signal like an electrocardiogram. Chosen on missing P
  waves and inverted T waves, reported on wide QRS complexes and raised ST segments.
- table: measurements of tumours, benign ones are normal. There is one kind of anomaly,
  so that a half of the malignant ones chooses, and the other is reported.

    python benchmarks/anomalies.py
    python benchmarks/anomalies.py --names table --splits 1
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skcae import ContractiveAutoencoder

REPORT = Path(__file__).parent / "results" / "anomalies" / "anomalies.md"
PENALTIES = (0.03, 0.1, 0.3, 1, 3)
COMPONENTS = (2, 5, 10, 20, 0.9, 0.95, 0.99)


# ---- the sets ---------------------------------------------------------------------


def beats(n, rng, kind="normal"):
    """Generate windows of one beat each, 140 samples of a signal of height 1."""
    t = np.linspace(-0.5, 0.5, 140)
    rate = rng.normal(1, 0.08, (n, 1))
    shift = rng.normal(0, 0.012, (n, 1))

    def wave(centre, width, height, spread=0.2):
        heights = height * rng.normal(1, spread, (n, 1))
        return heights * np.exp(
            -0.5 * ((t - shift - rate * centre) / width / rate) ** 2
        )

    parts = {
        "P": wave(-0.2, 0.025, 0.15),
        "Q": wave(-0.03, 0.01, -0.12),
        "R": wave(0, 0.022 if kind == "wide QRS" else 0.012, 1, 0.1),
        "S": wave(0.03, 0.012, -0.25),
        "T": wave(0.25, 0.05, 0.3) * (-0.3 if kind == "inverted T" else 1),
        "ST": wave(0.13, 0.06, 0.12) * (kind == "raised ST"),
    }
    if kind == "no P wave":
        del parts["P"]
    phase = rng.uniform(0.3, 1, (n, 1)) * t + rng.uniform(size=(n, 1))
    baseline = 0.05 * rng.normal(size=(n, 1)) * np.sin(2 * np.pi * phase)
    return sum(parts.values()) + baseline + rng.normal(0, 0.03, (n, len(t)))


def windows(kind, seed):
    """Give normal windows to train and to test, and windows of a kind."""
    rng = np.random.default_rng([seed, 1])
    X, normal, anomalies = beats(500, rng), beats(400, rng), beats(400, rng, kind)
    mean, scale = X.mean(0), X.std(0).mean()
    return tuple((part - mean) / scale for part in (X, normal, anomalies))


def digits(novel, seed):
    """Give nine classes of digits to train and to test, and the tenth."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    train, test = train_test_split(X[y != novel], test_size=0.3, random_state=seed)
    return train, test, X[y == novel]


def table(half, seed):
    """Give benign tumours to train and to test, and a half of the malignant ones."""
    X, y = load_breast_cancer(return_X_y=True)
    train, test = train_test_split(X[y == 1], test_size=0.3, random_state=seed)
    halves = train_test_split(X[y == 0], test_size=0.5, random_state=0)
    scaler = StandardScaler().fit(train)
    return tuple(scaler.transform(part) for part in (train, test, halves[half]))


# By name: the data, the anomalies that parameters are chosen on, and the others.
SETS = {
    "digits": (digits, range(5), range(5, 10)),
    "windows": (windows, ["no P wave", "inverted T"], ["wide QRS", "raised ST"]),
    "table": (table, [0], [1]),
}


# ---- the models -------------------------------------------------------------------


class PrincipalComponents(PCA):
    """Principal components whose score is minus the squared error, as ours is."""

    def score_samples(self, X):
        """Return minus the squared distance of each row from the components."""
        return -((X - self.inverse_transform(self.transform(X))) ** 2).sum(1)


def contractive(penalty, seed):
    """Make a contractive autoencoder."""
    return ContractiveAutoencoder(
        64,
        jacobian_penalty=penalty,
        bias_spread=0,
        batch_size=100,
        max_iter=40,
        tol=1e-3,
        random_state=seed,
    )


def components(number, seed):
    """Make principal components: so many, or so much of the variance."""
    return PrincipalComponents(number, svd_solver="full")


def forest(_, seed):
    """Make an isolation forest."""
    return IsolationForest(random_state=seed)


MODELS = {
    "contractive": (contractive, PENALTIES),
    "λ = 0": (contractive, (0,)),
    "PCA": (components, COMPONENTS),
    "IsolationForest": (forest, (None,)),
}


def area(model, train, normal, anomalies):
    """Return the area under the ROC curve; a high score is to say normal."""
    model.fit(train)
    scores = np.r_[model.score_samples(normal), model.score_samples(anomalies)]
    is_normal = np.repeat([True, False], [len(normal), len(anomalies)])
    return roc_auc_score(is_normal, scores)


def mean_area(make, data, kinds, seeds):
    """Return the mean over kinds of anomalies and splits."""
    return np.mean([area(make(seed), *data(k, seed)) for k in kinds for seed in seeds])


def measure(name, n_splits):
    """Return for each model the parameter, its area, and the areas of all others."""
    data, kinds_to_choose, kinds = SETS[name]
    rows = {}
    for model, (make, values) in MODELS.items():
        makers = {value: partial(make, value) for value in values}
        # The split that chooses is not one of those that are reported.
        chosen = values[0]
        if len(values) > 1:
            before = {
                v: mean_area(makers[v], data, kinds_to_choose, [99]) for v in values
            }
            chosen = max(before, key=before.get)
        found = {v: mean_area(makers[v], data, kinds, range(n_splits)) for v in values}
        rows[model] = chosen, found
        print(
            name, model, chosen, {v: round(a, 3) for v, a in found.items()}, flush=True
        )
    return rows


def report(results, n_splits):
    """Write the table, and the areas for all values."""
    head = ["set", *MODELS]
    lines = [
        "# Anomalies",
        "",
        "Area under the ROC curve on kinds of anomalies and splits of the normal rows "
        f"that chose nothing, the mean of {n_splits} splits, by "
        "`python benchmarks/anomalies.py`. In brackets the λ, or the number of "
        "components or share of the variance, that other kinds chose.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for name, rows in results.items():
        cells = [
            f"{found[chosen]:.3f}" + (f" ({chosen})" if len(found) > 1 else "")
            for chosen, found in rows.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for title, model in {"λ": "contractive", "components": "PCA"}.items():
        values = MODELS[model][1]
        lines += [
            "",
            f"The same for every value of {title}:",
            "",
            "| set | " + " | ".join(map(str, values)) + " |",
            "|---" * (len(values) + 1) + "|",
        ]
        for name, rows in results.items():
            cells = [f"{rows[model][1][value]:.3f}" for value in values]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    """Measure, and write the report if all sets were measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--splits", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = {name: measure(name, args.splits) for name in args.names}
    text = report(results, args.splits)
    print(text)
    if args.names == list(SETS):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
