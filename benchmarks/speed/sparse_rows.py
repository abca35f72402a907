"""What training on sparse rows costs, against dense steps and a truncated SVD.

python benchmarks/speed/sparse_rows.py
"""

import argparse
import ast
import importlib.util
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from measure import in_turn, table, write
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import scale
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae._core.data.rows import Rows
from skcae._core.steps.factored import FactoredLearner
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.training.solvers import Sgd

N_DOCUMENTS, N_UNITS, BATCH = 4500, 64, 90
# The entries of a row, as TF-IDF of a page has them.
N_ENTRIES = 100
PACKAGES = ("sklearn", "scipy", "numpy", "matplotlib")


def encoder(**how):
    """Make the autoencoder of sparse rows whose lengths are 1."""
    parameters = {
        "activation": "tanh",
        "bias_spread": 0,
        "jacobian_penalty": 0.0003,
        "solver": "sgd",
        "momentum": 0,
        "learning_rate": 0.4,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return ContractiveAutoencoder(N_UNITS, **{**parameters, **how})


def drawn_rows(n, d):
    """Draw rows of length 1, in which few columns are frequent, as words are."""
    generator = np.random.default_rng(0)
    column = (d ** generator.random((n, N_ENTRIES))).astype(int) - 1
    X = sparse.csr_array(
        (
            generator.random(n * N_ENTRIES),
            (np.arange(n).repeat(N_ENTRIES), column.ravel()),
        ),
        shape=(n, d),
    )
    X.sum_duplicates()
    X.data /= np.sqrt(X.power(2).sum(1)).repeat(np.diff(X.indptr))
    return X


def steps(d):
    """Return a step on sparse rows, and the same on dense ones."""
    X, objective = drawn_rows(BATCH, d), encoder()._objective()

    def step(kind):
        generator = torch.Generator().manual_seed(0)
        W = 0.01 * torch.randn(N_UNITS, d, generator=generator, dtype=torch.float64)
        parameters = {
            "components": W,
            "intercept_hidden": W.new_zeros(N_UNITS),
            "intercept_visible": W.new_zeros(d),
        }
        rows = Rows(X, dtype=X.dtype, device=W.device)
        learner = kind(objective, parameters, Sgd(parameters), rows, batch_size=BATCH)
        index, totals = np.arange(BATCH), W.new_zeros(2)
        return lambda: learner.take_step(index, 0.1, totals)

    return {"sparse": step(FactoredLearner), "dense": step(ReconstructionLearner)}


def rise_of_memory(d):
    """Return by how many MB a fit raises the most that its process has needed."""
    command = [sys.executable, __file__, "--rise-of", str(d)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def measured_rise(d):
    """Do it, in a process of its own."""
    X = drawn_rows(N_DOCUMENTS, d)
    # What is loaded at the first fit is not its own.
    encoder(max_iter=1).fit(drawn_rows(100, 1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoder(max_iter=2).fit(X)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def docstrings():
    """Return docstrings of installed packages, and the package of each.

    That is text which whoever runs this has already.
    """
    found = {}
    for package in PACKAGES:
        root = Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(root.rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                    text = ast.get_docstring(node) or ""
                    if len(text) >= 200:
                        found.setdefault(text.partition("Examples\n")[0], package)
    texts = [*found]
    order = np.random.default_rng(0).permutation(len(texts))[:N_DOCUMENTS]
    return [texts[i] for i in order], [found[texts[i]] for i in order]


def error(codes, y):
    """Return the error of a linear SVM in %, at the better of two strengths."""
    codes = scale(codes, with_std=False) / codes.std(0).mean()
    scores = [cross_val_score(LinearSVC(C=C), codes, y, cv=3).mean() for C in (0.1, 1)]
    return 100 * (1 - max(scores))


def main():
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-iter", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--rise-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if args.rise_of:
        print(measured_rise(args.rise_of))
        return
    times = in_turn(steps(75_000), rounds=args.rounds, clock=time.process_time)
    rise = rise_of_memory(75_000)
    texts, y = docstrings()
    X = TfidfVectorizer(
        max_features=20_000,
        sublinear_tf=True,
        token_pattern=r"[A-Za-z]{3,}",
        ngram_range=(1, 2),
    ).fit_transform(texts)
    models = {
        "TruncatedSVD": TruncatedSVD(N_UNITS, random_state=0),
        "skcae": encoder(max_iter=args.max_iter, batch_size=args.batch_size),
    }
    codes, seconds = {}, {}
    for name, model in models.items():
        start = time.process_time()
        codes[name] = model.fit(X).transform(X)
        seconds[name] = time.process_time() - start
    errors = {name: error(found, y) for name, found in codes.items()}
    ratio = times["sparse"] / times["dense"]
    cost = seconds["skcae"] / seconds["TruncatedSVD"]
    ours, theirs = errors["skcae"], errors["TruncatedSVD"]
    rows = [
        ("step of 90 × 75,000 → 64, sparse / dense", "≤ 0.1", f"{ratio:.3f}"),
        (
            "rise of peak memory by a fit of 4,500 × 75,000",
            "≤ 150 MB",
            f"{rise:.0f} MB",
        ),
        ("processor time / TruncatedSVD(64), see below", "≤ 10", f"{cost:.1f}"),
        ("error of a linear SVM there", f"≤ {theirs:.1f} %", f"{ours:.1f} %"),
    ]
    text = (
        f"The last two are of {X.shape[0]:,} docstrings of {', '.join(PACKAGES)} with "
        f"{X.shape[1]:,} columns of TF-IDF: fit and transform, on one thread in "
        f"float64, in {args.max_iter} epochs of batches of {args.batch_size}. The SVM "
        "tells the packages apart, by three-fold cross-validation. "
        "TruncatedSVD's error is the bar."
    )
    write(
        "sparse",
        "Sparse rows",
        f"{table(['what', 'bar', 'measured'], rows)}\n\n{text}",
        " ".join(["python benchmarks/speed/sparse_rows.py", *sys.argv[1:]]),
    )


if __name__ == "__main__":
    main()
