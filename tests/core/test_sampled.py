"""The steps that look at a sample of the columns in which a batch is zero."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import sparse

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    StackedCAE,
    penalties,
)
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows
from skcae._core.steps import sampled
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.steps.sampled import SampledLearner
from skcae._core.training.lazy import LAZY, LazyAdam, by_columns
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.corruptions import masking
from skcae.losses import LOSSES

D, H, N = 12, 3, 4
SOLVERS = {"adam": Adam, "sgd": Sgd}


def some_rows(n=N, d=D, density=0.2):
    X = sparse.csr_array(sparse.random(n, d, density, random_state=0))
    X.sort_indices()
    return X


def objective_of(loss="squared_error"):
    chosen = {"jacobian_penalty": 0.1, "hessian_penalty": 0.01, "weight_decay": 0.02}
    return Objective(
        ACTIVATIONS["sigmoid"],
        LOSSES[loss],
        tuple((strength, penalties.PENALTIES[n]) for n, strength in chosen.items()),
    )


def start(tied, d=D):
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "components": (H, d),
        "intercept_hidden": (H,),
        "intercept_visible": (d,),
        "decoder_components": (H, d),
    }
    return {
        name: torch.randn(shapes[name], generator=generator, dtype=torch.float64)
        for name in [*shapes][: 3 if tied else 4]
    }


def learner_of(X, objective, tied, solver, sampling, weights=None, corrupt=None):
    """Return one that samples, or one of dense rows."""
    parameters = start(tied, X.shape[1])
    rows = Rows(X, weights, dtype=X.dtype, device=torch.device("cpu"))
    if sampling is None:
        how = objective, parameters, SOLVERS[solver](parameters), rows
        return ReconstructionLearner(*how, batch_size=X.shape[0], corrupt=corrupt)
    parameters = by_columns(parameters)
    return SampledLearner(
        objective,
        parameters,
        LAZY[solver](parameters),
        rows,
        sampling=sampling,
        batch_size=X.shape[0],
        generator=torch.Generator().manual_seed(0),
        corrupt=corrupt,
    )


def after_steps(learner, n_steps=1, rate=0.05):
    totals = torch.zeros(n_steps, 2, dtype=torch.float64)
    for of_step in totals:
        learner.take_step(slice(None), rate, of_step)
    return {"totals": totals, **learner.parameters}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_with_all_columns_the_steps_are_those_of_dense_rows(solver, loss, tied):
    """(48) to (50) at p = 1, over twenty steps."""
    X, w = some_rows(), np.random.default_rng(0).random(N)
    how = objective_of(loss), tied, solver
    expected = after_steps(learner_of(X.toarray(), *how, None, w), 20)
    found = after_steps(learner_of(X, *how, 1.0, w), 20)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-11, atol=1e-12)


def halving_some(X, generator, out):
    """A corruption that leaves zeros zero, and that all containers agree on."""
    torch.mul(X, torch.where(X > 0.5, 0.5, 1.0), out=out)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_what_is_encoded_is_corrupted_and_what_is_reconstructed_is_not(loss, tied):
    """Of sparse rows as of dense ones, in training and where rows are held out."""
    X, held_out = some_rows(), some_rows(7).toarray()
    objective = Objective(ACTIVATIONS["sigmoid"], LOSSES[loss], ())
    how = objective, tied, "adam"
    learners = [
        learner_of(rows, *how, sampling, corrupt=halving_some)
        for rows, sampling in ((X, 1.0), (X.toarray(), None))
    ]
    found, expected = (after_steps(learner, 20) for learner in learners)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-11, atol=1e-12)
    cpu = torch.device("cpu")
    for learner in learners:
        learner.validation = Rows(held_out, None, dtype=held_out.dtype, device=cpu)
    values = [learner.held_out() for learner in learners]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    # Without the corruption it is another.
    learners[0].corrupt = None
    assert learners[0].held_out() != pytest.approx(values[1], rel=1e-3)


def test_masks_fall_on_entries_at_their_rate():
    """Others in each step, of each entry by itself; the rows themselves stay."""
    X = SparseRows.of(some_rows(40, 50, 0.5))
    before = X.entries.data.copy()
    learner = learner_of(some_rows(), objective_of(), True, "adam", 1.0)
    learner.corrupt = lambda X, generator, out: masking(X, 0.3, generator, out)
    kept = [learner.encoded(X).entries.data != 0 for _ in range(30)]
    np.testing.assert_array_equal(X.entries.data, before)
    # Of 30 000 the standard deviation is 0.003.
    assert np.mean(kept) == pytest.approx(0.7, abs=0.012)
    assert not np.array_equal(kept[0], kept[1])
    # √(0.3 · 0.7 / 30) = 0.084, if entries do not go together.
    assert np.std(np.mean(kept, 0)) == pytest.approx(0.084, abs=0.01)
    assert np.std(np.mean(kept, 1)) < 0.03


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_mean_over_all_samples_is_the_dense_step(loss, tied, monkeypatch):
    """Value, weights and both biases, by every sample that there is."""
    X, w, p = some_rows(d=15), np.random.default_rng(0).random(N), 0.4
    how = objective_of(loss), tied, "sgd"
    expected = after_steps(learner_of(X.toarray(), *how, None, w))
    n_zero = int((X.sum(0) == 0).sum())
    draws = list(combinations(range(n_zero), int(np.ceil(p * n_zero))))
    assert len(draws) > 10
    mean = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
    for draw in draws:
        monkeypatch.setattr(sampled, "sample", lambda n, m, g, d=draw: np.array(d))
        for name, tensor in after_steps(learner_of(X, *how, p, w)).items():
            mean[name] += tensor / len(draws)
    for name, tensor in expected.items():
        torch.testing.assert_close(mean[name], tensor, rtol=1e-12, atol=1e-13)


def test_each_column_is_drawn_as_often_as_any_other():
    generator = torch.Generator().manual_seed(0)
    draws = [sampled.sample(10, 3, generator) for _ in range(4000)]
    assert all(len(set(draw.tolist())) == 3 for draw in draws)
    # The standard deviation of each share is 0.007.
    shares = np.bincount(np.concatenate(draws), minlength=10) / 4000
    np.testing.assert_allclose(shares, 0.3, atol=0.03)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_step_reads_and_changes_no_other_column(solver, monkeypatch):
    """The cost, in columns: those of the batch and a tenth of the others."""
    d, names = 1000, ("components", "decoder_components", "intercept_visible")
    X = some_rows(d=d, density=0.01)
    touched = X.sum(0) != 0
    m = int(np.ceil(0.1 * (~touched).sum()))
    monkeypatch.setattr(sampled, "sample", lambda n, m, g: np.arange(m))
    touched[np.flatnonzero(~touched)[:m]] = True
    learner = learner_of(X, objective_of("cross_entropy"), False, solver, 0.1)
    before = start(False, d)
    for name in names:
        learner.parameters[name][..., ~touched] = torch.nan
    found = after_steps(learner)
    for name in names:
        assert found[name][..., ~touched].isnan().all()
        assert (found[name] != before[name])[..., touched].all()
        assert found[name][..., touched].isfinite().all()
    for name, tensor in learner.solver.state.items():
        if tensor.shape[-1] == d:
            assert not tensor[..., ~touched].any(), name
            assert tensor[..., touched].all(), name


def test_norms_drift_no_further_than_rounding():
    """(51) over two hundred steps, of which each changes them."""
    X = some_rows(20, 300, 0.02)
    learner = learner_of(X, objective_of(), True, "adam", 0.05)
    before = learner.squared_rows.clone()
    after_steps(learner, 200)
    exact = learner.parameters["components"].square().sum(1)
    assert (exact - before).abs().min() > 0.1
    torch.testing.assert_close(learner.squared_rows, exact, rtol=1e-11, atol=0)
    learner.squared_rows.zero_()
    learner.held_out()
    torch.testing.assert_close(learner.squared_rows, exact, rtol=1e-15, atol=0)


def test_bias_is_corrected_by_the_steps_of_each_column():
    """A first step moves by the rate, however late it comes: of Adam's m / √v is 1."""
    parameters = {
        "intercept_hidden": torch.zeros(1).double(),
        "intercept_visible": torch.zeros(3).double(),
    }
    solver = LazyAdam(parameters)
    for columns in (np.array([0]), np.array([0]), np.array([0, 2])):
        part = {name: parameters[name].clone() for name in parameters}
        part["intercept_visible"] = part["intercept_visible"][columns]
        gradient = {name: torch.ones_like(tensor) for name, tensor in part.items()}
        solver.change(part, columns, gradient, 0.1)
        parameters["intercept_visible"][columns] = part["intercept_visible"]
        parameters["intercept_hidden"].copy_(part["intercept_hidden"])
    expected = torch.tensor([-0.3, 0, -0.1]).double()
    torch.testing.assert_close(
        parameters["intercept_visible"], expected, rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        parameters["intercept_hidden"], expected[:1], rtol=1e-6, atol=0
    )
    assert solver.state["count.intercept_visible"].tolist() == [3, 0, 1]


