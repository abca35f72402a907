"""
Choosing λ
==========

λ is chosen by what the features are for. This example shows what changes with it: the
reconstruction gets worse from the smallest λ on, the Jacobian smaller, the units more
saturated, and the test error of a linear SVM has its minimum in between. It also shows
why λ and the strength of the classifier's own penalty have to be chosen together.
"""

# %%
# One code for each λ
# -------------------
# Means over three splits of the digits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian_norm, saturation

X, y = load_digits(return_X_y=True)
X = X / 16
penalties = [0.003, 0.01, 0.03, 0.1, 0.3, 1]
C_values = [0.1, 1, 10]


def measure(penalty, split):
    """Fit on one half; give loss, ‖J‖, saturation and the errors on the other."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=split
    )
    cae = ContractiveAutoencoder(
        n_components=128,
        jacobian_penalty=penalty,
        loss="cross_entropy",
        max_iter=40,
        tol=0.01,
        random_state=split,
    ).fit(X_train)
    codes, test_codes = cae.transform(X_train), cae.transform(X_test)
    svms = [LinearSVC(C=C, max_iter=20_000).fit(codes, y_train) for C in C_values]
    return [
        -cae.score(X_test),
        jacobian_norm(cae, X_test).mean(),
        100 * saturation(cae, X_test).mean(),
        *(100 * (1 - svm.score(test_codes, y_test)) for svm in svms),
    ]


def mean_measures(penalty):
    """Average over three splits."""
    return np.mean([measure(penalty, split) for split in range(3)], axis=0)


measured = np.array([mean_measures(penalty) for penalty in penalties])
basic = mean_measures(0)

# %%
# What changes with λ
# -------------------
# Dotted lines are the basic autoencoder, λ = 0. With more contraction the codes of
# different images lie closer together, so that the same C means a stronger penalty on
# the SVM: with C = 0.1 contraction seems to hurt, with C = 10 it helps.

fig, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained", sharex=True)
panels = zip(
    axes.flat,
    ["reconstruction loss, nats", "mean ‖J‖", "saturated units, %"],
    strict=False,
)
for column, (ax, label) in enumerate(panels):
    ax.semilogx(penalties, measured[:, column], "o-", color="tab:blue")
    ax.axhline(basic[column], color="tab:blue", linestyle=":")
    ax.set_ylabel(label)
styles = [("tab:orange", "s"), ("tab:blue", "o"), ("black", "^")]
for k, (C, (color, marker)) in enumerate(zip(C_values, styles, strict=True)):
    line = measured[:, 3 + k]
    axes[1, 1].semilogx(penalties, line, marker=marker, color=color, label=f"C = {C:g}")
    axes[1, 1].axhline(basic[3 + k], color=color, linestyle=":")
axes[1, 1].set_ylabel("SVM's test error, %")
axes[1, 1].legend()
for ax in axes.flat:
    ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
for ax in axes[1]:
    ax.set_xlabel("λ")
plt.show()

# %%
# In a search that is one grid over both parameters:
#
# .. code-block:: python
#
#     GridSearchCV(
#         pipeline, {"code__jacobian_penalty": [0, 0.03, 0.1, 0.3], "svm__C": [1, 10]}
#     )
