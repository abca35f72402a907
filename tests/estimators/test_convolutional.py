"""ConvolutionalCAE: what shapes it takes and gives, and what it refuses."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA

from skcae import ContractiveAutoencoder, ConvolutionalCAE, DeepCAE
from skcae._encoders.steps import code_size
from skcae.inspection import jacobian, jacobian_norm
from skcae.persistence import get_weights, set_weights
from tests.promises.kinds import assert_same_model

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
IMAGES = np.random.default_rng(0).random((40, 4, 6, 3))
ROWS = IMAGES.reshape(40, -1)


def make(**parameters):
    defaults = {"n_filters": 4, "kernel_size": 3, "image_shape": (4, 6, 3), **HOW}
    return ConvolutionalCAE(**{**defaults, **parameters})


class Batches:
    """The same rows, in batches."""

    def __init__(self, X):
        self.X = X

    def __iter__(self):
        yield from (self.X[:25], self.X[25:])


# ---- what is taken ------------------------------------------------------------------

SHAPES = {
    "signal": ((72,), (72,)),
    "signal of one channel": ((1, 72, 1), (72, 1)),
    "signal of channels": ((1, 24, 3), (24, 3)),
    "signal as image": ((1, 24, 3), (1, 24, 3)),
    "grey": ((8, 9), (8, 9)),
    "grey, one channel": ((8, 9), (8, 9, 1)),
    "one channel, grey": ((8, 9, 1), (8, 9)),
    "colour": ((4, 6, 3), (4, 6, 3)),
}


@pytest.mark.parametrize(("image_shape", "given"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("container", [np.asarray, torch.from_numpy, np.asfortranarray])
def test_arrays_of_more_dimensions_are_the_same_rows(image_shape, given, container):
    X = container(ROWS.reshape(40, *given))
    flat, other = (make(image_shape=image_shape).fit(rows) for rows in (ROWS, X))
    assert_same_model(flat, other)
    assert other.n_features_in_ == 72
    assert_array_equal(other.transform(X), flat.transform(ROWS))
    assert other.score(X) == flat.score(ROWS)
    assert other.inverse_transform(other.transform(X)).shape == (40, 72)
    assert_same_model(flat.partial_fit(ROWS), other.partial_fit(X))
    assert_array_equal(jacobian_norm(other, X), jacobian_norm(flat, ROWS))


def test_so_are_held_out_ones_and_batches():
    model = make(early_stopping=True)
    flat = clone(model).fit(ROWS, X_val=ROWS[:5])
    assert_same_model(clone(model).fit(IMAGES, X_val=IMAGES[:5]), flat)
    streamed = clone(model).fit(Batches(IMAGES), X_val=IMAGES[:5])
    assert_same_model(streamed, flat)


def test_a_new_fit_may_be_of_another_shape():
    other = IMAGES.transpose(0, 2, 1, 3)
    model = make(early_stopping=True).fit(IMAGES)
    model.set_params(image_shape=(6, 4, 3))
    # What was fitted stays what it was.
    assert model.transform(IMAGES).shape == (40, 96)
    for X in (other, Batches(other)):
        model.fit(X, X_val=other[:5])
        assert model.code_shape_ == (6, 4, 4)
        assert model.transform(other).shape == (40, 96)
        model = clone(model).set_params(image_shape=(4, 6, 3)).fit(IMAGES)
        model.set_params(image_shape=(6, 4, 3))


CODES = {
    "same": ({}, (4, 6, 4)),
    "valid": ({"padding": "valid"}, (2, 4, 4)),
    "stride": ({"stride": (1, 4)}, (4, 2, 4)),
    "pooling": ({"pool": "max", "pool_size": (3, 2)}, (2, 3, 4)),
    "layers": ({"n_filters": (4, 5), "pool": "average"}, (1, 2, 5)),
    "signal": ({"image_shape": None, "stride": 5}, (1, 15, 4)),
    "numbers of NumPy": (
        {"n_filters": np.array([2]), "stride": np.int64(2)},
        (2, 3, 2),
    ),
}


@pytest.mark.parametrize(("parameters", "expected"), CODES.values(), ids=CODES)
def test_codes_are_rows_of_a_shape(parameters, expected):
    model = make(**parameters).fit(ROWS)
    assert model.code_shape_ == expected
    H = model.transform(ROWS)
    assert H.shape == (40, np.prod(expected)) == (40, model._n_features_out)
    assert len(model.get_feature_names_out()) == H.shape[1] == code_size(model)
    assert model.inverse_transform(H).shape == ROWS.shape


def test_a_code_is_where_its_filter_is():
    model = make(activation="identity", n_filters=2).fit(ROWS)
    W, b = (model.parameters_[f"encoder.0.{name}"] for name in ("weight", "bias"))
    code = model.transform(IMAGES).reshape(40, *model.code_shape_)
    window = IMAGES[:, 1:4, 2:5]
    expected = np.einsum("nyxc,fcyx->nf", window, W) + b
    assert_allclose(code[:, 2, 3], expected)


def test_there_is_no_code_before_a_fit():
    assert not hasattr(make(), "code_shape_")
    assert code_size(make(pool="max")) == 2 * 3 * 4
    for parameters in ({"image_shape": None}, {"kernel_size": (3, 3, 3)}):
        assert code_size(make(**parameters)) == np.inf


# ---- what is refused ----------------------------------------------------------------

REFUSED = {
    "shape": ({"image_shape": (4, 6)}, r"image_shape=\(4, 6, 1\) has 24 numbers"),
    "no shape": ({"image_shape": (4, 6.5)}, "image_shape must be .* but it is"),
    "shape of four": ({"image_shape": (4, 6, 3, 1)}, "image_shape must be"),
    "no filters": ({"n_filters": ()}, "n_filters must be a positive integer, or one"),
    "array of one": ({"n_filters": np.array(3)}, r"n_filters must .* array\(3\)"),
    "kernel as such": ({"kernel_size": np.array(3)}, r"kernel_size must .* array\(3\)"),
    "negative": ({"n_filters": (3, -1)}, "n_filters must be"),
    "kernel of three": ({"kernel_size": (3, 3, 3)}, "kernel_size must be .* two"),
    "kernel": (
        {"kernel_size": (5, 2), "padding": "valid"},
        r"kernel_size=\(5, 2\) is larger than the 4 × 6 pixels .* layer 0.*same",
    ),
    "kernel above": (
        {"padding": "valid", "n_filters": (2, 2)},
        r"kernel_size=\(3, 3\) is larger than the 2 × 4 pixels .* layer 1",
    ),
    "stride": ({"stride": 5}, r"stride=\(5, 5\) is larger than the 4 × 6 pixels"),
    "window": (
        {"pool": "max", "pool_size": 5},
        r"pool_size=\(5, 5\) is larger than the 4 × 6 pixels",
    ),
    "window above": (
        {"pool": "average", "n_filters": (2, 2, 2)},
        r"pool_size=\(2, 2\) is larger than the 1 × 2 pixels .* layer 2",
    ),
}


@pytest.mark.parametrize(("parameters", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_name(parameters, message):
    model = make(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(ROWS)
    assert not hasattr(model, "n_features_in_")


def test_channels_first_are_refused_and_not_reread():
    first = np.moveaxis(IMAGES, -1, 1)
    message = r"\(40, 3, 4, 6\), with its channels first, .* \(n, 4, 6, 3\)"
    with pytest.raises(ValueError, match=message):
        make().fit(first)
    model = make(early_stopping=True).fit(IMAGES)
    with pytest.raises(ValueError, match=message):
        model.transform(first)
    with pytest.raises(ValueError, match=r"X_val .* channels first"):
        model.fit(IMAGES, X_val=first)
    with pytest.raises(ValueError, match="channels first"):
        model.fit(Batches(first))
    signals = ROWS.reshape(40, 3, 24)
    with pytest.raises(ValueError, match="channels first"):
        make(image_shape=(1, 24, 3)).fit(signals)


def test_other_shapes_are_refused_with_what_was_expected():
    with pytest.raises(ValueError, match=r"\(n, 4, 6, 3\), or .* \(n, 72\)"):
        make().fit(IMAGES.transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match=r"asks for \(n, 8, 9\)"):
        make(image_shape=(8, 9)).fit(IMAGES)
    with pytest.raises(ValueError, match=r"image_shape=None .* \(1, steps, channels\)"):
        make(image_shape=None).fit(IMAGES)


def test_a_flat_estimator_refuses_images_still():
    for model in (DeepCAE((4, 3)), ContractiveAutoencoder(4)):
        with pytest.raises(ValueError, match=r"dim [34].*reshape"):
            model.fit(IMAGES)


def test_going_on_with_other_layers_is_refused():
    model = make(warm_start=True).fit(ROWS)
    for name, value in {"pool": "max", "stride": 2, "image_shape": (6, 4, 3)}.items():
        changed = clone(model).fit(ROWS).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"has {name}=.* cannot go on"):
            changed.fit(ROWS)
    # The same in another form.
    model.set_params(kernel_size=(3, 3), n_filters=[4]).fit(ROWS)
    assert model.n_iter_ > 12


# ---- weights ------------------------------------------------------------------------


def test_weights_make_a_model_of_the_shape_that_is_set():
    model = make(n_filters=(4, 5), tied_weights=False, pool="max").fit(ROWS)
    weights = get_weights(model)
    assert {name: array.shape for name, array in weights.items()} == {
        "encoder.0.weight": (4, 3, 3, 3),
        "encoder.0.bias": (4,),
        "encoder.1.weight": (5, 4, 3, 3),
        "encoder.1.bias": (5,),
        "decoder.0.weight": (5, 4, 3, 3),
        "decoder.0.bias": (4,),
        "decoder.1.weight": (4, 3, 3, 3),
        "decoder.1.bias": (3,),
    }
    other = set_weights(clone(model), weights)
    assert_array_equal(other.transform(IMAGES), model.transform(ROWS))
    with pytest.raises(ValueError, match=r"shape \(4, 1, 3, 3\), but"):
        set_weights(clone(model).set_params(image_shape=(12, 6)), weights)


def test_weights_do_not_tell_how_long_a_signal_is():
    model = make(image_shape=None).fit(ROWS)
    weights = get_weights(model)
    with pytest.raises(ValueError, match=r"Set image_shape to \(steps"):
        set_weights(clone(model), weights)
    assert set_weights(model, weights) is model
    other = set_weights(clone(model).set_params(image_shape=(72,)), weights)
    assert_array_equal(other.transform(ROWS), model.transform(ROWS))


def test_what_it_was_fitted_as_is_checked_in_a_file():
    model = make().fit(ROWS)
    model._check_whole()
    for name, value in {"image_shape": (6, 4), "stride": (0, 1), "pool": "min"}.items():
        damaged = clone(model).fit(ROWS)
        damaged._fitted_structure[name] = value
        with pytest.raises(ValueError, match=name):
            damaged._check_whole()


# ---- what it learns -----------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_one_pixel_is_a_dense_layer(loss, unit_data):
    """The same weights are drawn, and the same steps are taken."""
    how = {**HOW, "loss": loss, "max_iter": 30}
    ours = ConvolutionalCAE(6, 1, image_shape=(1, 1, 8), **how).fit(unit_data)
    deep = DeepCAE((6,), **how).fit(unit_data)
    layer = ContractiveAutoencoder(6, bias_spread=0, **how).fit(unit_data)
    for other in (deep, layer):
        assert_allclose(ours.loss_curve_, other.loss_curve_, rtol=1e-9)
        assert_allclose(ours.transform(unit_data), other.transform(unit_data))


@pytest.mark.parametrize(
    ("pool", "part"), [(None, 0.2), ("max", 0.6), ("average", 0.6)]
)
def test_it_learns_digits(pool, part, digits):
    """What is left is a part of what their mean leaves."""
    X = digits[0][:200]
    how = {"learning_rate": 0.05, "max_iter": 20, "tol": 1e-3, "random_state": 0}
    model = ConvolutionalCAE(
        8, 3, image_shape=(8, 8), pool=pool, jacobian_penalty=1e-3, **how
    )
    model.fit(X)
    assert -model.score(X) < part * np.square(X - X.mean(0)).sum(1).mean()


@pytest.mark.parametrize("pool", [None, "max"])
def test_a_stronger_penalty_contracts(pool):
    weak, strong = (
        jacobian_norm(
            make(pool=pool, jacobian_penalty=strength, max_iter=40).fit(ROWS), ROWS
        ).mean()
        for strength in (0.0, 10.0)
    )
    assert strong < 0.9 * weak


def test_jacobian_is_the_difference_quotient():
    model = make(pool="max", n_filters=(3, 2), activation="tanh").fit(ROWS)
    J = jacobian(model, IMAGES[:2])
    step = 1e-6 * np.eye(72)
    for x, found in zip(ROWS[:2], J, strict=True):
        slopes = (model.transform(x + step) - model.transform(x - step)) / 2e-6
        assert_allclose(found, slopes.T, atol=1e-7)


def test_codes_go_on_to_other_estimators(digits):
    codes = make(image_shape=(8, 8), pool="max").fit_transform(digits[0][:100])
    assert PCA(2).fit_transform(codes).shape == (100, 2)