WIDE = sparse.csr_array(sparse.random(70, 400, 0.02, random_state=1))
FEW = {"max_iter": 3, "n_iter_no_change": np.inf, "random_state": 0}


@pytest.mark.parametrize("how", ["fit", "early", "partial", "warm"])
def test_a_fit_with_all_columns_is_that_of_dense_rows(how):
    def fitted(X, sampling):
        model = ContractiveAutoencoder(
            4,
            reconstruction_sampling=sampling,
            early_stopping=how == "early",
            warm_start=how == "warm",
            **FEW,
        )
        for _ in range(1 if how in ("fit", "early") else 2):
            model.partial_fit(X) if how == "partial" else model.fit(X)
        return model

    found, expected = fitted(WIDE, 1), fitted(WIDE.toarray(), None)
    for name in ("loss_curve_", "penalty_curve_", *expected._named_weights()):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-13
        )
    assert found.components_.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_seed_decides_the_samples(dtype):
    X = WIDE.astype(dtype)
    model = Autoencoder(4, loss="cross_entropy", reconstruction_sampling=0.2, **FEW)
    W = model.fit(X).components_
    assert W.dtype == dtype
    assert np.array_equal(W, model.fit(X).components_)
    assert not np.array_equal(W, model.set_params(random_state=1).fit(X).components_)


