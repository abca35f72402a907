"""The speed benchmarks compare like with like, and run."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from skcae import ContractiveAutoencoder

FOLDER = Path(__file__).parents[1] / "benchmarks" / "speed"


@pytest.fixture
def speed(monkeypatch):
    """Import a script of the folder by name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        module = __import__(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return load


def small_layer():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn((3, 5), generator=generator)
    b = torch.randn(3, generator=generator)
    X = torch.rand((4, 5), generator=generator)
    return W, b, X, torch.sigmoid(X @ W.T + b)


@pytest.mark.parametrize("name", ["per-unit loop", "vmap(jacrev)"])
def test_the_other_exact_penalties_are_the_same(name, speed):
    penalties = speed("steps").PENALTIES
    expected = penalties["closed form"](*small_layer())
    torch.testing.assert_close(penalties[name](*small_layer()), expected)


def test_hutchinsons_estimate_is_right_on_average(speed):
    steps = speed("steps")
    W, b, X, _ = small_layer()
    X = X[:1].expand(20_000, -1)
    H = torch.sigmoid(X @ W.T + b)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimate = steps.hutchinson(W, b, X, H).mean()
    expected = steps.closed_form(W, b, X, H)[0]
    torch.testing.assert_close(estimate, expected, rtol=0.02, atol=0)


@pytest.mark.parametrize("solver", ["sgd", "momentum", "adam"])
def test_our_step_and_autograds_take_the_same_step(solver, speed, monkeypatch):
    """The same parameters and the same batch move to the same place."""
    steps = speed("steps")
    seen = []
    draw = steps.parameters_of
    monkeypatch.setattr(
        steps, "parameters_of", lambda d, h: seen.append(draw(d, h)) or seen[-1]
    )
    X = np.random.default_rng(0).random((60, 7), dtype=np.float32)[:6]
    monkeypatch.setattr(torch, "rand", lambda n, d: torch.from_numpy(X.copy()))
    for step in (steps.our_step(7, 5, 6, solver), steps.autograd_step(7, 5, 6, solver)):
        for _ in range(3):
            step()
    ours, autograds = seen
    for name, parameter in ours.items():
        assert not torch.equal(parameter, draw(7, 5)[name])
        torch.testing.assert_close(parameter, autograds[name].detach())


NETWORKS = {
    "dense": lambda networks: (networks.dense((7, 5, 4)), 1, networks.dense_loss),
    "double backward": lambda networks: (
        networks.dense((7, 5, 4)),
        1,
        networks.double_backward_loss,
    ),
    "convolution": lambda networks: (
        networks.convolution((4, 6, 2), 3, 3, None),
        0,
        networks.convolution_loss,
    ),
    "max pooling": lambda networks: (
        networks.convolution((4, 6, 2), 3, 3, "max"),
        0,
        networks.convolution_loss,
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_our_network_and_the_plain_one_take_the_same_step(
    kind, strength, speed, monkeypatch
):
    networks = speed("networks")
    seen = []
    draw = networks.parameters_of
    monkeypatch.setattr(
        networks, "parameters_of", lambda layers: seen.append(draw(layers)) or seen[-1]
    )
    monkeypatch.setattr(networks, "signs_like", torch.ones_like)
    monkeypatch.setattr(
        "skcae._core.steps.joint.signs", lambda shape, generator: torch.ones(shape)
    )
    layers, n_probes, loss = NETWORKS[kind](networks)
    for step in (
        networks.our_step(layers, 6, strength, n_probes),
        networks.plain_step(layers, 6, strength, loss),
    ):
        for _ in range(3):
            step()
    ours, plain = seen
    for name, parameter in ours.items():
        assert not torch.equal(parameter, draw(layers)[name])
        torch.testing.assert_close(parameter, plain[name].detach())


def test_a_sampling_step_draws_its_noise_each_time(speed, monkeypatch):
    steps = speed("steps")
    drawn, gaussian = [], steps.gaussian

    def watched(X, level, generator, out):
        gaussian(X, level, generator, out)
        drawn.append(out - X)

    monkeypatch.setattr(steps, "gaussian", watched)
    step = steps.our_step(7, 5, 6, "sgd", 0.1, 0.1, 2)
    for _ in range(3):
        step()
    assert [noise.shape for noise in drawn] == 3 * [(2, 6, 7)]
    assert all((drawn[0] != noise).all() for noise in drawn[1:])


def test_the_straightforward_training_has_our_objective(speed, unit_data):
    quality = speed("quality")
    X = unit_data.astype(np.float32)
    model = ContractiveAutoencoder(
        4,
        jacobian_penalty=quality.PENALTY,
        loss="cross_entropy",
        learning_rate=1e-9,
        learning_rate_schedule="constant",
        batch_size=len(X),
        max_iter=10,
        random_state=0,
    ).fit(X)
    graph = quality.graph_objective(
        torch.from_numpy(X),
        *map(
            torch.from_numpy,
            (model.components_, model.intercept_hidden_, model.intercept_visible_),
        ),
    )
    assert float(graph) == pytest.approx(model.loss_curve_[-1], rel=1e-4)


def test_a_table_is_written(speed, tmp_path, monkeypatch, capsys):
    measure = speed("measure")
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    times = measure.in_turn({"a": lambda: None, "b": lambda: None}, rounds=3)
    assert set(times) == {"a", "b"}
    measure.write("name", "Title", measure.table(["x", "y"], [[1, 2]]), "command")
    page = (tmp_path / "results" / "name.md").read_text(encoding="utf-8")
    assert page.startswith("# Title\n")
    assert "| x | y |\n| --- | --- |\n| 1 | 2 |" in page
    assert "`command`" in capsys.readouterr().out


def test_spectra_are_the_same_in_all_ways(speed):
    spectrum = speed("spectrum")
    X = np.random.default_rng(0).random((3, 9), dtype="float32")
    ways = spectrum.contenders(spectrum.encoder_of(9, 12), X)
    expected = ways["singular_values"]()
    for name in ("loop of dense Jacobians", "vmap(jacrev)"):
        found = np.concatenate([np.atleast_2d(part) for part in ways[name]()])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ways["singular_values, 9"](), expected[:, :9])


def test_costs_of_networks_are_measured(speed):
    networks = speed("networks")
    images = ((4, 4, 1), 2, 3, "max")
    for lines in (
        networks.one_probe(2, [(4, 3, 2)]),
        networks.exact_norm(2, [(4, 3, 2)]),
        networks.convolutions(2, [images]),
    ):
        *_, row = lines.splitlines()
        assert float(row.split("|")[-2]) > 0
    assert "| 4-3-2 | 36 |" in networks.exact_norm(2, [(4, 3, 2)])
    assert "| 4 × 4 × 1, 2 filters of 3 × 3, max pooling | 64 |" in lines


def test_two_processes_are_compared_with_one(speed):
    """Rows that take one process 2 s, and twice as many that take both 2.5 s.

    Of these .2 s are lost to the machine, .1 to the gradient, .05 to waiting, .1 to
    the sum, and what is left after it.
    """
    benchmark = speed("data_parallel")
    n_samples = benchmark.EPOCHS * benchmark.STEPS_PER_EPOCH * 8
    seconds = {"alone": 2.0, "apart": 2.2, "silent": 2.3, "together": 2.5}
    busy = {"alone": 2.0, "apart": 2.0, "silent": 2.0, "together": 2.2}
    times = {name: np.array([[seconds[name]] * 3, [busy[name]] * 3]) for name in busy}
    times["exchange"] = np.array([[0.05] * 3, [0.1] * 3])
    row = benchmark.report({(8, "sgd"): times}).splitlines()[-1]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == [
        "8",
        "sgd",
        f"{n_samples / 2:.0f}",
        f"{2 * n_samples / 2.5:.0f}",
        "1.60 (1.60 to 1.60)",
        "+10",
        *("8", "4", "2", "4", "2"),
    ]


def test_two_trees_are_compared_in_turn(speed, monkeypatch, capsys):
    """What takes the first pair twice as long as before, and the second three times."""
    against, asked = speed("against"), []

    class Tree:
        def __init__(self, tree):
            self.is_now, self.cases = tree == against.HERE, ["step"]
            self.number = sum(tree is self.is_now for tree in made)
            made.append(self.is_now)

        def seconds(self, name, n):
            asked.append((self.is_now, n))
            return 0.01 * (2 + self.number if self.is_now else 1)

        def end(self):
            asked.append("end")

    made = []
    monkeypatch.setattr(against, "Tree", Tree)
    given = ["against", "before", "--pairs", "2", "--rounds", "2", "--seconds", "0.06"]
    monkeypatch.setattr("sys.argv", given)
    against.main()
    assert "| step | 10 | 2.500 | 2.000 to 3.000 |" in capsys.readouterr().out
    once, turns = [(False, 1), (True, 1)], [(False, 3), (True, 3), (True, 3)]
    assert asked[:8] == [*once, *once, *turns, (False, 3)]
    assert asked[8:10] == ["end", "end"]


def test_what_is_compared_runs(speed):
    cases = speed("against").cases()
    names = {name for name in cases if name.startswith("step") or "transform" in name}
    assert len(names) == 2
    for name in names:
        cases[name]()
