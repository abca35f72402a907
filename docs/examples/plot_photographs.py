"""
Filters of photographs in colour
================================

A :class:`~skcae.ConvolutionalCAE` slides its filters over patches of the two
photographs that come with scikit-learn. Here is what λ does to the filters, and to what
is decoded.
"""

# %%
# Patches
# -------
# The upper parts of both photographs are there to train on, the lower ones to look at.
# Rows stay flat: `image_shape` says what a row is, its channels last.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import ConvolutionalCAE
from skcae.inspection import FilterDisplay, ReconstructionDisplay, jacobian_norm

photographs = np.stack(load_sample_images().images).astype(np.float32) / 255
patches = PatchExtractor(patch_size=(16, 16), max_patches=400, random_state=0)
X_train = patches.transform(photographs[:, :280]).reshape(800, -1)
X_test = patches.transform(photographs[:, 280:]).reshape(800, -1)

# %%
# With and without contraction
# ----------------------------
# The same start, the same training; only λ differs.

encoders = {}
for penalty in (0, 0.03, 0.3):
    cae = ConvolutionalCAE(
        16,
        kernel_size=6,
        image_shape=(16, 16, 3),
        stride=2,
        activation="tanh",
        jacobian_penalty=penalty,
        learning_rate=0.01,
        max_iter=15,
        tol=0.001,
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(with_std=False), cae)
    encoders[f"λ = {penalty}"] = pipeline.fit(X_train)


def fine_part(filters):
    """Give the part of the power at wavelengths below four pixels."""
    power = np.abs(np.fft.fft2(filters)) ** 2
    frequencies = np.fft.fftfreq(filters.shape[-1])
    is_fine = np.hypot.outer(frequencies, frequencies) > 1 / 4
    return power[..., is_fine].sum() / power.sum()


for name, encoder in encoders.items():
    decoded = encoder.inverse_transform(encoder.transform(X_test))
    filters = encoder[-1].parameters_["encoder.0.weight"]
    print(
        f"{name:8} mean ‖J‖ {jacobian_norm(encoder, X_test).mean():4.1f}, "
        f"mean squared error {np.square(decoded - X_test).mean():.4f}, "
        f"{fine_part(filters):.0%} of the filters' power is fine"
    )

# %%
# The filters
# -----------
# Without contraction they stay close to the noise that they began as: sixteen of them
# at every second pixel rebuild a patch well enough. With it a filter has to be worth
# its norm. What is left is smooth, patches and bars of light and colour, and with a
# large λ hardly more than the colour of a place, several times over.

fig, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
fig.get_layout_engine().set(wspace=0.1)
for ax, (name, encoder) in zip(axes, encoders.items(), strict=True):
    FilterDisplay.from_estimator(encoder, ax=ax)
    ax.set_title(name)
plt.show()

# %%
# What is decoded
# ---------------
# Patches of the lower parts with much contrast, in the units of the pipeline, whose
# scaler is undone. The fine texture goes first, and the colours fade toward the border,
# which fewer filters reach.

with_contrast = np.argsort(-X_test.std(axis=1))[:240:30]
fig, ax = plt.subplots(figsize=(9, 4.4), layout="constrained")
ReconstructionDisplay.from_estimator(encoders, X_test[with_contrast], ax=ax)
plt.show()
