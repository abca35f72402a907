"""
Contraction curves
==================

How far does the code move when the input moves by a distance r? Figure 1 of Rifai et
al. (ICML 2011) draws the ratio of the two distances, with points x + ru drawn uniformly
on the sphere of radius r around each example. It falls as r grows, since far away from
the data all units are saturated. Only the contractive autoencoder's rises first: it
holds still near the examples, and moves most at a distance from them.

The same can be seen on scikit-learn's small digits.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.inspection import ContractionCurveDisplay

X_train, X_valid = train_test_split(load_digits().data / 16, random_state=0)

# %%
# All models have the same units and training, and none has seen the validation rows.

shared = {
    "n_components": 100,
    "loss": "cross_entropy",
    "learning_rate": 0.01,
    "batch_size": 20,
    "random_state": 0,
}
encoders = {
    "AE": Autoencoder(**shared),
    "AE+wd": Autoencoder(weight_decay=0.001, **shared),
    "DAE-g": DenoisingAutoencoder(corruption_level=0.3, **shared),
    "CAE": ContractiveAutoencoder(jacobian_penalty=0.3, **shared),
}
for encoder in encoders.values():
    encoder.fit(X_train)

# %%
# One line draws the curves, and marks the smallest, median and largest distance between
# two examples.

display = ContractionCurveDisplay.from_estimator(encoders, X_valid, random_state=0)

# %%
# The numbers are in ``display.ratios``, one result of
# :func:`~skcae.inspection.contraction_ratio` for each encoder:

for name, ratio in display.ratios.items():
    highest = ratio.mean.argmax()
    print(
        f"{name:6} starts at {ratio.mean[0]:.2f}, is highest at "
        f"r = {ratio.radii[highest]:.1f} with {ratio.mean[highest]:.2f}"
    )
