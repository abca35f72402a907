"""An encoder whose layer is no matrix is looked at as any other."""

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, TransformerMixin
from torch.func import jacrev, vmap

from skcae._core.layers.dense import Dense
from skcae._encoders.steps import DecodingLayer
from skcae.activations import ACTIVATIONS
from skcae.inspection import (
    contraction_ratio,
    jacobian,
    jacobian_norm,
    reconstruction_losses,
    sample,
    saturation,
    singular_values,
    tangent_vectors,
)
from tests.core.test_layers import IMAGE, N_FEATURES, N_UNITS, Convolution, draw


class ConvolutionalEncoder(TransformerMixin, BaseEstimator):
    """A convolution, and above it two dense units if it is asked for them."""

    def __init__(self, is_deep=False):
        self.is_deep = is_deep

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def _encoding_layers(self):
        W, tanh = 0.4 * draw(3, IMAGE[0], 3, 3), ACTIVATIONS["tanh"]
        first = Convolution(W, draw(3, seed=1), tanh)
        second = Dense(draw(2, N_UNITS, seed=2), draw(2, seed=3), tanh)
        return [first, second] if self.is_deep else [first]

    def _decoding_layers(self):
        first, *others = self._encoding_layers()
        identity, c = ACTIVATIONS["identity"], draw(N_FEATURES, seed=4)
        layers = [first.decoder(first.weights, c, identity)]
        for layer in others:
            c = torch.zeros(N_UNITS).double()
            layers.insert(0, layer.decoder(layer.weights, c, identity))
        return [DecodingLayer(layer, "squared_error") for layer in layers]

    def code(self, x):
        """Encode one row."""
        for layer in self._encoding_layers():
            x = torch.tanh(layer.push(x[None])[0] + layer.unit_intercepts)
        return x


@pytest.mark.parametrize("is_deep", [False, True])
def test_its_measures_are_those_of_its_jacobian(is_deep):
    X = draw(6, N_FEATURES, seed=5)
    encoder = ConvolutionalEncoder(is_deep).fit(X)
    J = vmap(jacrev(encoder.code))(X)
    assert_allclose(jacobian(encoder, X.numpy()), J, atol=1e-12)
    norms = J.square().sum((1, 2)).sqrt()
    assert_allclose(jacobian_norm(encoder, X.numpy()), norms, rtol=1e-10)
    found = singular_values(encoder, X.numpy(), 2).sample_values
    assert_allclose(found, torch.linalg.svdvals(J)[:, :2], rtol=1e-6)
    tangents = torch.from_numpy(tangent_vectors(encoder, X.numpy(), 2))
    kept = (J @ tangents.mT).norm(dim=1)
    assert_allclose(kept, found, rtol=1e-6)
    # A small step moves the code by what the Jacobian says.
    near = contraction_ratio(
        encoder, X.numpy(), [1e-4], n_directions=400, random_state=0
    )
    expected = (norms.square().mean() / N_FEATURES).sqrt()
    assert_allclose(near.root_mean_square, expected, rtol=0.1)
    H = torch.stack([encoder.code(x) for x in X])
    slope = (1 - H.square()).numpy()
    assert_allclose(saturation(encoder, X.numpy()), (slope < 0.19).mean(1))


@pytest.mark.parametrize("is_deep", [False, True])
def test_its_codes_are_decoded(is_deep):
    X = draw(6, N_FEATURES, seed=5)
    encoder = ConvolutionalEncoder(is_deep).fit(X)
    Z = torch.stack([encoder.code(x) for x in X])
    for layer, _ in encoder._decoding_layers():
        Z = layer.push(Z) + layer.unit_intercepts
    assert_allclose(reconstruction_losses(encoder, X.numpy()), (Z - X).square())
    standing = sample(encoder, X.numpy(), n_steps=1, step_size=0.0)[:, 0]
    assert_allclose(standing, Z, atol=1e-12)
