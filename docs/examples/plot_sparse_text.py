"""
Sparse text
===========

All estimators take sparse matrices, in `fit` as in `transform`. A batch of rows at a
time is made dense in `fit`, so that memory holds the sparse matrix and a few dense
rows; descent without momentum needs none, which pays with many more columns. The
texts here are the docstrings of scikit-learn; the codes are to find related ones.
"""

# %%
# Docstrings as counts of words
# -----------------------------
# The part of each docstring before its examples, as TF-IDF. A row has length 1, so its
# squared error is at most about 1. λ is small accordingly, since nothing is divided by
# the number of columns.

import inspect
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.utils.discovery import all_estimators, all_functions

from skcae import ContractiveAutoencoder

texts = {
    name: (thing.__module__.split(".")[1], inspect.getdoc(thing).split("Examples\n")[0])
    for name, thing in [*all_estimators(), *all_functions()]
    if thing.__doc__
}
sizes = Counter(module for module, _ in texts.values())
texts = {name: text for name, text in texts.items() if sizes[text[0]] > 15}
names = np.array(list(texts))
modules, docstrings = map(np.array, zip(*texts.values(), strict=True))

vectorizer = TfidfVectorizer(
    min_df=2, max_features=1000, sublinear_tf=True, token_pattern=r"[A-Za-z]{3,}"
)
X = vectorizer.fit_transform(docstrings)
print(f"{X.shape[0]} docstrings, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} in each")

# %%
# Codes
# -----
# Rows of length 1 move what a unit sums up by little, so that biases that start spread
# out, as they do by default, would hold most of the few units at one of their ends.
# Here they start at zero. tanh then suits such rows better than a sigmoid, whose codes
# start at a half.


def encoder(n_components, jacobian_penalty=0.003):
    """Make a contractive autoencoder for rows of length 1."""
    return ContractiveAutoencoder(
        n_components,
        jacobian_penalty=jacobian_penalty,
        activation="tanh",
        bias_spread=0,
        max_iter=40,
        tol=0.01,
        random_state=0,
    )


codes = encoder(16).fit_transform(X)
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


dimensions = [4, 8, 16, 32]
makers = {
    "contractive autoencoder": encoder,
    "autoencoder, λ = 0": lambda k: encoder(k, jacobian_penalty=0),
    "truncated SVD": lambda k: TruncatedSVD(k, random_state=0),
}
styles = [("o-", "tab:blue"), ("^-.", "tab:gray"), ("s--", "tab:orange")]

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, make), (style, color) in zip(makers.items(), styles, strict=True):
    errors = [error(make(k).fit_transform(X)) for k in dimensions]
    print(f"{name:23}", *(f"{e:5.1f} %" for e in errors))
    ax.plot(dimensions, errors, style, color=color, label=name)
ax.axhline(error(X), color="black", linestyle=":", label="all words")
ax.set_xscale("log", base=2)
ax.set_xticks(dimensions, labels=map(str, dimensions))
ax.set(xlabel="numbers to a text", ylabel="wrong module, %", ylim=(0, None))
ax.legend()
plt.show()

# %%
# Of so few texts an error of a tenth is known to about three points either way: no
# single difference in this picture means much.
