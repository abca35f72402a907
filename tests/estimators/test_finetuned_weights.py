"""Weights of samples and of classes in pre-training and fine-tuning."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.exceptions import (
    UnsetMetadataPassedError,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.utils.class_weight import compute_class_weight

from tests.estimators.finetuned import (
    ENCODERS,
    assert_same_network,
    both,
    classifier,
    contractive,
    denoising,
    same_network,
)

# ---- weights --------------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", ["autoencoder", "stack"])
def test_weights_are_repetitions_in_full_batches(kind, make, X, two, values):
    """In pre-training and in fine-tuning."""
    X, target = X[:20], (two if make is classifier else values)[:20]
    weights = np.arange(20) % 3
    model = make(ENCODERS[kind](X))
    weighted = clone(model).fit(X, target, sample_weight=weights)
    repeated = clone(model).fit(X.repeat(weights, axis=0), target.repeat(weights))
    scaled = clone(model).fit(X, target, sample_weight=1e300 * weights)
    assert_same_network(weighted, repeated, rtol=1e-6, atol=1e-9)
    assert_same_network(weighted, scaled, rtol=1e-6, atol=1e-9)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_)
    assert_allclose(
        weighted.encoder_.transform(X), repeated.encoder_.transform(X), rtol=1e-6
    )
    unweighted = clone(model).fit(X, target)
    assert not np.allclose(unweighted.coefs_[0], weighted.coefs_[0], rtol=1e-3)


@both
@pytest.mark.parametrize("kind", ["rbm", "frozen"])
def test_where_pretraining_takes_no_weights_fine_tuning_does(
    kind, make, X, two, values, weights
):
    model = make(ENCODERS[kind](X))
    target = two if is_classifier(model) else values
    plain = clone(model).fit(X, target)
    weighted = clone(model).fit(X, target, sample_weight=weights)
    assert_array_equal(weighted.encoder_.transform(X), plain.encoder_.transform(X))
    assert not same_network(weighted, plain)
    # Fine-tuning sees them as it would from any encoder.
    by_hand = make(FrozenEstimator(plain.encoder_)).fit(X, target, weights)
    assert same_network(by_hand, weighted)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_only_the_ratio_of_weights_counts_beside_rows_without_labels(
    scale, X, y, weights
):
    model = classifier(make_pipeline(StandardScaler(), contractive()))
    one, other = (
        clone(model).fit(X, y, sample_weight=w, X_unlabeled=X[:9] + 1)
        for w in (weights, scale * weights)
    )
    assert_allclose(one.encoder_[0].mean_, other.encoder_[0].mean_)
    assert_same_network(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "kind", ["contractive", "autoencoder", "denoising", "stack", "ours"]
)
def test_rows_of_weight_0_are_none_beside_rows_without_labels(kind, X, y):
    """In pre-training, too, the mean of 1 is that of the rows which count."""
    model, others = classifier(ENCODERS[kind](X)), X[:9] + 1
    weights = np.linspace(0.5, 2, len(X))
    alone = clone(model).fit(X, y, sample_weight=weights, X_unlabeled=others)
    beside = clone(model).fit(
        np.concatenate([X, X[:15] - 1]),
        np.concatenate([y, y[:15]]),
        sample_weight=np.append(weights, np.zeros(15)),
        X_unlabeled=others,
    )
    assert_same_network(alone, beside, rtol=1e-6, atol=1e-9)


def test_weights_reach_the_steps_that_take_them(X, y, weights):
    """At any depth of pipelines; PCA takes none."""
    inner = make_pipeline(PCA(7, random_state=0), contractive())
    encoder = make_pipeline(StandardScaler(), inner, denoising(), "passthrough")
    model = classifier(encoder).fit(X, y, sample_weight=weights)
    scaler = StandardScaler().fit(X, sample_weight=weights)
    assert_array_equal(model.encoder_[0].mean_, scaler.mean_)
    assert np.abs(scaler.mean_ - X.mean(0)).max() > 1e-3
    codes = PCA(7, random_state=0).fit_transform(scaler.transform(X))
    alone = contractive().fit(codes, sample_weight=weights)
    assert_array_equal(model.encoder_[1][1].components_, alone.components_)
    above = denoising().fit(alone.transform(codes), sample_weight=weights)
    assert_array_equal(model.encoder_[2].components_, above.components_)


@pytest.mark.parametrize(
    "class_weight", [{"ash": 1.0, "birch": 3.0, "cedar": 0.5}, {"ash": 4.0}, "balanced"]
)
def test_class_weights_are_sample_weights_of_fine_tuning(class_weight, X, y, weights):
    frozen = FrozenEstimator(contractive().fit(X))
    model = classifier(frozen, class_weight=class_weight)
    classes = np.unique(y)
    for given in (None, weights):
        by_class = compute_class_weight(
            class_weight, classes=classes, y=y, sample_weight=given
        )
        by_hand = by_class[np.searchsorted(classes, y)]
        assert len(set(by_hand)) > 1
        both_weights = by_hand if given is None else by_hand * given
        assert_same_network(
            clone(model).fit(X, y, sample_weight=given),
            classifier(frozen).fit(X, y, sample_weight=both_weights),
            rtol=1e-10,
        )
    # Pre-training does without.
    weighted = classifier(class_weight=class_weight).fit(X, y)
    assert_array_equal(weighted.encoder_.components_, contractive().fit(X).components_)


@pytest.mark.parametrize(
    "class_weight", [{"no": 0, "yes": 0}, {"no": -1, "yes": 1}], ids=str
)
def test_bad_class_weights_are_refused(class_weight, X, two):
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight=class_weight).fit(X, two)


def test_weights_that_together_leave_no_row_are_refused(X, two):
    model = classifier(class_weight={"no": 0, "yes": 1})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(X, two, sample_weight=(two == "no").astype(float))


# ---- metadata routing -----------------------------------------------------------


@both
@pytest.mark.parametrize("requested", [True, False])
def test_requested_weights_are_routed_to_the_encoder(
    requested, enable_routing, make, X, two, values, weights
):
    model = make(contractive().set_fit_request(sample_weight=requested))
    target = two if is_classifier(model) else values
    model.fit(X, target, sample_weight=weights)
    alone = contractive().fit(X, sample_weight=weights if requested else None)
    assert_array_equal(model.encoder_.components_, alone.components_)
    by_hand = make(FrozenEstimator(alone)).fit(X, target, sample_weight=weights)
    assert same_network(model, by_hand)


def test_weights_that_are_neither_requested_nor_declined_are_refused(
    enable_routing, X, y, weights
):
    with pytest.raises(UnsetMetadataPassedError, match=r"ContractiveAutoencoder\.fit"):
        classifier().fit(X, y, sample_weight=weights)
    classifier().fit(X, y)


def test_weights_are_routed_to_the_steps_of_pipelines(enable_routing, X, y, weights):
    encoder = make_pipeline(
        StandardScaler().set_fit_request(sample_weight=False),
        contractive().set_fit_request(sample_weight=True),
    )
    model = classifier(encoder).fit(X, y, sample_weight=weights)
    scaler = StandardScaler().fit(X)
    assert_array_equal(model.encoder_[0].mean_, scaler.mean_)
    alone = contractive().fit(scaler.transform(X), sample_weight=weights)
    assert_array_equal(model.encoder_[1].components_, alone.components_)


@pytest.mark.parametrize("kind", ["rbm", "three rbms", "frozen"])
def test_routing_with_an_encoder_that_takes_no_weights(
    kind, enable_routing, X, y, weights
):
    model = classifier(ENCODERS[kind](X)).fit(X, y, sample_weight=weights)
    with config_context(enable_metadata_routing=False):
        plain = clone(model).fit(X, y, sample_weight=weights)
    assert same_network(model, plain)


def test_weights_are_routed_through_a_search(enable_routing, X, y, weights):
    model = classifier(contractive().set_fit_request(sample_weight=True))
    model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(model, {"learning_rate": [0.01]}, cv=2, error_score="raise")
    search.fit(X, y, sample_weight=weights)
    assert same_network(
        search.best_estimator_, clone(model).fit(X, y, sample_weight=weights)
    )


def test_the_router_tells_of_the_encoder(enable_routing):
    model = classifier(contractive().set_fit_request(sample_weight=True))
    assert model.get_metadata_routing().consumes("fit", ["sample_weight"]) == {
        "sample_weight"
    }
