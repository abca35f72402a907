"""What encodes patches in the comparison, and the settings that each chooses from."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state

from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder


class RandomPatches(KMeans):
    """Patches drawn at random, in the place of the centres that k-means finds."""

    def fit(self, X, y=None, sample_weight=None):
        """Draw the centres."""
        random = check_random_state(self.random_state)
        start = X[random.choice(len(X), self.n_clusters, replace=False)]
        # One pass sets what `transform` needs; the centres that it finds are not kept.
        self.set_params(init=start, n_init=1, max_iter=1)
        super().fit(X)
        self.cluster_centers_ = start
        return self


class Products(KMeans):
    """The products of whitened patches with k-means' centres, of length 1."""

    def transform(self, X):
        """Return the products, (n, K)."""
        centres = self.cluster_centers_
        return X @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T


def pca(n_units, **how):
    """Return as many components as there are, if they are fewer than units."""
    return PCA(min(n_units, 108))


def parts(X):
    """Return the positive and the negative part of each number, up to 1."""
    return np.clip(np.hstack([X, -X]), 0, 1)


def rbm(n_units, *, max_iter, **how):
    """Return an RBM, whose visible units are of [0, 1].

    Whitened numbers that are moved there, without being parted, teach it nothing: they
    are uncorrelated, and what else they have in common is in their large values.
    """
    machine = BernoulliRBM(n_units, n_iter=max_iter, batch_size=100, **how)
    return make_pipeline(FunctionTransformer(parts), machine)


def kmeans(n_units, *, max_iter, random_state, kind=KMeans):
    """Return k-means from random centres, of 50 iterations as in the authors' demo."""
    return kind(
        n_units, init="random", n_init=1, max_iter=50, random_state=random_state
    )


def random_patches(n_units, *, max_iter, random_state):
    """Return patches that nothing was learnt of."""
    return RandomPatches(n_units, random_state=random_state)


@dataclass(frozen=True)
class Model:
    """One line of the table.

    Parameters
    ----------
    name : str
        As the table has it.
    make : callable or None
        From the number of units, and how to train, to the encoder. None is raw pixels.
    grid : tuple of dict
        The settings among which training rows choose.
    code : str
        PatchEncoder's.
    """

    name: str
    make: object = None
    grid: tuple = ({},)
    code: str = "auto"

    def encoder(self, n_units, settings, **how):
        """Return the encoder with some settings."""
        return self.make(n_units, **settings, **how)


def grid(name, *values, **others):
    """Return the settings that differ in one parameter."""
    return tuple({name: value, **others} for value in values)


STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
gaussian = partial(DenoisingAutoencoder, corruption="gaussian")
masking = partial(DenoisingAutoencoder, corruption="masking")
CONTRACTION = grid("jacobian_penalty", *STRENGTHS)
# Rectified, the strongest of these was the best.
MORE = grid("jacobian_penalty", *STRENGTHS, 30.0)
NOISE = grid("corruption_level", 0.3, 1.0)
MODELS = {
    "raw": Model("raw pixels"),
    "random": Model("random whitened patches, triangle", random_patches),
    "kmeans": Model("k-means, triangle", kmeans),
    "kmeans-s": Model(
        "products with k-means' centres, split",
        partial(kmeans, kind=Products),
        code="split",
    ),
    "pca": Model("PCA", pca),
    "ae": Model("AE", Autoencoder),
    "ae-r": Model("AE, rectified", Autoencoder, code="rectified"),
    "ae-s": Model("AE, split", Autoencoder, code="split"),
    "ae-wd": Model("AE+wd", Autoencoder, grid("weight_decay", 1e-3, 1e-2, 1e-1)),
    "dae-g": Model("DAE-g", gaussian, NOISE),
    "dae-g-r": Model("DAE-g, rectified", gaussian, NOISE, "rectified"),
    "dae-g-s": Model("DAE-g, split", gaussian, NOISE, "split"),
    "dae-b": Model("DAE-b", masking, grid("corruption_level", 0.25, 0.5)),
    "rbm": Model("RBM", rbm, grid("learning_rate", 0.03, 0.1, 0.3)),
    "cae": Model("CAE", ContractiveAutoencoder, CONTRACTION),
    "cae-r": Model("CAE, rectified", ContractiveAutoencoder, MORE, "rectified"),
    "cae-s": Model("CAE, split", ContractiveAutoencoder, MORE, "split"),
    "cae-h": Model(
        "CAE+H",
        ContractiveAutoencoder,
        tuple(
            {"jacobian_penalty": strength, "hessian_penalty": round(0.1 * strength, 3)}
            for strength in STRENGTHS[1:4]
        ),
    ),
}
# What Coates, Ng and Lee (2011) report of the nearest kin at 1600 units: the test error
# in per cent, on all rows of the exact images, 400,000 patches.
PUBLISHED = {
    "ae": "26.6 (sparse AE)",
    "kmeans": "22.1",
    "raw": "62.7",
    "rbm": "27.6 (sparse RBM)",
}


def norm_of_jacobian(transform, X, *, n_probes=4, step=1e-4, seed=0):
    """Estimate ‖J‖ of any code at each row: E ‖J u‖² = ‖J‖² for standard normal u."""
    random = np.random.default_rng(seed)
    squares = np.zeros(len(X))
    for _ in range(n_probes):
        u = random.standard_normal(X.shape)
        difference = transform(X + step * u) - transform(X - step * u)
        squares += np.square(difference / (2 * step)).sum(1)
    return np.sqrt(squares / n_probes)
