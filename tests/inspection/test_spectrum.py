import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skcae import ContractiveAutoencoder, StackedCAE
from skcae._core.layers import spectrum
from skcae._core.layers.spectrum import right_singular_vectors
from skcae.inspection import (
    jacobian,
    jacobian_norm,
    singular_values,
    tangent_vectors,
)
from skcae.inspection._encoder import measurement
from tests.inspection.encoders import KINDS, dense_jacobians, fitted


@pytest.fixture
def linear():
    """Make a linear encoder with a given weight matrix, which is its Jacobian."""

    def make(W):
        h, d = W.shape
        model = ContractiveAutoencoder(
            h, activation="identity", max_iter=1, tol=1.0, n_iter_no_change=1
        )
        with pytest.warns(match="too few"):
            model.fit(np.random.default_rng(0).normal(size=(20, d)))
        model.components_ = W
        return model

    return make


def with_spectrum(s, h, d, seed=0):
    """A matrix with these singular values."""
    random = np.random.default_rng(seed)
    U = np.linalg.qr(random.normal(size=(h, len(s))))[0]
    V = np.linalg.qr(random.normal(size=(d, len(s))))[0]
    return U * s @ V.T


def assert_orthonormal(T):
    products = np.einsum("nki,nli->nkl", T, T)
    identities = np.broadcast_to(np.eye(T.shape[1]), products.shape)
    assert_allclose(products, identities, atol=1e-10)


@pytest.mark.parametrize("n_values", [None, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_singular_values_are_those_of_the_dense_jacobian(
    kind, n_values, unit_data, monkeypatch
):
    encoder, layers, X = fitted(kind, unit_data)
    expected = torch.linalg.svdvals(dense_jacobians(*layers, X)).numpy()
    found = singular_values(encoder, unit_data, n_values)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 200)
    chunked = singular_values(encoder, unit_data, n_values).sample_values
    # What squaring leaves of values far below the largest: the products of n numbers
    # are rounded to n ε of the largest square.
    lost = np.sqrt(expected.shape[1] * np.finfo(float).eps) * expected.max()
    squares = chunked**2, found.sample_values**2
    assert_allclose(*squares, rtol=1e-9, atol=lost**2)
    assert_allclose(found.sample_values, expected[:, :n_values], rtol=1e-9, atol=lost)
    assert_allclose(found.mean, found.sample_values.mean(0))
    assert_allclose(found.std, found.sample_values.std(0))
    assert (np.diff(found.sample_values) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_their_squares_sum_up_to_the_norm(kind, unit_data):
    encoder, _, _ = fitted(kind, unit_data)
    values = singular_values(encoder, unit_data).sample_values
    assert_allclose((values**2).sum(1), jacobian_norm(encoder, unit_data) ** 2)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (24, 24)])
def test_small_values_are_exact_to_a_millionth_of_the_largest(shape, linear):
    s = np.logspace(2, -4, 13)
    model = linear(with_spectrum(s, *shape))
    for dtype in ("f8", "f4"):
        X = np.zeros((1, shape[1]), dtype)
        found = singular_values(model, X).sample_values[0]
        assert found.dtype == dtype
        assert_allclose(found[:13], s, rtol=5e-3)
        assert (found[13:] < 1e-5).all()


def test_float32_data_is_measured_in_float64(unit_data):
    """What the input keeps of its digits, the spectrum keeps too."""
    encoder, _, _ = fitted("wide", unit_data)
    single = unit_data.astype("f4")
    exact = singular_values(encoder, single.astype("f8"))
    found = singular_values(encoder, single)
    assert found.sample_values.dtype == np.float32
    assert_array_equal(found.sample_values, exact.sample_values.astype("f4"))