def test_samples_teach_what_all_columns_do():
    """Some of the columns a step, and more steps, end at nearly the same loss."""
    model = Autoencoder(4, solver="sgd", momentum=0, learning_rate=0.03, **FEW)
    model.set_params(max_iter=60)
    before = -model.set_params(max_iter=1).fit(WIDE).score(WIDE)
    model.set_params(max_iter=60)
    expected = -model.fit(WIDE).score(WIDE)
    found = -model.set_params(reconstruction_sampling=0.2).fit(WIDE).score(WIDE)
    assert expected < 0.9 * before
    assert found < 1.02 * expected


def test_training_goes_on_with_or_without_samples():
    """The moments of each solver are those of the other."""
    model = Autoencoder(4, **{**FEW, "max_iter": 1}).partial_fit(WIDE)
    other = Autoencoder(4, **FEW).partial_fit(WIDE)
    model.partial_fit(WIDE)
    other.set_params(reconstruction_sampling=1).partial_fit(WIDE)
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-12)
    model.partial_fit(WIDE)
    other.set_params(reconstruction_sampling=None).partial_fit(WIDE)
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-12)


def test_a_denoising_autoencoder_samples():
    """It ends at the loss of all columns, and masking is all that it takes."""
    model = DenoisingAutoencoder(
        4, corruption="masking", solver="sgd", momentum=0, learning_rate=0.03, **FEW
    )
    model.set_params(max_iter=60, early_stopping=True)
    expected = -model.fit(WIDE).score(WIDE)
    found = -model.set_params(reconstruction_sampling=0.2).fit(WIDE).score(WIDE)
    assert found == pytest.approx(expected, rel=0.02)
    W = model.components_
    assert np.array_equal(W, model.fit(WIDE).components_)
    with pytest.raises(ValueError, match=r"corruption='gaussian'.*Take .*'masking'"):
        model.set_params(corruption="gaussian").fit(WIDE)


def test_a_stack_samples_in_its_first_layer():
    """The codes that the others see are dense."""
    stack = StackedCAE((6, 3), reconstruction_sampling=0.2, **FEW).fit(WIDE)
    first = ContractiveAutoencoder(6, reconstruction_sampling=0.2, **FEW).fit(WIDE)
    layers = stack.estimators_
    np.testing.assert_array_equal(layers[0].components_, first.components_)
    assert [layer.reconstruction_sampling for layer in layers] == [0.2, None]
    with pytest.raises(ValueError, match="samples the zeros of a sparse matrix"):
        stack.fit(WIDE.toarray())
    stack.set_params(hidden_layer_sizes=(6, 3, 2), warm_start=True).fit(WIDE)
    assert stack.transform(WIDE).shape == (70, 2)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"X": "dense"}, r"X is dense.*Pass scipy.sparse.csr_array\(X\)"),
        ({"solver": "sgd"}, "momentum=0.9, which moves all columns"),
        ({"data_parallel": True}, "data_parallel=True"),
        ({"hessian_noise": 0.1, "hessian_penalty": 0.1}, "have no zeros"),
        ({"reconstruction_sampling": 0.0}, "reconstruction_sampling.*range"),
        ({"reconstruction_sampling": 1.1}, "reconstruction_sampling.*range"),
    ],
    ids=str,
)
def test_what_cannot_be_sampled_is_refused(how, words):
    how = {"reconstruction_sampling": 0.1, **how}
    X = WIDE.toarray() if how.pop("X", None) else WIDE
    with pytest.raises(ValueError, match=words):
        ContractiveAutoencoder(4, **how).fit(X)
