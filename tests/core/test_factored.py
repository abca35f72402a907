"""The steps on sparse rows whose cost does not grow with the columns."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skcae import ContractiveAutoencoder, penalties
from skcae._core.data.rows import Rows
from skcae._core.steps import factored
from skcae._core.steps.factored import FactoredLearner, FactoredMatrix
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.training.solvers import Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

D, H, N = 60, 5, 8


def rows_of(X, weights=None):
    return Rows(X, weights, dtype=X.dtype, device=torch.device("cpu"))


@pytest.fixture
def X():
    X = sparse.random(10 * N, D, 0.1, random_state=0).toarray()
    X[3] = 0
    return sparse.csr_array(X)


def start(tied, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "components": (H, D),
        "intercept_hidden": (H,),
        "intercept_visible": (D,),
        "decoder_components": (H, D),
    }
    names = [*shapes][: 3 if tied else 4]
    return {
        name: 0.3
        * torch.randn(shapes[name], generator=generator, dtype=torch.float64).to(dtype)
        for name in names
    }


def fifty_steps(kind, X, objective, tied, weights=None, rate=0.1):
    parameters = start(tied, torch.float64 if X.dtype == "f8" else torch.float32)
    rows = rows_of(X, weights)
    learner = kind(objective, parameters, Sgd(parameters), rows, batch_size=N)
    totals = next(iter(parameters.values())).new_zeros(50, 2)
    for k in range(50):
        index = (np.arange(N) + k * N) % X.shape[0]
        learner.take_step(index, rate * min(1, k / 10), totals[k])
    return totals, learner.parameters


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_steps_are_those_of_dense_rows(activation, tied, X):
    """To rounding over fifty steps, penalties and weights included."""
    chosen = [(0.1, "jacobian_penalty"), (0.01, "weight_decay")]
    if ACTIVATIONS[activation].curved:
        chosen.append((0.01, "hessian_penalty"))
    if activation == "relu":
        chosen.clear()
    objective = Objective(
        ACTIVATIONS[activation],
        LOSSES["squared_error"],
        tuple((strength, penalties.PENALTIES[name]) for strength, name in chosen),
    )
    weights = np.random.default_rng(0).random(X.shape[0])
    how = objective, tied, weights
    dense = X.toarray()
    totals, found = fifty_steps(FactoredLearner, X, *how)
    expected_totals, expected = fifty_steps(ReconstructionLearner, dense, *how)
    torch.testing.assert_close(totals, expected_totals, rtol=1e-12, atol=1e-12)
    for name, part in expected.items():
        torch.testing.assert_close(found[name], part, rtol=1e-12, atol=1e-12)


def test_single_precision_keeps_its_digits(X):
    contraction = ((0.1, penalties.PENALTIES["jacobian_penalty"]),)
    objective = Objective(ACTIVATIONS["tanh"], LOSSES["squared_error"], contraction)
    _, found = fifty_steps(FactoredLearner, X.astype(np.float32), objective, True)
    _, expected = fifty_steps(FactoredLearner, X, objective, True)
    for name, part in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), part, rtol=1e-5, atol=1e-6)


def test_a_matrix_that_takes_all_away_is_multiplied_out(X):
    """M may be singular: U has no inverse then, and F has to take M itself."""
    Y = torch.randn(3, D, generator=torch.Generator().manual_seed(0)).double()
    B = torch.ones(N, 3, dtype=torch.float64)
    part = rows_of(X).read_sparse(np.arange(N))
    M = torch.diag(torch.tensor([0.0, 1.0, 1e-9], dtype=torch.float64))
    expected = M @ Y - B.mT @ torch.from_numpy(X[:N].toarray())
    matrix = FactoredMatrix(Y)
    matrix.descend(M, B, part, matrix.push(part))
    torch.testing.assert_close(matrix.K, expected @ expected.mT)
    matrix.write_to(Y)
    torch.testing.assert_close(Y, expected)


def test_a_long_training_drifts_no_further_than_rounding(X):
    """K and the factors are those of the weights after a hundred steps, too."""
    matrix = FactoredMatrix(torch.randn(4, D, dtype=torch.float64))
    Y, generator = matrix.F.mT.clone(), np.random.default_rng(0)
    for _ in range(100):
        rows = rows_of(X).read_sparse(generator.permutation(X.shape[0])[:N])
        B = 0.1 * torch.from_numpy(generator.standard_normal((N, 4)))
        A = torch.from_numpy(generator.standard_normal((4, 4)))
        M = torch.eye(4).double() - 0.1 * A @ A.mT / 4
        dense = np.zeros((N, D))
        dense[:, rows.columns] = rows.entries.toarray()
        Y = M @ Y - B.mT @ torch.from_numpy(dense)
        matrix.descend(M, B, rows, matrix.push(rows))
    torch.testing.assert_close(matrix.U @ matrix.F.mT, Y, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(matrix.K, Y @ Y.mT, rtol=1e-10, atol=1e-11)


WIDE = sparse.csr_array(sparse.random(70, 400, 0.02, random_state=1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("how", ["fit", "early", "partial", "warm"])
def test_a_fit_is_that_of_dense_rows(how, tied, monkeypatch):
    steps = []
    take_step = FactoredLearner.take_step

    def spy(self, *arguments):
        steps.append(len(arguments))
        return take_step(self, *arguments)

    monkeypatch.setattr(FactoredLearner, "take_step", spy)

    def fitted(X):
        model = ContractiveAutoencoder(
            4,
            solver="sgd",
            momentum=0,
            tied_weights=tied,
            max_iter=3,
            n_iter_no_change=np.inf,
            early_stopping=how == "early",
            warm_start=how == "warm",
            random_state=0,
        )
        for _ in range(1 if how in ("fit", "early") else 2):
            model.partial_fit(X) if how == "partial" else model.fit(X)
        return model

    sparse_model = fitted(WIDE)
    assert steps
    del steps[:]
    dense_model = fitted(WIDE.toarray())
    assert not steps
    for name in ("loss_curve_", "penalty_curve_", *dense_model._named_weights()):
        found, expected = getattr(sparse_model, name), getattr(dense_model, name)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    assert sparse_model.components_.flags.c_contiguous


@pytest.mark.parametrize(
    "how",
    [{"momentum": 0.9}, {"solver": "adam"}, {"loss": "cross_entropy"}, {"X": "dense"}],
    ids=str,
)
def test_what_has_no_such_step_takes_the_dense(how, monkeypatch):
    monkeypatch.setattr(FactoredLearner, "take_step", None)
    X = WIDE.toarray() if how.pop("X", None) else WIDE
    how = {"solver": "sgd", "momentum": 0, **how}
    ContractiveAutoencoder(4, max_iter=1, n_iter_no_change=np.inf, **how).fit(X)


def test_rows_with_many_entries_take_the_dense_step():
    objective = Objective(ACTIVATIONS["tanh"], LOSSES["squared_error"])
    solver = Sgd(start(True))
    full = rows_of(sparse.csr_array(np.ones((30, 400))))
    assert factored.pays(rows_of(WIDE), objective, solver, 20, 4)
    assert not factored.pays(full, objective, solver, 20, 4)
    assert not factored.pays(rows_of(WIDE), objective, solver, 20, 100)
