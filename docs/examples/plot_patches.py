"""
Patches of photographs, and what their pooled codes keep
========================================================

A :class:`~skcae.PatchEncoder` makes of any encoder of small rows one of images: it is
fitted on whitened patches, encodes all positions and pools the codes. Here are the
filters that three autoencoders learn of natural patches, and what is left of a
photograph once the codes are pooled.
"""

# %%
# Tiles of two photographs
# ------------------------
# The upper parts of the photographs that come with scikit-learn are there to train on,
# the lower ones to look at. A row is a tile of 32 × 32 pixels in colour.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    PatchEncoder,
)
from skcae.inspection import FilterDisplay

SIDE = 32
photographs = np.stack(load_sample_images().images).astype(np.float32) / 255
extractor = PatchExtractor(patch_size=(SIDE, SIDE), max_patches=600, random_state=0)
X_train = extractor.transform(photographs[:, :256]).reshape(1200, -1)

# %%
# Filters of whitened patches
# ---------------------------
# The same patches for all three, the same number of units, the same training. Whitening
# makes fine detail as large as the rest, and 64 units are fewer than the 108 numbers of
# a patch: without contraction and noise the units share them out as they please, and
# look like noise. With noise on the patches, or contraction, a unit has to be worth its
# place: edges, stripes and pairs of opposite colours come out, clearest with the noise.

how = {"max_iter": 15, "tol": 0.001, "random_state": 0}
encoders = {
    "AE": Autoencoder(64, **how),
    "DAE, noise of 1": DenoisingAutoencoder(
        64, corruption="gaussian", corruption_level=1.0, **how
    ),
    "CAE, λ = 3": ContractiveAutoencoder(64, jacobian_penalty=3.0, **how),
}
models = {
    name: PatchEncoder(
        encoder,
        image_shape=(SIDE, SIDE, 3),
        n_patches=20_000,
        pooling="sum",
        random_state=0,
    ).fit(X_train)
    for name, encoder in encoders.items()
}

fig, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
fig.get_layout_engine().set(wspace=0.08)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    FilterDisplay.from_estimator(model.encoder_, image_shape=(6, 6, 3), ax=ax)
    ax.set_title(name)
plt.show()

# %%
# Codes that bend
# ---------------
# A sum over many positions keeps nothing of a code that is linear: it is then the code
# of the average patch, which is grey. How much of each code is odd, as a linear one is,
# and how much is even, as the size of an answer is, shows what a sum can keep. With
# ``code="rectified"`` a unit counts where it is above its value at rest and nowhere
# else. That makes half of a linear code even.

patches = PatchExtractor(patch_size=(6, 6), max_patches=1000, random_state=0)
x = patches.transform(photographs[:, 256:]).reshape(2000, -1)


def even_part(h, opposite):
    """Return the share of the even part in a code of patches and of their opposites."""
    return np.square(h + opposite).sum() / (2 * np.square([h, opposite]).sum())


for name, model in models.items():
    u = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 10 / 255**2)
    u = (u - model.patch_mean_) @ model.whitening_
    codes = [model.encoder_.transform(z) - model.resting_code_ for z in (u, -u)]
    rectified = np.maximum(0, codes)
    print(
        f"{name:16} {even_part(*codes):4.0%} of the code is even, "
        f"{even_part(*rectified):4.0%} of the rectified code"
    )

# %%
# What is left of a photograph
# ----------------------------
# A ridge regression from pooled codes to pixels, fitted on tiles of the upper parts, is
# asked for the lower part of a photograph, tile by tile. More regions keep where things
# are. Of one region there is left what there was, not where.

strip = photographs[0, 256:416]
tiles = strip.reshape(5, SIDE, 20, SIDE, 3).swapaxes(1, 2).reshape(100, -1)
model = models["CAE, λ = 3"]
shown = {"the photograph": tiles}
for regions in (8, 2, 1):
    again = PatchEncoder(
        FrozenEstimator(model.encoder_),
        image_shape=(SIDE, SIDE, 3),
        n_patches=20_000,
        regions=regions,
        random_state=0,
    )
    decode = make_pipeline(again, StandardScaler(), Ridge(1000.0)).fit(X_train, X_train)
    shown[f"of {regions} × {regions} regions"] = decode.predict(tiles)

fig, axes = plt.subplots(4, 1, figsize=(7, 7.8), layout="constrained")
for ax, (name, rows) in zip(axes, shown.items(), strict=True):
    picture = rows.reshape(5, 20, SIDE, SIDE, 3).swapaxes(1, 2).reshape(strip.shape)
    ax.imshow(np.clip(picture, 0, 1))
    ax.set_title(name)
    ax.axis("off")
plt.show()