@pytest.mark.parametrize("shape", [(40, 50), (50, 40)])
def test_an_iteration_finds_the_same(shape, linear, monkeypatch):
    s = 0.8 ** np.arange(40)
    model, X = linear(with_spectrum(s, *shape)), np.zeros((2, shape[1]))
    used = []

    def spy(gram, n, *, vectors, iterate=spectrum.iterated_eigenpairs):
        used.append(n)
        return iterate(gram, n, vectors=vectors)

    monkeypatch.setattr(spectrum, "iterated_eigenpairs", spy)
    few = singular_values(model, X, 2).sample_values
    tangents = tangent_vectors(model, X, 2)
    assert used == [2, 2]
    assert_allclose(few, [s[:2]] * 2)
    many = singular_values(model, X, 3).sample_values
    assert_allclose(many, [s[:3]] * 2)
    assert_allclose(tangents, tangent_vectors(model, X, 3)[:, :2], atol=1e-9)
    assert used == [2, 2]


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize(("h", "d"), [(40, 50), (50, 40)])
@pytest.mark.parametrize("far", [30, 100, 340])
def test_jacobians_may_be_as_small_as_numbers_are(far, h, d, n_layers):
    """Where all units are saturated the slopes of one layer are of size exp(−far)."""
    random = np.random.default_rng(0)
    X, d_below = random.random((5, d)), d
    stack = StackedCAE((h,) * n_layers, max_iter=1, tol=1.0, n_iter_no_change=1)
    with pytest.warns(match="too few"):
        stack.fit(X)
    for layer in stack.estimators_:
        layer.components_ = random.normal(size=(h, d_below))
        layer.intercept_hidden_ = np.full(h, -float(far))
        d_below = h
    J = jacobian(stack, X)
    size = np.abs(J).max((1, 2), keepdims=True)
    assert (size > 0).all()
    s, V = np.linalg.svd(J / size)[1:]
    for n in (2, 30):  # by an iteration, and by a factorisation
        found = singular_values(stack, X, n).sample_values
        assert_allclose(found / size[:, :, 0], s[:, :n], rtol=1e-9, atol=1e-7)
        tangents = tangent_vectors(stack, X, n)
        assert_orthonormal(tangents)
        cosines = (tangents[:, :2] * V[:, :2]).sum(2)
        assert_allclose(np.abs(cosines), 1, rtol=1e-9)
        measured = measurement(stack, X, in_double=True)
        slopes = measured.layers.states_at(torch.from_numpy(X))
        some = right_singular_vectors(measured.layers, slopes, n, in_row_space=True)
        assert_allclose(some[:, :2], tangents[:, :2], atol=1e-9)
    norms = np.sqrt(np.square(J / size).sum((1, 2)))
    assert_allclose(jacobian_norm(stack, X) / size[:, 0, 0], norms)


@pytest.mark.parametrize("scale", [1e-9, 1e-14, 1e-60, 1e-140])
def test_weights_may_be_small_too(scale, linear):
    s = 0.98 ** np.arange(120)
    W = with_spectrum(s, 120, 150)
    X = np.zeros((1, 150))
    small, model = linear(scale * W), linear(W)
    for n in (2, 30):
        assert_allclose(singular_values(small, X, n).mean / scale, s[:n], rtol=1e-9)
        assert_allclose(
            tangent_vectors(small, X, n), tangent_vectors(model, X, n), atol=1e-6
        )


@pytest.mark.parametrize("shape", [(100, 120), (120, 100)])
def test_an_iteration_goes_on_until_close_values_are_apart(shape, linear):
    """To all digits, where each value is a hundredth below the one before."""
    s = 0.99 ** np.arange(100)
    W = with_spectrum(s, *shape)
    model, X = linear(W), np.zeros((1, shape[1]))
    assert_allclose(singular_values(model, X, 5).mean, s[:5], rtol=1e-11)
    tangents = tangent_vectors(model, X, 5)[0]
    # J v = s u: a tangent's image is as long as its value, and across the others'.
    images = W @ tangents.T
    assert_allclose(images.T @ images, np.diag(s[:5] ** 2), atol=1e-9)


def test_an_encoder_that_does_not_move(linear):
    """Where no iteration has a start, and no direction is any better than others."""
    model = linear(np.zeros((40, 30)))
    assert_array_equal(singular_values(model, np.ones((2, 30)), 1).mean, [0])
    assert_orthonormal(tangent_vectors(model, np.ones((2, 30)), 4))
    assert_orthonormal(tangent_vectors(model, np.ones((2, 30)), 1))


