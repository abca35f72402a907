"""
Sparse text
===========

Text has more columns than any other data, and nearly all of each row is zero. With
`reconstruction_sampling` a step of training costs what the words of its batch cost, not
what all columns would. The texts here are the docstrings of scikit-learn as 20,000
columns; the codes are to find related ones.
"""

# %%
# Docstrings as words and pairs of words
# --------------------------------------
# The part of each docstring before its examples, as TF-IDF. A row has length 1, so its
# squared error is at most about 1. λ is small accordingly, since nothing is divided by
# the number of columns.

import ast
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from skcae import ContractiveAutoencoder

root = Path(sklearn.__file__).parent
texts = {}
for path in sorted(root.glob("*/**/*.py")):
    module = path.relative_to(root).parts[0]
    if module in ("externals", "tests") or "tests" in path.parts:
        continue
    for thing in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(thing, ast.FunctionDef | ast.ClassDef):
            text = (ast.get_docstring(thing) or "").partition("Examples\n")[0]
            if len(text) > 200:
                texts[text] = (module, thing.name)
sizes = Counter(module for module, _ in texts.values())
texts = {text: found for text, found in texts.items() if sizes[found[0]] > 15}
modules, names = map(np.array, zip(*texts.values(), strict=True))

vectorizer = TfidfVectorizer(
    max_features=20_000,
    ngram_range=(1, 2),
    sublinear_tf=True,
    token_pattern=r"[A-Za-z]{3,}",
    dtype=np.float32,
)
X = vectorizer.fit_transform(texts)
print(f"{X.shape[0]} texts, {X.shape[1]} columns, {X.nnz / X.shape[0]:.0f} in each")

# %%
# Codes
# -----
# A step looks at the columns in which its batch has an entry and at a twentieth of the
# others, which count twenty times as much. Rows of length 1 move what a unit sums up by
# little, so that biases that start spread out, as they do by default, would hold most
# of the few units at one of their ends: here they start at zero. tanh then suits such
# rows better than a sigmoid, whose codes start at a half.


def encoder(n_components, jacobian_penalty=0.0015):
    """Make a contractive autoencoder for rows of length 1."""
    return ContractiveAutoencoder(
        n_components,
        jacobian_penalty=jacobian_penalty,
        activation="tanh",
        bias_spread=0,
        reconstruction_sampling=0.05,
        learning_rate=0.002,
        batch_size=30,
        max_iter=6,
        n_iter_no_change=np.inf,
        random_state=0,
    )


codes = encoder(64).fit_transform(X)
neighbours = NearestNeighbors(n_neighbors=4, metric="cosine").fit(codes)
for name in ("Ridge", "KMeans", "roc_curve", "StandardScaler"):
    index = neighbours.kneighbors(codes[names == name], return_distance=False)[0, 1:]
    print(f"{name:15}", ", ".join(names[index]))

# %%
# How many neighbours come from the same module?
# ----------------------------------------------
# A vote of the five nearest texts guesses the module, for codes of several sizes and
# for truncated singular value decompositions of the same sizes.


def error(codes):
    """Give the share of wrong guesses, in %."""
    vote = KNeighborsClassifier(5, metric="cosine")
    return 100 * np.mean(cross_val_predict(vote, codes, modules, cv=5) != modules)


dimensions = [8, 16, 32, 64]
makers = {
    "contractive autoencoder": encoder,
    "truncated SVD": lambda k: TruncatedSVD(k, random_state=0),
}
styles = [("o-", "tab:blue"), ("s--", "tab:orange")]

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, make), (style, color) in zip(makers.items(), styles, strict=True):
    errors = [error(make(k).fit_transform(X)) for k in dimensions]
    print(f"{name:23}", *(f"{e:5.1f} %" for e in errors))
    ax.plot(dimensions, errors, style, color=color, label=name)
ax.axhline(error(X), color="black", linestyle=":", label="all columns")
ax.set_xscale("log", base=2)
ax.set_xticks(dimensions, labels=map(str, dimensions))
ax.set(xlabel="numbers to a text", ylabel="wrong module, %", ylim=(0, None))
ax.legend()
plt.show()

# %%
# The two are alike: of so few texts an error of 40 % is known to about two points
# either way. A decomposition is computed at once, and the thing to beat.
