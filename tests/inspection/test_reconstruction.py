"""The loss of each feature: what the sum of `score_samples` is made of."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    StackedCAE,
)
from skcae.inspection import reconstruction_losses
from skcae.losses import LOSSES

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
ESTIMATORS = {
    "contractive": ContractiveAutoencoder(5, **HOW),
    "untied": Autoencoder(5, tied_weights=False, **HOW),
    "denoising": DenoisingAutoencoder(5, activation="tanh", **HOW),
    "stack": StackedCAE((6, 4), **HOW),
    "stack of one": StackedCAE((6,), **HOW),
    "three layers": StackedCAE((6, 5, 4), activation="tanh", **HOW),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_their_sum_is_the_score(estimator, loss, dtype, unit_data):
    X = unit_data.astype(dtype)
    activation = "sigmoid" if loss == "cross_entropy" else estimator.activation
    model = clone(estimator).set_params(loss=loss, activation=activation).fit(X)
    losses = reconstruction_losses(model, X)
    assert losses.shape == X.shape
    assert losses.dtype == dtype
    assert_allclose(
        losses.sum(1),
        -model.score_samples(X),
        rtol=1e-5 if dtype == np.float32 else 1e-12,
    )


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_each_is_the_loss_of_its_feature(estimator, unit_data):
    model = clone(estimator).fit(unit_data)
    decoded = model.inverse_transform(model.transform(unit_data))
    losses = reconstruction_losses(model, unit_data)
    assert_allclose(losses, (unit_data - decoded) ** 2, atol=1e-14)
    model = clone(estimator).set_params(loss="cross_entropy", activation="sigmoid")
    p = model.fit(unit_data).inverse_transform(model.transform(unit_data))
    expected = -unit_data * np.log(p) - (1 - unit_data) * np.log(1 - p)
    assert_allclose(reconstruction_losses(model, unit_data), expected, rtol=1e-10)


def test_cross_entropy_where_no_probability_is_left(unit_data):
    model = ContractiveAutoencoder(5, loss="cross_entropy", **HOW).fit(unit_data)
    model.components_ = np.zeros_like(model.components_)
    model.intercept_visible_ = np.linspace(-1000, 1000, unit_data.shape[1])
    expected = np.where(model.intercept_visible_ > 0, model.intercept_visible_, 0.0)
    losses = reconstruction_losses(model, np.zeros((2, unit_data.shape[1])))
    assert_allclose(losses, [expected, expected], atol=1e-12)


def test_in_a_pipeline_they_are_those_of_what_the_last_step_takes(unit_data):
    X = 100 * unit_data
    pipeline = make_pipeline(
        make_pipeline(MinMaxScaler()), ContractiveAutoencoder(5, **HOW)
    ).fit(X)
    losses = reconstruction_losses(pipeline, X)
    assert_allclose(losses.sum(1), -pipeline.score_samples(X))
    assert_array_equal(
        losses, reconstruction_losses(pipeline[-1], pipeline[:-1].transform(X))
    )


def test_encoders_one_after_the_other_are_taken_together(unit_data):
    lower = BernoulliRBM(6, n_iter=3, random_state=0)
    pipeline = make_pipeline(lower, Autoencoder(4, **HOW)).fit(unit_data)
    codes = pipeline[-1].inverse_transform(pipeline.transform(unit_data))
    z = codes @ lower.components_ + lower.intercept_visible_
    expected = np.logaddexp(0, z) - unit_data * z
    assert_allclose(reconstruction_losses(pipeline, unit_data), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "make", [sparse.csr_array, np.ndarray.tolist, np.asfortranarray]
)
def test_containers_and_chunks(make, unit_data, monkeypatch):
    model = StackedCAE((6, 4), **HOW).fit(unit_data)
    expected = reconstruction_losses(model, unit_data)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 3 * unit_data.shape[1])
    assert_allclose(reconstruction_losses(model, make(unit_data)), expected, rtol=1e-11)


def test_names_are_checked_and_nothing_is_changed(unit_data):
    frame = pd.DataFrame(unit_data).add_prefix("x")
    model = ContractiveAutoencoder(5, **HOW).fit(frame).set_output(transform="pandas")
    before = frame.copy()
    assert type(reconstruction_losses(model, frame)) is np.ndarray
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(ValueError, match="feature names should match"):
        reconstruction_losses(model, frame.iloc[:, ::-1])


def test_bad_input(unit_data):
    with pytest.raises(NotFittedError):
        reconstruction_losses(ContractiveAutoencoder(), unit_data)
    model = ContractiveAutoencoder(5, **HOW).fit(unit_data)
    with pytest.raises(ValueError, match="7 features"):
        reconstruction_losses(model, unit_data[:, :7])
    with pytest.raises(ValueError, match="NaN"):
        reconstruction_losses(model, np.full((2, unit_data.shape[1]), np.nan))
    network = FineTunedClassifier(model, **HOW).fit(
        unit_data, np.arange(len(unit_data)) % 2
    )
    for no_encoder in (StandardScaler().fit(unit_data), network):
        with pytest.raises(TypeError, match="no step that is an encoder"):
            reconstruction_losses(no_encoder, unit_data)
