"""
A stack of contractive layers
=============================

:class:`~skcae.StackedCAE` trains one layer on the codes of the other. Each layer has
its own λ, which weighs the Jacobian with respect to the layer's own input.
"""

# %%
# Three layers
# ------------

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skcae import StackedCAE
from skcae.inspection import LossCurveDisplay, jacobian_norm, saturation

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
stack = StackedCAE(
    (256, 128, 64),
    jacobian_penalty=(0.1, 0.03, 0.03),
    loss="cross_entropy",
    max_iter=60,
    tol=0.01,
    random_state=0,
)
stack.fit(X_train)

# %%
# Each layer by itself
# --------------------
# `estimators_` holds the layers. A pipeline of the first of them encodes as far as that
# layer, and is an encoder for :mod:`skcae.inspection` too: the Jacobian is then that of
# the whole way from the pixels.

depths = range(1, len(stack.estimators_) + 1)
norms, saturations, errors = [], [], []
for depth in depths:
    encoder = make_pipeline(*stack.estimators_[:depth])
    svm = LinearSVC(C=10, max_iter=50_000).fit(encoder.transform(X_train), y_train)
    errors.append(100 * (1 - svm.score(encoder.transform(X_test), y_test)))
    norms.append(jacobian_norm(encoder, X_test).mean())
    saturations.append(100 * saturation(encoder, X_test).mean())
    print(
        f"depth {depth}: mean ‖J‖ {norms[-1]:.2f}, "
        f"{saturations[-1]:.0f} % saturated, SVM's error {errors[-1]:.1f} %"
    )

# %%
# Deeper codes contract more. On these small images they are worse for a linear SVM.
# What a stack is good for as the start of a network is measured in
# :ref:`sphx_glr_auto_examples_plot_fine_tuning.py`.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
LossCurveDisplay.from_estimator(stack, ax=axes[0])
axes[1].plot(depths, norms, "o-", color="tab:blue")
axes[1].set_ylabel("mean ‖J‖ from the pixels")
axes[2].plot(depths, errors, "o-", color="tab:blue")
axes[2].set_ylabel("SVM's test error, %")
for ax in axes[1:]:
    ax.set_xticks(list(depths))
    ax.set_xlabel("depth, layers")
for ax in axes:
    ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
plt.show()
