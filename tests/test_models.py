"""What the basic and the denoising autoencoder are, beside the contractive one."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    StackedCAE,
)
from skcae._core.data.arrays import generator_on, make_generator
from skcae._fit import parameters
from skcae.corruptions import CORRUPTIONS, gaussian, masking
from skcae.inspection import jacobian_norm

SHORT = {"max_iter": 12, "tol": 0.5, "random_state": 0}


def assert_same_weights(one, other, **tolerance):
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert_allclose(getattr(one, name), getattr(other, name), **tolerance)


def test_the_basic_autoencoder_is_the_contractive_one_without_a_penalty(digits):
    X, _ = digits
    basic = Autoencoder(16, **SHORT).fit(X)
    contractive = ContractiveAutoencoder(16, jacobian_penalty=0.0, **SHORT).fit(X)
    assert_same_weights(basic, contractive, rtol=0)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weight_decay_is_the_contraction_of_a_linear_encoder(solver, digits):
    X, _ = digits
    how = {"activation": "identity", "solver": solver, "learning_rate": 1e-3, **SHORT}
    decayed = Autoencoder(16, weight_decay=0.3, **how).fit(X)
    contracted = ContractiveAutoencoder(16, jacobian_penalty=0.3, **how).fit(X)
    assert_same_weights(decayed, contracted, rtol=1e-6, atol=1e-9)
    assert_allclose(decayed.loss_curve_, contracted.loss_curve_, rtol=1e-9)


def test_weight_decay_is_a_term_of_the_mean_objective(digits):
    """Its gradient does not depend on the number of rows."""
    X, _ = digits
    how = {"batch_size": 200, "solver": "sgd", "learning_rate": 1e-3, **SHORT}
    once = Autoencoder(8, weight_decay=0.3, **how).fit(X[:100])
    twice = Autoencoder(8, weight_decay=0.3, **how).fit(np.repeat(X[:100], 2, axis=0))
    assert_same_weights(once, twice, rtol=1e-9)


def test_decay_shrinks_the_weights(digits):
    X, _ = digits
    norms = [
        np.linalg.norm(Autoencoder(16, weight_decay=decay, **SHORT).fit(X).components_)
        for decay in (0.0, 0.01, 0.1)
    ]
    assert norms[0] > norms[1] > norms[2]


@pytest.mark.parametrize("corrupt", [gaussian, masking])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_may_be_corrupted_where_they_are(corrupt, dtype):
    X = torch.rand(6, 5, dtype=dtype) + 100
    out = torch.empty_like(X)
    corrupt(X, 0.5, torch.Generator().manual_seed(0), out)
    corrupt(X, 0.5, torch.Generator().manual_seed(0), X)
    assert torch.equal(X, out)
    assert X.max() > 90


@pytest.mark.parametrize("corruption", sorted(CORRUPTIONS))
def test_without_corruption_it_is_the_basic_autoencoder(corruption, unit_data):
    """In full batches, since the noise is drawn from the generator of the order."""
    denoising = DenoisingAutoencoder(
        6, corruption=corruption, corruption_level=0.0, **SHORT
    )
    assert_same_weights(
        denoising.fit(unit_data), Autoencoder(6, **SHORT).fit(unit_data), rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussian_noise_has_the_level_as_its_standard_deviation(dtype):
    X = torch.rand(400, 300, dtype=dtype)
    out = torch.empty_like(X)
    gaussian(X, 0.7, torch.Generator().manual_seed(0), out)
    noise = (out - X).double()
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.std()) == pytest.approx(0.7, abs=0.005)
    kurtosis = float((noise**4).mean()) / 0.7**4
    assert kurtosis == pytest.approx(3.0, abs=0.1)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masking_sets_independent_entries_to_zero(dtype):
    X = 0.5 + torch.rand(400, 300, dtype=dtype)
    out = torch.empty_like(X)
    masking(X, 0.25, torch.Generator().manual_seed(0), out)
    masked = out == 0
    assert float(masked.double().mean()) == pytest.approx(0.25, abs=0.005)
    assert torch.equal(out[~masked], X[~masked])
    # Binomial over the rows: neither the same number in each, nor whole rows.
    spread = float(masked.double().sum(1).std())
    assert spread == pytest.approx(np.sqrt(300 * 0.25 * 0.75), rel=0.15)


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=sorted(CORRUPTIONS))
def test_noise_is_the_same_in_both_precisions(corrupt):
    X = torch.rand(20, 30, dtype=torch.float64)
    outs = []
    for dtype in (torch.float32, torch.float64):
        outs.append(torch.empty_like(X, dtype=dtype))
        corrupt(X.to(dtype), 0.4, torch.Generator().manual_seed(3), outs[-1])
    torch.testing.assert_close(outs[0].double(), outs[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=sorted(CORRUPTIONS))
def test_noise_is_drawn_on_the_processor_whatever_the_device(corrupt):
    """A generator on the processor cannot draw into memory elsewhere."""
    X = torch.rand(20, 30, device="meta")
    out, generator = torch.empty_like(X), torch.Generator().manual_seed(0)
    before = generator.get_state()
    corrupt(X, 0.4, generator, out)
    assert not torch.equal(generator.get_state(), before)


NOISY = {
    "denoising": DenoisingAutoencoder(6, **SHORT),
    "Hessian": ContractiveAutoencoder(
        6, hessian_penalty=0.1, hessian_noise=0.2, **SHORT
    ),
    "stack": StackedCAE((6, 4), hessian_penalty=0.1, hessian_noise=0.2, **SHORT),
    "fine-tuned": FineTunedClassifier(
        ContractiveAutoencoder(6, **SHORT), corruption_level=0.3, **SHORT
    ),
}


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("model", NOISY.values(), ids=NOISY)
def test_noise_on_the_device_has_a_generator_of_its_own(model, unit_data, monkeypatch):
    generators, make = [], parameters.generator_on

    def watched(device, generator):
        assert device == torch.device("cpu")
        generators.append(make(device, generator))
        return generators[-1]

    def weights(model):
        first = getattr(model, "estimators_", [model])[0]
        return first.coefs_[0] if hasattr(first, "coefs_") else first.components_

    monkeypatch.setattr(parameters, "generator_on", watched)
    y = unit_data[:, 0] > unit_data[:, 1]
    without = weights(clone(model).fit(unit_data, y))
    assert not generators
    model = clone(model).set_params(noise_on_device=True)
    one, other = (weights(clone(model).fit(unit_data, y)) for _ in range(2))
    seeds = [generator.initial_seed() for generator in generators]
    half = len(seeds) // 2
    assert len(set(seeds[:half])) == half
    assert seeds[:half] == seeds[half:]
    assert_array_equal(one, other)
    assert not np.array_equal(one, without)


def test_a_generator_on_a_device_follows_from_the_state_of_another():
    first, again = (torch.Generator().manual_seed(3) for _ in range(2))
    cpu = torch.device("cpu")
    seeds = [generator_on(cpu, first).initial_seed() for _ in range(2)]
    assert seeds == [generator_on(cpu, again).initial_seed() for _ in range(2)]
    assert seeds[0] != seeds[1]


@pytest.fixture
def presented(monkeypatch):
    """Note what is presented to be encoded, and what is to be reconstructed."""
    seen = []

    def watched(X, level, generator, out):
        gaussian(X, level, generator, out)
        seen.append((X.numpy().copy(), out.numpy().copy()))

    monkeypatch.setitem(CORRUPTIONS, "gaussian", watched)
    return seen


def test_corruption_is_fresh_at_each_presentation(presented, unit_data):
    model = DenoisingAutoencoder(6, **SHORT).fit(unit_data)
    assert len(presented) == model.n_iter_ > 5
    for target, _ in presented:
        assert_array_equal(target, unit_data)
    noise = [X - target for target, X in presented]
    assert all((noise[0] != other).all() for other in noise[1:])


def test_held_out_rows_are_corrupted_alike_after_each_epoch(presented, digits):
    X, _ = digits
    model = DenoisingAutoencoder(6, early_stopping=True, batch_size=1000, **SHORT)
    model.fit(X[:50], X_val=X[50:80])
    held_out = [noisy for target, noisy in presented if len(target) == 30]
    assert len(held_out) == model.n_iter_
    for noisy in held_out[1:]:
        assert_array_equal(noisy, held_out[0])
    assert (held_out[0] != X[50:80]).any()


def test_nothing_is_corrupted_after_the_fit(presented, unit_data):
    model = DenoisingAutoencoder(6, **SHORT).fit(unit_data)
    presented.clear()
    codes = model.transform(unit_data)
    model.score(unit_data)
    model.inverse_transform(codes)
    assert presented == []
    a = unit_data @ model.components_.T + model.intercept_hidden_
    assert_allclose(codes, 1 / (1 + np.exp(-a)))


def test_noise_widens_the_filters_view(digits):
    """A denoised code is less sensitive to the input than a plain one."""
    X, _ = digits
    norms = [
        jacobian_norm(model.set_params(max_iter=60, random_state=0).fit(X), X).mean()
        for model in (
            Autoencoder(32, tol=0.5),
            DenoisingAutoencoder(32, corruption_level=0.5, tol=0.5),
        )
    ]
    assert norms[1] < 0.8 * norms[0]


def test_seeds_decide_the_noise(digits):
    X, _ = digits
    fits = [
        DenoisingAutoencoder(6, **{**SHORT, "random_state": seed}).fit(X)
        for seed in (0, 0, 1)
    ]
    assert_array_equal(fits[0].components_, fits[1].components_)
    assert (fits[0].components_ != fits[2].components_).any()


def test_more_than_everything_cannot_be_masked(unit_data):
    model = DenoisingAutoencoder(corruption="masking", corruption_level=1.5)
    with pytest.raises(ValueError, match=r"corruption_level=1\.5 .*in \[0, 1\]"):
        model.fit(unit_data)


def test_without_noise_a_weight_of_2_is_the_row_twice(unit_data):
    weights = np.arange(40) % 3
    model = DenoisingAutoencoder(6, corruption_level=0.0, batch_size=1000, **SHORT)
    weighted = clone(model).fit(unit_data, sample_weight=weights)
    repeated = clone(model).fit(unit_data.repeat(weights, axis=0))
    assert_same_weights(weighted, repeated, rtol=1e-6)
    unweighted = clone(model).fit(unit_data)
    assert not np.allclose(unweighted.components_, weighted.components_)


def test_with_noise_a_weight_of_2_is_the_row_twice_on_average(unit_data):
    weights = np.where(unit_data[:, 0] > 0.5, 2, 1)
    start = DenoisingAutoencoder(6, solver="sgd", momentum=0.0, random_state=0)
    start = start.set_params(batch_size=1000).partial_fit(unit_data)

    def mean_gradient(X, sample_weight=None):
        """Sum over rows, in the mean over the noise of many seeds."""
        steps = []
        for seed in range(50):
            model = copy.deepcopy(start)
            model._training_state["generator"] = (
                make_generator(seed).get_state().numpy()
            )
            model.partial_fit(X, sample_weight=sample_weight)
            steps.append(model.components_ - start.components_)
        return len(X) * np.mean(steps, axis=0)

    repeated = mean_gradient(unit_data.repeat(weights, axis=0))
    weighted, once = mean_gradient(unit_data, weights), mean_gradient(unit_data)
    by_noise, by_weight = weighted - repeated, weighted - once
    assert np.linalg.norm(by_noise) < 0.2 * np.linalg.norm(by_weight)
