"""What training on sparse rows costs, against dense steps and a truncated SVD.

python benchmarks/speed/sparse_rows.py --search
python benchmarks/speed/sparse_rows.py
"""

import argparse
import ast
import importlib.util
import re
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae._core.data.rows import Rows
from skcae._core.steps.factored import FactoredLearner
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.steps.sampled import SampledLearner
from skcae._core.training.lazy import LazyAdam, by_columns
from skcae._core.training.solvers import Adam, Sgd

N_DOCUMENTS, N_UNITS, BATCH = 4500, 64, 90
# The entries of a row, as TF-IDF of a page has them.
N_ENTRIES = 100
PACKAGES = ("sklearn", "scipy", "numpy", "matplotlib")


# What autoencoders of rows whose lengths are 1 have in common, ...
COMMON = {
    "activation": "tanh",
    "bias_spread": 0,
    "n_iter_no_change": np.inf,
    "random_state": 0,
}
# ... and what each way to take steps has of its own.
WAYS = {
    "factored": {
        "jacobian_penalty": 0.0003,
        "solver": "sgd",
        "momentum": 0,
        "learning_rate": 0.4,
        "batch_size": BATCH,
        "max_iter": 50,
    },
    "sampled": {
        "jacobian_penalty": 0.001,
        "reconstruction_sampling": 0.05,
        "learning_rate": 0.0015,
        "learning_rate_schedule": "constant",
        "batch_size": 60,
        "max_iter": 5,
    },
}
# What is tried by --search, in the place of that.
TRIED = [
    ("sampled", {}),
    ("sampled", {"max_iter": 6}),
    ("sampled", {"jacobian_penalty": 0.0005, "learning_rate": 0.001, "max_iter": 6}),
    ("sampled", {"jacobian_penalty": 0.0015, "learning_rate": 0.001, "max_iter": 6}),
    *[
        ("sampled", {"batch_size": 30, "max_iter": 4, **how})
        for how in (
            {"jacobian_penalty": 0.0005, "learning_rate": 0.001},
            {"jacobian_penalty": 0.0015, "learning_rate": 0.001},
            {"jacobian_penalty": 0.003, "learning_rate": 0.001},
            {"jacobian_penalty": 0.0015, "learning_rate": 0.002},
            {
                "jacobian_penalty": 0.0015,
                "learning_rate": 0.002,
                "learning_rate_schedule": "linear",
            },
            {
                "jacobian_penalty": 0.0015,
                "learning_rate": 0.001,
                "reconstruction_sampling": 0.02,
            },
        )
    ],
]


def encoder(way, **how):
    """Make the autoencoder of sparse rows that takes such steps."""
    return ContractiveAutoencoder(N_UNITS, **{**COMMON, **WAYS[way], **how})


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
    """Return steps on sparse rows, and the same on dense ones."""
    X = drawn_rows(BATCH, d)
    rows = Rows(X, dtype=X.dtype, device=torch.device("cpu"))

    def step(kind, solver, objective, **how):
        generator = torch.Generator().manual_seed(0)
        W = 0.01 * torch.randn(N_UNITS, d, generator=generator, dtype=torch.float64)
        parameters = {
            "components": W,
            "intercept_hidden": W.new_zeros(N_UNITS),
            "intercept_visible": W.new_zeros(d),
        }
        if kind is SampledLearner:
            parameters = by_columns(parameters)
            how = {**how, "sampling": 0.05, "generator": generator}
        learner = kind(
            objective, parameters, solver(parameters), rows, batch_size=BATCH, **how
        )
        index, totals = np.arange(BATCH), W.new_zeros(2)
        return lambda: learner.take_step(index, 0.001, totals)

    squares = encoder("factored")._objective()
    bernoulli = encoder("sampled", loss="cross_entropy")._objective()
    return {
        "factored": step(FactoredLearner, Sgd, squares),
        "dense, descent": step(ReconstructionLearner, Sgd, squares),
        "sampled": step(SampledLearner, LazyAdam, bernoulli),
        "dense, Adam": step(ReconstructionLearner, Adam, bernoulli),
    }


def rise_of_memory(d, way):
    """Return by how many MB a fit raises the most that its process has needed."""
    command = [sys.executable, __file__, "--rise-of", str(d), "--way", way]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def measured_rise(d, way):
    """Do it, in a process of its own."""
    X = drawn_rows(N_DOCUMENTS, d)
    # What is loaded at the first fit is not its own.
    encoder(way, max_iter=1).fit(drawn_rows(100, 1000))
    before = peak_memory()
    encoder(way, max_iter=2).fit(X)
    return peak_memory() - before


