import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    StandardScaler,
)

from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian, sample
from tests.inspection.encoders import HOW, KINDS, fitted, models_of


def decoded(encoder, H):
    """x = g(h), of the layers that have a decoder one after the other."""
    for model in reversed(models_of(encoder)):
        if hasattr(model, "inverse_transform"):
            H = model.inverse_transform(H)
        else:  # An RBM's visible means.
            H = 1 / (1 + np.exp(-H @ model.components_ - model.intercept_visible_))
    return H


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_the_papers(kind, unit_data):
    """x ← g(h + J Jᵀ α), with a dense J and the same α."""
    encoder, _, _ = fitted(kind, unit_data)
    walks = sample(encoder, unit_data, n_steps=3, step_size=0.5, random_state=3)
    assert walks.shape == (40, 3, 8)
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    generator = torch.Generator().manual_seed(int(seed))
    x = unit_data
    for visited in walks.transpose(1, 0, 2):
        h, J = encoder.transform(x), jacobian(encoder, x)
        noise = torch.randn(h.shape, generator=generator, dtype=torch.float64)
        alpha = 0.5 * noise.numpy()[:, :, None]
        x = decoded(encoder, h + (J @ (J.transpose(0, 2, 1) @ alpha))[:, :, 0])
        assert_allclose(visited, x, rtol=1e-8, atol=1e-10)


def test_without_noise_it_reconstructs(unit_data):
    encoder, _, _ = fitted("stack", unit_data)
    walks = sample(encoder, unit_data, n_steps=1, step_size=0, random_state=0)
    codes = encoder.transform(unit_data)
    assert_allclose(walks[:, 0], encoder.inverse_transform(codes))


def test_it_moves_along_the_line_that_the_data_is_on():
    random = np.random.default_rng(0)
    X = random.uniform(-1, 1, size=(300, 1)) * [0.6, 0.0, 0.8]
    X = X + 0.01 * random.normal(size=X.shape)
    encoder = ContractiveAutoencoder(
        8, activation="tanh", jacobian_penalty=0.01, tol=0.01, random_state=0
    ).fit(X)
    walks = sample(encoder, np.zeros((200, 3)), n_steps=1, random_state=0)[:, 0]
    along, across = walks @ [0.6, 0, 0.8], walks @ [[0.8, 0], [0, 1], [-0.6, 0]]
    assert along.std() > 10 * across.std()


def test_what_it_takes(unit_data):
    encoder, _, _ = fitted("narrow", unit_data)
    first, second, other = (
        sample(encoder, unit_data, random_state=seed) for seed in (0, 0, 1)
    )
    assert first.shape == (40, 10, 8)
    assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    for data in (sparse.csr_array(unit_data), pd.DataFrame(unit_data)):
        assert_allclose(sample(encoder, data, random_state=0), first)
    single = sample(encoder, unit_data.astype("f4"), random_state=0)
    assert single.dtype == np.float32
    assert_allclose(single, first, atol=1e-4)


def test_wrong_arguments(unit_data):
    encoder, _, _ = fitted("narrow", unit_data)
    for wrong in ({"n_steps": 0}, {"n_steps": 2.5}, {"step_size": -1.0}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}.* must be an? "):
            sample(encoder, unit_data, **wrong)
    pipeline = make_pipeline(
        StandardScaler(), Normalizer(), ContractiveAutoencoder(4, **HOW)
    ).fit(unit_data)
    with pytest.raises(TypeError, match="Normalizer has no inverse_transform"):
        sample(pipeline, unit_data)


def test_an_inverse_that_gives_no_numbers_or_is_none(unit_data):
    texts = ["to be or not to be", "that is the question", "whether tis nobler"]
    pipeline = make_pipeline(TfidfVectorizer(), ContractiveAutoencoder(4, **HOW))
    with pytest.raises(TypeError, match="TfidfVectorizer has no inverse_transform to"):
        sample(pipeline.fit(texts), texts)
    log = FunctionTransformer(np.log1p)
    pipeline = make_pipeline(log, ContractiveAutoencoder(4, **HOW)).fit(unit_data)
    with pytest.raises(TypeError, match="FunctionTransformer has no inverse_transform"):
        sample(pipeline, unit_data)
    log.set_params(inverse_func=np.expm1)
    walks = sample(pipeline, unit_data, n_steps=2, random_state=0)
    logs = sample(pipeline[-1], np.log1p(unit_data), n_steps=2, random_state=0)
    assert_allclose(walks, np.expm1(logs))


@pytest.mark.parametrize("indicator", [True, False])
def test_an_imputer_cannot_be_undone(indicator, unit_data):
    """What is decoded says neither where values were missing nor that none were."""
    X = unit_data.copy()
    X[5:20, 3] = np.nan
    imputer = SimpleImputer(add_indicator=indicator)
    for steps in ([imputer], [imputer, StandardScaler()]):
        pipeline = make_pipeline(*steps, ContractiveAutoencoder(4, **HOW)).fit(X)
        with pytest.raises(TypeError, match="SimpleImputer has no inverse_transform"):
            sample(pipeline, X[:3])


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler(), MinMaxScaler((1, 2))],
        [MinMaxScaler((1, 2)), FunctionTransformer(np.log, np.exp), StandardScaler()],
        [PCA(5), StandardScaler()],
        [StandardScaler(), PCA(5), MinMaxScaler()],
    ],
    ids=["scalers", "logarithm", "fewer columns", "all"],
)
def test_steps_are_undone_from_the_last_to_the_first(steps, unit_data):
    """As the pipeline itself does it, of which the first step comes last."""
    pipeline = make_pipeline(*steps, ContractiveAutoencoder(4, **HOW)).fit(unit_data)
    walks = sample(pipeline, unit_data, n_steps=1, step_size=0, random_state=0)
    decoded = pipeline.inverse_transform(pipeline.transform(unit_data))
    assert_allclose(walks[:, 0], decoded)


def test_chunks_of_walks(unit_data, monkeypatch):
    encoder, _, _ = fitted("stack", unit_data)
    whole = sample(encoder, unit_data, step_size=0, random_state=0)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 200)
    assert_allclose(sample(encoder, unit_data, step_size=0, random_state=0), whole)
    shaken = sample(encoder, unit_data, random_state=0)
    assert_array_equal(sample(encoder, unit_data, random_state=0), shaken)
    # The noise of one chunk is not that of another.
    same_rows = sample(encoder, unit_data[[0] * 40], n_steps=1, random_state=0)
    assert len(np.unique(same_rows[:, 0, 0])) == 40
