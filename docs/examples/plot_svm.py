"""
Contractive features for a linear SVM
=====================================

Are the features of a contractive autoencoder better for a linear classifier than the
pixels themselves? Four kinds of features are compared on the digits that come with
scikit-learn. What each needs to have chosen (λ, the share of the variance that PCA
keeps, the SVM's C) is chosen by cross-validation inside the training half; the test
half is looked at once.
"""

# %%
# The four pipelines
# ------------------
# `Pipeline(memory=...)` keeps the fitted autoencoders, so that the search does not
# train one again for each C.

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from skcae import Autoencoder, ContractiveAutoencoder

X, y = load_digits(return_X_y=True)
X = X / 16

how = {"loss": "cross_entropy", "max_iter": 60, "tol": 0.01, "random_state": 0}
features = {
    "pixels": ("passthrough", {}),
    "PCA": (PCA(), {"code__n_components": [0.9, 0.95, 0.99]}),
    "autoencoder": (Autoencoder(256, **how), {}),
    "contractive\nautoencoder": (
        ContractiveAutoencoder(256, **how),
        {"code__jacobian_penalty": [0.1, 0.3]},
    ),
}

# %%
# Three splits
# ------------

errors = {name: [] for name in features}
chosen = []
with TemporaryDirectory() as folder:
    for split in range(3):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=split
        )
        for name, (code, grid) in features.items():
            model = Pipeline(
                [("code", code), ("svm", LinearSVC(max_iter=20_000))], memory=folder
            )
            search = GridSearchCV(model, {**grid, "svm__C": [0.1, 1, 10]}, cv=3)
            search.fit(X_train, y_train)
            errors[name].append(100 * (1 - search.score(X_test, y_test)))
        chosen.append(search.best_params_)

for name, values in errors.items():
    print(f"{' '.join(name.split()):24} {np.mean(values):.2f} % test error")
print("λ of each split:", [float(c["code__jacobian_penalty"]) for c in chosen])

# %%
# What came out
# -------------
# Lines join the four errors of one split. They, rather than the spread of a column,
# show whether one kind of features is better than another. `make demo` runs the same
# comparison with more values of λ and C and five splits; :doc:`/results` has its
# table.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(list(errors), np.array(list(errors.values())), color="0.75", zorder=1)
for position, values in enumerate(errors.values()):
    ax.scatter([position] * len(values), values, color="tab:blue", zorder=2)
    ax.scatter(position, np.mean(values), color="black", marker="_", s=900, zorder=3)
ax.set(ylabel="test error, %", title="Linear SVM on digits")
ax.margins(x=0.15)
ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
plt.show()
