"""
The spectrum of the Jacobian
============================

The singular values of the encoder's Jacobian say by how much the code responds to a
small change of the input, direction by direction. Figure 2 of Rifai et al. (ICML 2011)
averages them by rank over validation examples. The contractive autoencoder's fall
fastest: it keeps few directions, those along the data, and gives up the others.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.inspection import JacobianSpectrumDisplay, jacobian_norm

X_train, X_valid = train_test_split(load_digits().data / 16, random_state=0)
shared = {
    "n_components": 100,
    "loss": "cross_entropy",
    "learning_rate": 0.01,
    "batch_size": 20,
    "random_state": 0,
}
encoders = {
    "AE": Autoencoder(**shared).fit(X_train),
    "AE+wd": Autoencoder(weight_decay=0.001, **shared).fit(X_train),
    "DAE-g": DenoisingAutoencoder(corruption_level=0.3, **shared).fit(X_train),
    "CAE": ContractiveAutoencoder(jacobian_penalty=0.3, **shared).fit(X_train),
}

# %%
# The band is one standard deviation over the examples.

display = JacobianSpectrumDisplay.from_estimator(encoders, X_valid)

# %%
# On a logarithmic scale it shows how many orders of magnitude lie between the
# directions: about two and a half with contraction, and one and a half without.

display.plot(scale="log")
limits = display.ax_.set_ylim(1e-3, 5)

# %%
# The squares of the singular values sum up to what the penalty lowers, ‖J‖²_F:

for name, spectrum in display.spectra.items():
    squares = (spectrum.sample_values**2).sum(axis=1)
    norms = jacobian_norm(encoders[name], X_valid)
    print(f"{name:6} Σs² = {squares.mean():5.2f}, ‖J‖² = {(norms**2).mean():5.2f}")
