"""Time to a good code of MNIST: a straightforward training, ours, and other methods.

    python benchmarks/speed/quality.py --data-file mnist.npz

The straightforward one is 150 epochs of autograd and Adam, batches of 100, with a rate
that falls linearly from 1e-3, on the objective with λ = 0.3. Ours has the same
objective and the settings below. Each code goes into a linear SVM whose C is chosen on
a fifth of the training rows. All on one thread, in turn for each seed.
"""

import argparse
import time
import warnings
from dataclasses import dataclass

import numpy as np
import peers
import torch
from measure import table, write
from sklearn.datasets import fetch_openml
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neural_network import BernoulliRBM
from sklearn.svm import LinearSVC
from torch.nn import functional

from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian_norm

PENALTY = 0.3
N_COMPONENTS = 1000
C_GRID = [0.01, 0.1, 1.0, 10.0]
PEERS = ["MLPRegressor", "skorch", "pyautoencoder", "autoencoders-AE", "encdr"]
REPEATED = ["straightforward", "ours"]
OURS = {"learning_rate": 0.02, "batch_size": 100, "max_iter": 25}


@dataclass
class Images:
    """MNIST in [0, 1], flattened, float32."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load(path, n_train):
    """Load an npz file with x_train, y_train, x_test, y_test, or download MNIST."""
    if path:
        with np.load(path) as data:
            X, y = data["x_train"], data["y_train"]
            X_test, y_test = data["x_test"], data["y_test"]
    else:
        pixels, labels = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        X, X_test, y, y_test = *np.split(pixels, [60_000]), *np.split(labels, [60_000])
    X, X_test = (
        (part.reshape(len(part), -1) / 255).astype(np.float32)
        for part in (X[:n_train], X_test)
    )
    return Images(X, y[:n_train], X_test, y_test)


# ---- the contenders: each returns the codes of both sets, and its objective ------


def straightforward(images, seed, epochs=150, batch_size=100, rate=1e-3):
    """Train as one would at first: a graph, Adam, a small rate, many epochs."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.from_numpy(images.X)
    n, d = X.shape
    bound = (6 / (d + N_COMPONENTS)) ** 0.5
    W = torch.rand((N_COMPONENTS, d), generator=generator) * 2 * bound - bound
    b, c = torch.zeros(N_COMPONENTS), torch.zeros(d)
    parameters = [p.requires_grad_() for p in (W, b, c)]
    optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
    n_steps = epochs * -(-n // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1 - s / n_steps)
    for _ in range(epochs):
        for index in torch.randperm(n, generator=generator).split(batch_size):
            optimizer.zero_grad()
            graph_objective(X[index], W, b, c).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        codes = [
            torch.sigmoid(torch.from_numpy(part) @ W.T + b).numpy()
            for part in (images.X, images.X_test)
        ]
        return *codes, float(graph_objective(X, W, b, c))


def graph_objective(X, W, b, c):
    """Compute the mean objective with the formulas as they stand."""
    H = torch.sigmoid(X @ W.T + b)
    losses = functional.binary_cross_entropy_with_logits(H @ W + c, X, reduction="none")
    penalty = (H * (1 - H)).square() @ W.square().sum(1)
    return losses.sum(1).mean() + PENALTY * penalty.mean()


def ours(images, seed, **settings):
    """Fit a contractive autoencoder."""
    model = ContractiveAutoencoder(
        N_COMPONENTS,
        jacobian_penalty=PENALTY,
        loss="cross_entropy",
        bias_spread=0,
        random_state=seed,
        **settings,
    ).fit(images.X)
    norms = jacobian_norm(model, images.X).astype(np.float64)
    objective = -model.score(images.X) + PENALTY * np.mean(norms**2)
    return model.transform(images.X), model.transform(images.X_test), objective


def fitted_transformer(model):
    """Make a contender of one of scikit-learn's transformers."""

    def contender(images, seed):
        model.set_params(random_state=seed).fit(images.X)
        return model.transform(images.X), model.transform(images.X_test), None

    return contender


def peer(name):
    """Make a contender of a peer: Adam at 1e-3, batches of 100, 20 epochs."""

    def contender(images, seed):
        codes = peers.features(
            peers.CONTENDERS[name], images.X, images.X_test, epochs=20, seed=seed
        )
        return *codes, None

    return contender


CONTENDERS = {
    "straightforward": straightforward,
    "ours": lambda images, seed: ours(images, seed, **OURS, tol=0.0),
    "ours, defaults": lambda images, seed: ours(images, seed),
    "PCA, defaults": fitted_transformer(PCA()),
    "BernoulliRBM, defaults": fitted_transformer(BernoulliRBM(N_COMPONENTS)),
    "raw pixels": lambda images, seed: (images.X, images.X_test, None),
    **{name: peer(name) for name in PEERS},
}


# ---- measuring ------------------------------------------------------------------


def svm_error(codes, images, seed):
    """Choose C on a fifth of the training rows, and return the test error in %."""
    H, H_test, _ = codes
    search = GridSearchCV(
        LinearSVC(random_state=seed),
        {"C": C_GRID},
        cv=StratifiedShuffleSplit(1, test_size=0.2, random_state=seed),
    ).fit(H, images.y)
    return 100 * (1 - search.score(H_test, images.y_test))


def measure(images, seeds, names):
    """Fit each contender in turn, those that are compared closely for each seed."""
    runs = {name: [] for name in names}
    for seed in range(seeds):
        for name in names if seed == 0 else [n for n in names if n in REPEATED]:
            started = time.perf_counter()
            codes = CONTENDERS[name](images, seed)
            seconds = time.perf_counter() - started
            error = svm_error(codes, images, seed)
            runs[name].append((seconds, codes[2], error))
            print(name, seed, *runs[name][-1], flush=True)
    return runs


def report(runs):
    """Format times, objectives and errors."""
    base = runs.get("straightforward")
    lines = []
    for name, results in runs.items():
        seconds, objectives, errors = zip(*results, strict=True)
        part = "–"
        if base:
            # Seed by seed; those with one seed are compared on that one.
            ratios = [s / b[0] for s, b in zip(seconds, base, strict=False)]
            part = f"{np.mean(ratios):.3f}"
        objective = "–" if objectives[0] is None else f"{np.mean(objectives):.2f}"
        each = ", ".join(f"{e:.2f}" for e in errors)
        lines.append(
            [
                *(name, f"{np.mean(seconds):.1f}", part, objective),
                *(f"{np.mean(errors):.2f}", each),
            ]
        )
    header = ["", "fit and transform, s", "part of the straightforward", "objective"]
    return table([*header, "SVM error, %", "each seed"], lines)


def describe(n_train):
    """Say what was measured."""
    return (
        f"The first {n_train} images of MNIST, {N_COMPONENTS} units, cross-entropy, "
        f"λ = {PENALTY}; means over seeds. One thread. Ours: "
        + ", ".join(f"`{name}={value}`" for name, value in OURS.items())
        + ", other settings at their defaults. The peers: Adam at 1e-3, batches of "
        "100, 20 epochs of squared error."
    )


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", help="npz; without one MNIST is downloaded")
    parser.add_argument("--n-train", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    images = load(args.data_file, args.n_train)
    found = peers.installed([name for name in args.contenders if name in PEERS])
    peers.calm()
    names = [name for name in args.contenders if name in found or name not in PEERS]
    runs = measure(images, args.seeds, names)
    text = describe(args.n_train) + "\n\n" + report(runs)
    write("quality", "Time to a good code", text, "python benchmarks/speed/quality.py")


if __name__ == "__main__":
    main()