@pytest.mark.skipif(not spectrum.TAKES_RANDOM_STATE, reason="needs SciPy 1.17")
def test_orthogonal_units_give_the_same_tangents_each_time(linear):
    """Where the iteration ends at once, and goes on from a random vector."""
    model = linear(np.eye(64, 80))
    X = np.zeros((1, 80))
    first, second = tangent_vectors(model, X, 4), tangent_vectors(model, X, 4)
    assert_array_equal(first, second)
    assert_orthonormal(first)


@pytest.mark.parametrize(("h", "d"), [(8, 40), (40, 8), (30, 40), (40, 30)])
@pytest.mark.parametrize("rank", [0, 1, 3, 8])
def test_directions_beyond_the_rank_can_be_left_out(rank, h, d, linear):
    s = np.logspace(0, -3, rank)
    layers = measurement(linear(with_spectrum(s, h, d)), np.zeros((2, d))).layers
    slopes = layers.states_at(torch.zeros(2, d, dtype=torch.float64))
    for n in (1, 4, 8):
        every = spectrum.right_singular_vectors(layers, slopes, n)
        assert_orthonormal(every.numpy())
        some = spectrum.right_singular_vectors(layers, slopes, n, in_row_space=True)
        assert_allclose(some[:, :rank], every[:, :rank], atol=1e-9)
        assert_array_equal(some[:, rank:], 0)


@pytest.mark.parametrize("n_tangents", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_tangents_are_the_leading_right_singular_vectors(
    kind, n_tangents, unit_data, monkeypatch
):
    encoder, layers, X = fitted(kind, unit_data)
    J = dense_jacobians(*layers, X).numpy()
    _, s, Vt = np.linalg.svd(J)
    tangents = tangent_vectors(encoder, unit_data, n_tangents)
    assert tangents.shape == (40, n_tangents, 8)
    assert_orthonormal(tangents)
    assert_allclose(
        np.linalg.norm(J @ tangents.transpose(0, 2, 1), axis=1),
        s[:, :n_tangents],
        atol=1e-8,
    )
    # The same lines where the values are apart.
    apart = (s[:, 0] - s[:, 1]) > 0.05 * s[:, 0]
    assert apart.any()
    cosines = (tangents[:, 0] * Vt[:, 0]).sum(1)
    assert_allclose(np.abs(cosines[apart]), 1)
    largest = np.take_along_axis(
        tangents, np.abs(tangents).argmax(2)[:, :, None], axis=2
    )
    assert (largest > 0).all()
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 200)
    again = tangent_vectors(encoder, unit_data, n_tangents)
    assert_allclose(again, tangents, atol=1e-9)


@pytest.mark.parametrize("kind", ["bottleneck", "three layers", "narrow", "wide"])
def test_all_tangents_are_a_basis_whatever_the_rank(kind, unit_data):
    encoder, layers, _ = fitted(kind, unit_data)
    n = min(8, layers[0][-1][0].shape[0])
    tangents = tangent_vectors(encoder, unit_data, n)
    assert tangents.shape == (40, n, 8)
    assert_orthonormal(tangents)


@pytest.mark.parametrize("measure", [singular_values, tangent_vectors])
def test_what_they_take(measure, unit_data):
    encoder, _, _ = fitted("narrow", unit_data)

    def measured(X):
        found = measure(encoder, X, 2)
        return found if isinstance(found, np.ndarray) else found.sample_values

    assert_allclose(measured(sparse.csr_array(unit_data)), measured(unit_data))
    assert measured(unit_data.astype("f4")).dtype == np.float32
    with pytest.raises(ValueError, match="expecting 8 features"):
        measured(unit_data[:, :3])
    for wrong in (0, -1, 1.5, "3"):
        with pytest.raises(ValueError, match=r"must be an int in the range \[1, inf"):
            measure(encoder, unit_data, wrong)
    with pytest.raises(ValueError, match=r"=6 is more than .* n_features\) = 5"):
        measure(encoder, unit_data, 6)
