import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA

from skcae.inspection import _contraction, contraction_ratio, jacobian_norm
from skcae.inspection._contraction import unit_vectors
from tests.inspection.encoders import KINDS, encoding, fitted

RADII = [0.1, 1.0, 5.0]


@pytest.mark.parametrize("kind", KINDS)
def test_ratio_is_that_of_the_distances(kind, unit_data):
    """A plain transcription, with the same directions."""
    encoder, layers, X = fitted(kind, unit_data)
    found = contraction_ratio(encoder, unit_data, RADII, n_directions=4, random_state=3)
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    generator = torch.Generator().manual_seed(int(seed))
    directions = unit_vectors(4, torch.from_numpy(X), generator)
    encode = encoding(*layers)
    expected = np.empty((len(X), 3, 4))
    for i, x in enumerate(torch.from_numpy(X)):
        for k, r in enumerate(RADII):
            for m, u in enumerate(directions[i]):
                moved = encode(x + r * u) - encode(x)
                expected[i, k, m] = moved.norm() / r
    assert_allclose(found.sample_mean, expected.mean(2))
    assert_allclose(found.sample_root_mean_square**2, (expected**2).mean(2))
    assert_allclose(found.mean, expected.mean((0, 2)))
    assert_allclose(found.root_mean_square**2, (expected**2).mean((0, 2)))
    assert_allclose(found.std, expected.std((0, 2)), atol=1e-9)
    assert_array_equal(found.radii, RADII)


@pytest.mark.parametrize("kind", ["narrow", "wide", "stack", "rbm"])
def test_a_small_radius_gives_the_norm_of_the_jacobian(kind, unit_data):
    """Sample by sample: the root mean square tends to it, the mean stays below."""
    encoder, _, _ = fitted(kind, unit_data)
    X, n = unit_data[:6], 20_000
    found = contraction_ratio(encoder, X, [1e-4], n_directions=n, random_state=0)
    limit = jacobian_norm(encoder, X) / np.sqrt(8)
    # The mean of n squares, each of a relative deviation below √2 · √(d − 1 / d + 2).
    assert_allclose(found.sample_root_mean_square[:, 0], limit, rtol=4 * 0.6 / n**0.5)
    assert (found.sample_mean[:, 0] < limit).all()
    assert (found.mean < found.root_mean_square).all()


def test_a_linear_encoder_contracts_alike_at_every_distance(unit_data):
    encoder, _, _ = fitted("linear", unit_data)
    found = contraction_ratio(encoder, unit_data, [0.01, 1, 100], random_state=0)
    assert_allclose(found.sample_mean, found.sample_mean[:, [0, 0, 0]], rtol=1e-9)
    assert_allclose(found.mean, found.mean[0], rtol=1e-9)


def test_the_deviation_of_equal_ratios_is_zero(unit_data):
    """And no root of what rounding leaves below zero: all directions shrink alike."""
    encoder, _, _ = fitted("square", unit_data)
    encoder.components_ = np.eye(8)
    encoder._fitted_activation = "identity"
    radii = np.logspace(-2, 2, 50)
    for X in (unit_data, unit_data.astype("f4")):
        found = contraction_ratio(encoder, X, radii, random_state=0)
        assert_allclose(found.mean, 1, rtol=1e-4)
        assert_allclose(found.std, 0, atol=1e-2)


def test_directions_are_uniform_on_the_sphere():
    rows = torch.zeros(2, 3, dtype=torch.float64)
    u = unit_vectors(50_000, rows, torch.Generator().manual_seed(0))
    assert u.shape == (2, 50_000, 3)
    assert_allclose(u.norm(dim=2), 1)
    # Each coordinate is uniform on [−1, 1] in three dimensions (Archimedes).
    for coordinate in u[0].T:
        counts = torch.histc(coordinate, 10, -1, 1)
        assert_allclose(counts, 5000, rtol=0.06)


def test_what_it_takes(unit_data, monkeypatch):
    encoder, _, _ = fitted("narrow", unit_data)
    expected = contraction_ratio(encoder, unit_data, RADII, random_state=0)
    again = contraction_ratio(
        encoder, sparse.csr_array(unit_data), RADII, random_state=0
    )
    assert_allclose(again.mean, expected.mean)
    single = contraction_ratio(encoder, unit_data.astype("f4"), RADII, random_state=0)
    assert_allclose(single.mean, expected.mean, rtol=1e-4)
    other = contraction_ratio(encoder, unit_data, RADII, random_state=1)
    assert not np.array_equal(other.mean, expected.mean)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 300)
    chunked = contraction_ratio(encoder, unit_data, RADII, random_state=0)
    assert_allclose(chunked.mean, expected.mean, rtol=0.05)


def test_the_directions_of_a_row_can_be_too_many_at_once(unit_data, monkeypatch):
    """Then they are drawn in portions, one after the other from the same stream."""
    encoder, _, _ = fitted("narrow", unit_data)
    how = {"n_directions": 11, "random_state": 0}
    expected = contraction_ratio(encoder, unit_data[:1], RADII, **how)
    drawn, draw = [], _contraction.unit_vectors

    def spy(n, rows, generator):
        drawn.append(n)
        return draw(n, rows, generator)

    monkeypatch.setattr(_contraction, "unit_vectors", spy)
    # Of 8 numbers, four at once.
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 39)
    found = contraction_ratio(encoder, unit_data[:1], RADII, **how)
    assert drawn == [4, 4, 3]
    assert_allclose(found.sample_mean, expected.sample_mean)
    assert_allclose(found.std, expected.std, atol=1e-9)


def test_the_global_state_of_numpy_is_left_alone(unit_data):
    encoder, _, _ = fitted("narrow", unit_data)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    contraction_ratio(encoder, unit_data, RADII)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_wrong_arguments(unit_data):
    encoder, _, _ = fitted("narrow", unit_data)
    with pytest.raises(TypeError, match="is made of PCA"):
        contraction_ratio(PCA().fit(unit_data), unit_data, RADII)
    for radii in ([0.0, 1.0], [-1.0], [[1.0, 2.0]], 1.0, []):
        with pytest.raises(ValueError, match="one or more positive numbers"):
            contraction_ratio(encoder, unit_data, radii)
    with pytest.raises(ValueError, match="radii contains NaN"):
        contraction_ratio(encoder, unit_data, [1.0, np.nan])
    with pytest.raises(ValueError, match=r"n_directions.* must be an int"):
        contraction_ratio(encoder, unit_data, RADII, n_directions=0)
    with pytest.raises(ValueError, match="expecting 8 features"):
        contraction_ratio(encoder, unit_data[:, 1:], RADII)