def peak_memory():
    """Return the most MB that this process has held, on Linux."""
    # getrusage would count the process that started this one, too.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def docstrings():
    """Return docstrings of installed packages in a random order, and their packages.

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
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order], np.array([found[texts[i]] for i in order])


def data():
    """Return rows to fit on with their packages, and others to test on with theirs."""
    texts, y = docstrings()
    n = N_DOCUMENTS
    vectorizer = TfidfVectorizer(
        max_features=20_000,
        sublinear_tf=True,
        token_pattern=r"[A-Za-z]{3,}",
        ngram_range=(1, 2),
    )
    X = vectorizer.fit_transform(texts[:n])
    return X, y[:n], vectorizer.transform(texts[n:]), y[n:]


def svm_of(codes, C):
    """Make a linear SVM of such codes, whose size does not matter to it."""
    size = np.sqrt(codes.var(0).mean())
    scaled = FunctionTransformer(lambda H: (H - codes.mean(0)) / size)
    return make_pipeline(scaled, LinearSVC(C=C))


def searched(codes, y):
    """Return the smaller error in % of two SVMs, by cross-validation, and the SVM."""
    errors = {}
    for C in (0.1, 1):
        right = cross_val_score(svm_of(codes, C), codes, y, cv=3).mean()
        errors[100 * (1 - right)] = svm_of(codes, C)
    return min(errors), errors[min(errors)]


def measured(model, X):
    """Return codes of the rows, and the processor time that it took to learn them."""
    start = time.process_time()
    codes = model.fit(X).transform(X)
    return codes, time.process_time() - start


def search(X, y):
    """Print what settings cost and reach, by the rows to fit on alone."""
    for way, how in [("TruncatedSVD", {}), *TRIED]:
        is_ours = way in WAYS
        model = (
            encoder(way, **how) if is_ours else TruncatedSVD(N_UNITS, random_state=0)
        )
        codes, seconds = measured(model, X)
        error, _ = searched(codes, y)
        print(f"{way} {how}: {error:.2f} % after {seconds:.1f} s", flush=True)


def compare(X, y, X_test, y_test, rounds):
    """Return processor times against TruncatedSVD's, and errors here and elsewhere."""
    models = {"TruncatedSVD": TruncatedSVD(N_UNITS, random_state=0)}
    models |= {way: encoder(way) for way in WAYS}
    seconds, errors = {name: [] for name in models}, {}
    for _ in range(rounds):
        for name, model in models.items():
            codes, took = measured(model, X)
            seconds[name].append(took)
            if name not in errors:
                here, svm = searched(codes, y)
                right = svm.fit(codes, y).score(model.transform(X_test), y_test)
                errors[name] = here, 100 * (1 - right)
    base = np.array(seconds["TruncatedSVD"])
    return {n: float(np.median(s / base)) for n, s in seconds.items()}, errors


def main():
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--rise-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if args.rise_of:
        print(measured_rise(args.rise_of, args.way))
        return
    X, y, X_test, y_test = data()
    if args.search:
        search(X, y)
        return
    ratios, errors = compare(X, y, X_test, y_test, args.rounds)
    times = in_turn(steps(75_000), rounds=args.rounds, clock=time.process_time)
    bars, rows = errors["TruncatedSVD"], []
    for way, dense in (("factored", "dense, descent"), ("sampled", "dense, Adam")):
        rise = rise_of_memory(75_000, way)
        rows += [
            (f"{way} step / {dense}", "≤ 0.1", f"{times[way] / times[dense]:.3f}"),
            (f"{way}: rise of peak memory by a fit", "≤ 150 MB", f"{rise:.0f} MB"),
            (f"{way}: time / TruncatedSVD", "≤ 10", f"{ratios[way]:.1f}"),
            *[
                (f"{way}: error of an SVM, {of}", f"≤ {bar:.1f} %", f"{found:.1f} %")
                for of, bar, found in zip(
                    ("cross-validated", "other rows"), bars, errors[way], strict=True
                )
            ],
        ]
    settings = "; ".join(f"{way}: {encoder(way)!r}" for way in WAYS)
    text = (
        f"Steps are of {BATCH} rows × 75,000 columns → {N_UNITS} units in float64, "
        "those of Adam with the cross-entropy and a sample of 5 %; memory is that of a "
        f"fit of {N_DOCUMENTS:,} × 75,000. Times and errors are of {X.shape[0]:,} "
        f"docstrings of {', '.join(PACKAGES)} with {X.shape[1]:,} columns of TF-IDF: "
        "fit and transform, processor time on one thread, as a multiple of that of "
        f"TruncatedSVD({N_UNITS}) just before, median of {args.rounds} rounds. The SVM "
        "tells the packages apart, by three-fold cross-validation and then for "
        f"{X_test.shape[0]:,} other docstrings; TruncatedSVD's error is the bar. "
        "The settings of the sampled step were chosen by the cross-validated error "
        "(what --search prints, and single fits before), those of the factored one "
        f"were not searched. {settings}."
    )
    write(
        "sparse",
        "Sparse rows",
        f"{table(['what', 'bar', 'measured'], rows)}\n\n{' '.join(text.split())}",
        " ".join(["python benchmarks/speed/sparse_rows.py", *sys.argv[1:]]),
    )


if __name__ == "__main__":
    main()
