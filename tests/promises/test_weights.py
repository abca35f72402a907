"""What weights are: rows that come more often, and nothing else."""

import numpy as np
import pytest
from sklearn.base import clone

from tests.promises.kinds import ENCODERS, assert_same_model, parts


def test_weights_are_repetitions_in_full_batches(repeating, unit_data):
    """In pre-training and in fine-tuning."""
    X = unit_data[:20]
    y = repeating.target(X)
    weights = np.arange(20) % 3
    weighted = repeating().fit(X, y, sample_weight=weights)
    repeated = repeating().fit(
        X.repeat(weights, axis=0), None if y is None else y.repeat(weights)
    )
    scaled = repeating().fit(X, y, sample_weight=1e300 * weights)
    assert_same_model(weighted, repeated, rtol=1e-6, atol=1e-9)
    assert_same_model(weighted, scaled, rtol=1e-6, atol=1e-9)
    matrices, others = (
        [
            part
            for name, part in parts(model)
            if any(word in name for word in ("components_", "coefs_", "weight"))
        ]
        for model in (weighted, repeating().fit(X, y))
    )
    for one, other in zip(matrices, others, strict=True):
        assert not np.allclose(one, other, rtol=1e-4)


def test_all_ones_are_no_weights(kind, unit_data):
    y = kind.target(unit_data)
    weighted = kind().fit(unit_data, y, sample_weight=np.full(40, 3.0))
    assert_same_model(weighted, kind().fit(unit_data, y), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(40), "sample_weight must not be negative"),
        (np.zeros(40), "non-zero"),
        (np.ones(39), "expected"),
        (np.full(40, np.nan), "NaN"),
    ],
    ids=["negative", "zero", "short", "nan"],
)
def test_bad_weights_are_refused(weights, message, kind, unit_data):
    with pytest.raises(ValueError, match=message):
        kind().fit(unit_data, kind.target(unit_data), sample_weight=weights)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_row_of_weight_zero_is_no_row_even_in_mini_batches(
    early_stopping, kind, digits
):
    X = digits[0][:200].copy()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    weights[::3] = 0.0
    y = digits[1][:200] % 3 if kind.learns else None
    X[0] = 1e200  # whose loss overflows
    model, there = kind(early_stopping=early_stopping), weights > 0
    weighted = clone(model).fit(X, y, sample_weight=weights)
    absent = clone(model).fit(
        X[there], y if y is None else y[there], sample_weight=weights[there]
    )
    assert_same_model(weighted, absent, rtol=1e-10)


def test_one_row_of_positive_weight_cannot_be_split(kind, unit_data):
    weights = np.zeros(40)
    weights[0] = 1.0
    y = np.arange(40) % 2 if kind.learns else None
    with pytest.raises(ValueError, match="only 1 sample of positive weight"):
        kind(early_stopping=True).fit(unit_data, y, sample_weight=weights)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_weights_whose_sum_overflows_are_weights(early_stopping, kind, unit_data):
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 40)
    y, model = kind.target(unit_data), kind(early_stopping=early_stopping)
    weighted = clone(model).fit(unit_data, y, sample_weight=weights)
    huge = model.fit(unit_data, y, sample_weight=1e308 * weights)
    assert_same_model(weighted, huge, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e39, 1e300, 1.7e308])
def test_the_scale_of_validation_weights_does_not_matter(scale, encoder, unit_data):
    X, X_val = unit_data[:30].astype("f4"), unit_data[30:].astype("f4")
    model = encoder(early_stopping=True)
    weighted = clone(model).fit(X, X_val=X_val, sample_weight_val=np.full(10, scale))
    assert_same_model(weighted, model.fit(X, X_val=X_val), rtol=1e-5)


@pytest.mark.parametrize(
    "encoder", [kind for kind in ENCODERS if kind.repeats], ids=lambda kind: kind.name
)
def test_validation_weights_count(encoder, unit_data):
    X_val = np.vstack([unit_data[:5], 100 + unit_data[5:6]])
    weights = [1, 1, 1, 1, 1, 0]
    model = encoder(early_stopping=True)
    weighted = clone(model).fit(unit_data, X_val=X_val, sample_weight_val=weights)
    without = clone(model).fit(unit_data, X_val=X_val[:5])
    assert_same_model(weighted, without, rtol=1e-12)


def test_weights_of_a_score(encoder, unit_data):
    model = encoder().fit(unit_data)
    weights = unit_data[:, 0]
    assert model.score(unit_data, sample_weight=weights) == pytest.approx(
        np.average(model.score_samples(unit_data), weights=weights)
    )
    with pytest.raises(ValueError, match="must not be negative"):
        model.score(unit_data, sample_weight=-weights)
