"""A warm start goes on where the last fit ended, with the model that there is."""

import numpy as np
import pytest
from sklearn.base import clone

from skcae._core.training.schedules import StoppingRule
from tests.promises.kinds import LAYERS, assert_same_model


def first_layer(model):
    return getattr(model, "estimators_", [model])[0]


def weights_of(layer):
    return next(iter(layer._named_weights().values()))


def test_a_warm_start_goes_on(encoder, digits):
    X = digits[0][:400]
    model = encoder(warm_start=True, learning_rate=0.003).fit(X)
    layer = first_layer(model)
    first, n_first = weights_of(layer).copy(), layer.n_iter_
    n_all, loss_first = model.n_iter_, layer.loss_curve_[-1]
    model.fit(X)
    layer = first_layer(model)
    assert layer.n_iter_ == len(layer.loss_curve_) > n_first
    assert layer.loss_curve_[n_first] < layer.loss_curve_[0]
    assert layer.loss_curve_[-1] < loss_first
    assert not np.array_equal(first, weights_of(layer))
    cold = clone(model).set_params(warm_start=False).fit(X)
    assert cold.fit(X).n_iter_ == n_all


@pytest.mark.parametrize("early_stopping", [False, True])
def test_epochs_of_another_strength_are_no_part_of_the_stopping(
    early_stopping, unit_data
):
    """With a larger λ no objective is as low as those that there were."""
    how = {"learning_rate_schedule": "constant", "tol": 0.01, "max_iter": 300}
    model = LAYERS[0](**how, warm_start=True, early_stopping=early_stopping)
    rule, curves, n_before = StoppingRule(0.01, model.n_iter_no_change), [], 0
    for strength in (0.01, 0.3):
        model.set_params(jacobian_penalty=strength).fit(unit_data)
        own = model.loss_curve_[n_before:]
        curves.append(model.validation_loss_curve_ if early_stopping else own)
        n_before = model.n_iter_
    small, large = curves
    assert small.min() < large.min()
    assert len(large) == len(own)
    assert [rule.has_stalled(large[:n]) for n in range(len(own))] == len(own) * [False]
    assert rule.has_stalled(large)
    # As the end of one record of both it would have ended sooner.
    assert any(rule.has_stalled([*small, *large[:n]]) for n in range(1, len(own)))


@pytest.mark.parametrize(
    "parameters",
    [{"tied_weights": False}, {"activation": "tanh"}, {"loss": "cross_entropy"}],
    ids=str,
)
def test_going_on_as_another_model_is_refused(parameters, encoder, unit_data):
    if not parameters.keys() <= encoder().get_params().keys():
        pytest.skip("it has no such parameter")
    model = encoder(warm_start=True).fit(unit_data)
    before = encoder(warm_start=True).fit(unit_data).set_params(**parameters)
    model.set_params(**parameters)
    for method in ("fit", "partial_fit"):
        if hasattr(model, method):
            with pytest.raises(ValueError, match="cannot go on"):
                getattr(model, method)(unit_data)
    assert_same_model(model, before)
    model.set_params(warm_start=False).fit(unit_data)


def test_going_on_with_other_columns_is_refused(encoder, unit_data):
    model = encoder(warm_start=True).fit(unit_data)
    with pytest.raises(ValueError, match=r"7 features, but .* is expecting 8"):
        model.fit(unit_data[:, :7])


def test_going_on_with_other_sizes_is_refused(single, unit_data):
    model = single(warm_start=True).fit(unit_data)
    sizes = {"n_components": 5, "n_filters": 5, "hidden_layer_sizes": (5, 4)}
    (name,) = sizes.keys() & model.get_params().keys()
    model.set_params(**{name: sizes[name]})
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="cannot go on"):
            method(unit_data)
    model.set_params(warm_start=False).fit(unit_data)


def test_the_solver_may_change_between_fits(encoder, unit_data):
    model = encoder(warm_start=True).fit(unit_data)
    model.set_params(solver="sgd", learning_rate=1e-3).fit(unit_data)
    assert np.isfinite(model.transform(unit_data)).all()
