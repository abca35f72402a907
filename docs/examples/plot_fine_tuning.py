"""
Fine-tuning against a random start
==================================

:class:`~skcae.FineTunedClassifier` is a network that starts at an encoder's weights.
How much is that start worth? Here a network of three hidden layers is trained on few
labels, starting at a stack that was pre-trained on all training images without their
labels, and at random weights.
"""

# %%
# One stack, many networks
# ------------------------
# In a `FrozenEstimator` the stack is pre-trained once and used as it is for each number
# of labels. Left alone, `FineTunedClassifier(stack).fit(X, y, X_unlabeled=...)` does
# all of it in one call.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skcae import FineTunedClassifier, StackedCAE

X, y = load_digits(return_X_y=True)
X = X / 16
sizes = (128, 128, 128)
numbers = [100, 200, 400]


def networks(X_train, seed):
    """Make the three networks; all use Adam, the random starts at a rate of 0.01."""
    stack = StackedCAE(
        sizes,
        jacobian_penalty=0.03,
        loss="cross_entropy",
        max_iter=40,
        tol=0.01,
        random_state=seed,
    ).fit(X_train)
    random_start = {
        "hidden_layer_sizes": sizes,
        "learning_rate_init": 0.01,
        "batch_size": 100,
        "random_state": seed,
    }
    return {
        "pre-trained, sigmoid": FineTunedClassifier(
            FrozenEstimator(stack), max_iter=60, random_state=seed
        ),
        "random start, sigmoid": MLPClassifier(activation="logistic", **random_start),
        "random start, relu": MLPClassifier(activation="relu", **random_start),
    }


errors = {}
for seed in range(3):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    for name, network in networks(X_train, seed).items():
        for n in numbers:
            network.fit(X_train[:n], y_train[:n])
            error = 100 * (1 - network.score(X_test, y_test))
            errors.setdefault((name, n), []).append(error)

# %%
# What came out
# -------------
# Pre-training is worth much for a deep network of sigmoids, which learns worse from
# random weights the fewer the labels are. A network of relus comes within two points
# of it without any on this data. The papers' networks are of the first kind.

names = list(dict.fromkeys(name for name, _ in errors))
styles = [("tab:blue", "o", "-"), ("tab:orange", "s", "--"), ("black", "^", ":")]
fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, (color, marker, line) in zip(names, styles, strict=True):
    means = [np.mean(errors[name, n]) for n in numbers]
    print(f"{name:22}", *(f"{mean:5.1f} %" for mean in means))
    ax.plot(numbers, means, color=color, marker=marker, linestyle=line, label=name)
ax.set_xscale("log")
ax.set_xticks(numbers, labels=map(str, numbers))
ax.minorticks_off()
ax.set(xlabel="labelled images", ylabel="test error, %, mean of 3 splits")
ax.set_ylim(0, None)
ax.legend()
plt.show()
