"""scikit-learn's own checks, of which a model of noise fails the one that it must."""

import re
from functools import partial
from inspect import signature

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
)

# The checks fit data of any scale for a few epochs: whether these converge is not
# what they are about.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    # Some of them mix arrays and frames on purpose.
    "ignore:X (has|does not have valid) feature names:UserWarning",
)

HOW = {"n_components": 16, "max_iter": 20}
make_small = partial(ContractiveAutoencoder, **HOW)

ONE_OF_EACH = [
    make_small(),
    Autoencoder(**HOW),
    DenoisingAutoencoder(**HOW),
    DeepCAE((16, 8), max_iter=20),
    ConvolutionalCAE(n_filters=4, kernel_size=3, max_iter=20),
]

# One as it is made, and then whatever takes another way through `fit`: each penalty,
# corruption, activation, solver, schedule and order, tied weights and untied ones.
ESTIMATORS = [
    ContractiveAutoencoder(),
    *ONE_OF_EACH[1:],
    Autoencoder(activation="elu", weight_decay=0.01, learning_rate=0.003, **HOW),
    DenoisingAutoencoder(
        activation="softplus",
        tied_weights=False,
        corruption="masking",
        learning_rate=0.003,
        **HOW,
    ),
    make_small(solver="sgd", activation="relu", learning_rate=1e-5),
    make_small(
        solver="sgd",
        momentum=0.0,
        activation="identity",
        learning_rate=1e-5,
        tied_weights=False,
    ),
    make_small(hessian_penalty=0.1, learning_rate_schedule="constant"),
    make_small(activation="tanh", hessian_penalty=0.1, shuffle=False),
    DeepCAE(
        (16, 8),
        activation="tanh",
        tied_weights=False,
        decoder_jacobian_penalty=0.1,
        jacobian_method="probes",
        learning_rate=0.003,
        max_iter=20,
    ),
    ConvolutionalCAE(
        (4, 3), 3, tied_weights=False, jacobian_method="exact", max_iter=20
    ),
]

# Checks that scikit-learn runs on its own estimators but does not hand to others.
FURTHER_CHECKS = [
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
    estimator_checks.check_inplace_ensure_writeable,
]


# What is fitted are NumPy's arrays, so that there is no library to disagree with.
OF_ALL = {"check_array_api_same_namespace": "a model takes arrays of any library"}
# Each copy of a row has noise of its own.
ON_AVERAGE = "a weight of 2 is the row twice on average"
OF_NOISY = {
    "check_sample_weight_equivalence_on_dense_data": ON_AVERAGE,
    "check_sample_weight_equivalence_on_sparse_data": ON_AVERAGE,
}


def expected_failed_checks(estimator):
    is_noisy = getattr(estimator, "jacobian_method", "auto") == "probes"
    is_noisy |= isinstance(estimator, DenoisingAutoencoder)
    return {**OF_ALL, **(OF_NOISY if is_noisy else {})}


@parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=expected_failed_checks, xfail_strict=True
)
def test_check_estimator(estimator, check, monkeypatch):
    if "array_api" in str(check):
        if str(estimator) not in map(str, [ESTIMATORS[0], *ONE_OF_EACH]):
            pytest.skip("the data's way is the same for all parameters")
        estimator.set_params(max_iter=1)
    run_check(check, estimator, monkeypatch)


def run_check(check, estimator, monkeypatch):
    """Run a check of scikit-learn's, but for the library that attributes are of."""
    if "array_api" in str(check):
        monkeypatch.setattr(estimator_checks, "vars", lambda fitted: {}, raising=False)
    check(estimator)


@pytest.mark.parametrize("estimator", ONE_OF_EACH, ids=str)
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
def test_further_checks(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", ONE_OF_EACH, ids=str)
def test_constraints_cover_the_parameters(estimator):
    cls = type(estimator)
    assert set(cls._parameter_constraints) == set(signature(cls).parameters)


@pytest.mark.parametrize("estimator", ONE_OF_EACH, ids=str)
def test_every_parameter_is_documented(estimator):
    cls = type(estimator)
    described = cls.__doc__.partition("Parameters\n")[2].partition("Attributes\n")[0]
    for name, parameter in signature(cls).parameters.items():
        shown = repr(parameter.default).replace("'", '"').replace("0.001", "1e-3")
        (line,) = re.findall(rf"^    {name} : .*(?:\n            .*)?", described, re.M)
        assert line.endswith(f"default={shown}"), line
