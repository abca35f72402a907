"""
A code of signals that holds still
==================================

Windows of a signal begin anywhere, and a code that is to say what is in a window should
not change much when the window moves by a step. Heartbeats, drawn from a formula, show
which part of a :class:`~skcae.ConvolutionalCAE` does that: the pooling, and not the
contraction.
"""

# %%
# Windows of heartbeats
# ---------------------
# A beat has five waves. Windows of 128 steps have two or three beats at a pace of their
# own, and noise. The test windows have four more steps at each end, to be moved by.

import matplotlib.pyplot as plt
import numpy as np

from skcae import ContractiveAutoencoder, ConvolutionalCAE
from skcae.inspection import ReconstructionDisplay

# Where in the beat each wave is, how wide and how high.
WAVES = [(-10, 3, 0.2), (-2, 0.8, -0.2), (0, 1.2, 1), (2.5, 0.9, -0.3), (14, 4.5, 0.35)]


def heartbeats(n_windows, n_steps, random):
    """Draw windows of beats in noise."""
    steps = np.arange(n_steps)
    X = 0.05 * random.normal(size=(n_windows, n_steps))
    for row in X:
        pace = random.uniform(40, 60)
        first = random.uniform(-pace, 0)
        for beat in np.arange(first, n_steps + pace, pace):
            for place, width, height in WAVES:
                distance = (steps - beat - place) / width
                row += height * np.exp(-(distance**2) / 2)
    return X.astype(np.float32)


random = np.random.default_rng(0)
X_train, X_test = heartbeats(800, 128, random), heartbeats(300, 136, random)

# %%
# Seven encoders
# --------------
# `image_shape=None` is a signal in one channel.

how = {"activation": "tanh", "max_iter": 20, "tol": 0.001, "random_state": 0}


def convolutional(penalty=0.01, **pooling):
    """Make an encoder of eight filters, each fifteen steps long."""
    return ConvolutionalCAE(8, 15, jacobian_penalty=penalty, **pooling, **how)


encoders = {
    "dense": ContractiveAutoencoder(64, jacobian_penalty=0.01, **how),
    "convolution": convolutional(),
    "average of 8": convolutional(pool="average", pool_size=8),
    "largest of 4": convolutional(pool="max", pool_size=4),
    "largest of 8": convolutional(pool="max", pool_size=8),
    "largest of 8, λ = 0": convolutional(0, pool="max", pool_size=8),
    "largest of 8, λ = 0.1": convolutional(0.1, pool="max", pool_size=8),
}
for encoder in encoders.values():
    encoder.fit(X_train)

# %%
# How far codes move
# ------------------
# As a part of the distance between the codes of two different windows: 1 is to be as
# far away as from any other window.

SHIFTS = range(5)


def moved(transform):
    """Give how far codes move at each shift."""
    still = transform(X_test[:, 4:132])
    others = np.linalg.norm(still - np.roll(still, 1, axis=0), axis=1).mean()
    codes = (transform(X_test[:, 4 + k : 132 + k]) for k in SHIFTS)
    return [np.linalg.norm(code - still, axis=1).mean() / others for code in codes]


windows = X_test[:, 4:132]
moves = {"signal itself": moved(lambda X: X)}
for name, encoder in encoders.items():
    moves[name] = moved(encoder.transform)
    decoded = encoder.inverse_transform(encoder.transform(windows))
    lost = np.square(decoded - windows).mean() / windows.var()
    print(
        f"{name:21} {encoder.transform(windows).shape[1]:5} numbers, moved by one step "
        f"{moves[name][1]:.2f}, by two {moves[name][2]:.2f}; {lost:.0%} of the "
        "variance lost"
    )

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for name, parts in moves.items():
    ax.plot(SHIFTS, parts, "--" if "λ" in name else "o-", label=name)
ax.set_xticks(SHIFTS)
ax.set_ylim(0, None)
ax.set_xlabel("shift of the window, steps")
ax.set_ylabel("distance of the codes\n(1: as between two windows)")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %%
# Filters alone do not hold still: their code moves along with the signal, about as far
# as the signal itself, and averages of eight steps hardly less. The largest number of a
# window moves less, the larger the window is. λ does not help, since it lowers how far
# all codes are apart.
#
# The price
# ---------
# Where in its window the largest number was is not in the code, and the decoder repeats
# it all over. A beat comes out lower, with ripples around it.

few = {name: encoders[name] for name in ("convolution", "largest of 8")}
fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ReconstructionDisplay.from_estimator(few, windows, n_samples=4, ax=ax)
plt.show()
