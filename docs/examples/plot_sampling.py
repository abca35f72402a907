"""
A walk along the data
=====================

An encoder that ignores most directions and keeps those along the data says where one
may go from an example without leaving the data behind. Rifai et al. (ICML 2012) turn
this into a walk: encode x, move the code by J Jᵀ α with Gaussian α, which is a large
step along the leading singular directions and a small one across them, and decode.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances_argmin_min

from skcae import ContractiveAutoencoder
from skcae.inspection import sample

X = load_digits().data / 16
cae = ContractiveAutoencoder(
    n_components=100,
    jacobian_penalty=0.1,
    loss="cross_entropy",
    learning_rate=0.01,
    batch_size=20,
    random_state=0,
).fit(X)

# %%
# Each row starts at the digit on the left and goes twelve steps.

walks = sample(cae, X[:6], n_steps=12, step_size=0.5, random_state=0)

figure, axes = plt.subplots(6, 13, figsize=(7.5, 3.6), layout="constrained")
for row, start, walk in zip(axes, X, walks, strict=False):
    for ax, image in zip(row, [start, *walk], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set_axis_off()
for column, title in ((0, "start"), (6, "steps 1 to 12")):
    axes[0, column].set_title(title, fontsize="small")

# %%
# A larger step size goes further, and leaves the digits sooner. Here is the mean
# distance from where a walk ends to the nearest digit:

for step_size in (0.2, 0.5, 1.0, 2.0):
    walks = sample(cae, X[:100], n_steps=12, step_size=step_size, random_state=0)
    _, nearest = pairwise_distances_argmin_min(walks[:, -1], X)
    print(f"step size {step_size}: {nearest.mean():.2f} to the nearest digit")
