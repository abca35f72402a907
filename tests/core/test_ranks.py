"""What ranks tell each other, and what becomes of them when one fails."""

import pytest
import torch

from skcae._core.layers.dense import MatrixFactors
from skcae._core.layers.gradient import Gradient
from skcae._core.training.ranks import ALONE, GroupRanks, together
from tests.ranks import Threads, run_ranks


def ranks_run(monkeypatch, *bodies, **how):
    """Run each body on its ranks, within `together`."""

    def watched(body):
        def run():
            with together(True) as ranks:
                return body(ranks)

        return run

    results, _ = run_ranks(monkeypatch, *map(watched, bodies), **how)
    return results


def gradient_of(layer, scale):
    """A gradient of W in factors, of its rows' norms and of intercepts."""
    W = layer["components"]
    generator = torch.Generator().manual_seed(int(scale))
    draw = torch.ones_like(W).normal_(generator=generator)
    return Gradient(
        scale=1 / scale,
        parts={
            "components": MatrixFactors(
                draw[:, :2].clone(), draw[:2].clone(), draw[:, 0].clone()
            ),
            **{n: p + scale for n, p in layer.items() if p.ndim == 1},
        },
    )


def dense(gradient, layer):
    """The gradient of each parameter, formed."""
    formed = {name: torch.full_like(p, torch.nan) for name, p in layer.items()}
    for name, tensor in formed.items():
        gradient.add_to({name: tensor.zero_()}, layer)
    return formed


def test_alone_everything_is_ones_own(layer):
    totals, gradient = torch.tensor([3.0, 1.0]), gradient_of(layer(), 2)
    assert ALONE.gather("x") == ["x"]
    assert ALONE.open(layer(), 7) == [7]
    assert ALONE.average(gradient, layer(), 2, totals) is gradient
    assert totals.tolist() == [3.0, 1.0]
    assert ALONE.mean(2.0, 5.0) == 2.0
    assert ALONE.any(True)
    assert not ALONE.any(False)


def test_gradients_are_averaged_by_rows(layer, monkeypatch):
    """3 rows and 5: the sums are added, and divided by 8."""
    n_rows = (3, 5)

    def body(ranks):
        n, totals = n_rows[ranks.rank], torch.tensor([1.0, 5.0]).double()
        totals += ranks.rank
        shards = ranks.open(layer(), n)
        average = ranks.average(gradient_of(layer(), n), layer(), n, totals)
        formed = dense(average, layer())
        ranks.close()
        return shards, totals.tolist(), formed

    expected = [dense(gradient_of(layer(), n), layer()) for n in n_rows]
    for shards, totals, formed in ranks_run(monkeypatch, body, body):
        assert shards == [3, 5]
        assert totals == [3.0, 11.0]
        for name, tensor in formed.items():
            mean = (3 * expected[0][name] + 5 * expected[1][name]) / 8
            torch.testing.assert_close(tensor, mean, rtol=1e-12, atol=1e-12)


def test_a_rank_without_rows_adds_nothing(layer, monkeypatch):
    def body(ranks):
        totals = torch.zeros(2).double()
        ranks.open(layer(), 3)
        for _ in range(2):  # what the first leaves in the buffer is not in the second
            gradient = None if ranks.rank else gradient_of(layer(), 3)
            average = ranks.average(gradient, layer(), 0 if ranks.rank else 3, totals)
        formed = dense(average, layer())
        ranks.close()
        return formed

    expected = dense(gradient_of(layer(), 3), layer())
    for formed in ranks_run(monkeypatch, body, body):
        torch.testing.assert_close(formed, expected, rtol=1e-12, atol=1e-12)


def test_descent_along_the_average_is_the_same_step(layer, monkeypatch):
    """Descent, which folds W's gradient into a product, takes the formed one too."""

    def body(ranks):
        ranks.open(layer(), 3)
        average = ranks.average(
            gradient_of(layer(), 3), layer(), 3, torch.zeros(2, dtype=torch.float64)
        )
        moved = layer()
        average.descend(moved, dict.fromkeys(moved, 0.1))
        ranks.close()
        return moved

    expected = layer()
    gradient_of(layer(), 3).descend(expected, dict.fromkeys(expected, 0.1))
    for moved in ranks_run(monkeypatch, body, body):
        torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)


def test_numbers_and_flags_are_those_of_all(layer, monkeypatch):
    def body(ranks):
        ranks.open(layer(), 1)
        mean = ranks.mean(float(ranks.rank), 1.0 + 2 * ranks.rank)
        flags = ranks.any(ranks.rank == 1), ranks.any(False)
        ranks.close()
        return mean, flags

    assert ranks_run(monkeypatch, body, body) == 2 * [(0.75, (True, False))]


def test_the_first_rank_is_followed(monkeypatch):
    def body(ranks):
        tensors = [torch.full((2,), float(ranks.rank)), torch.tensor(ranks.rank + 5)]
        ranks.broadcast(tensors)
        return tensors

    for zeros, five in ranks_run(monkeypatch, body, body, body):
        assert zeros.tolist() == [0.0, 0.0]
        assert five == 5


# ---- failures -----------------------------------------------------------------------

FAILURES = [ValueError("no such rows"), KeyboardInterrupt(), MemoryError()]


def failing(body, error):
    """Fail where the body yields for the n-th time, on rank 1 alone."""

    def run(ranks, place):
        for number, _ in enumerate(body(ranks)):
            if number == place and ranks.rank == 1:
                raise error

    return run


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", range(8))
def test_wherever_a_rank_fails_all_end_at_once(place, error, layer, monkeypatch):
    """Before a training, in it, and between two."""

    def body(ranks):
        for _ in range(2):
            yield
            ranks.gather("ready")
            yield
            ranks.open(layer(), 1)
            yield
            ranks.average(None, layer(), 1, torch.zeros(2, dtype=torch.float64))
            yield
            ranks.close()
        ranks.end()

    def run(ranks):
        with together(True) as ranks:  # so that closing does not end it
            failing(body, error)(ranks, place)

    ours, theirs = ranks_run(monkeypatch, run, run)
    assert theirs is error
    assert isinstance(ours, RuntimeError)
    assert f"Rank 1 failed with {type(error).__name__}" in str(ours)
    assert str(error) in str(ours)
    assert "this estimator is what it was before" in str(ours)


def test_two_of_three_that_fail_are_both_named(layer, monkeypatch):
    def body(ranks):
        ranks.open(layer(), 1)
        if ranks.rank:
            raise ValueError(f"reason {ranks.rank}")
        ranks.any(False)

    ours, *theirs = ranks_run(monkeypatch, body, body, body)
    assert "Rank 1 failed with ValueError: reason 1." in str(ours)
    assert "Rank 2 failed with ValueError: reason 2." in str(ours)
    assert [str(error) for error in theirs] == ["reason 1", "reason 2"]


def test_what_is_over_is_nobodys_concern(layer, monkeypatch):
    """After the last message a rank that fails tells nobody, since nobody listens."""

    def body(ranks):
        ranks.open(layer(), 1)
        ranks.close()
        if ranks.rank == 1:
            raise ValueError("too late")
        return "done"

    threads = Threads(2)
    ours, theirs = ranks_run(monkeypatch, body, body, threads=threads)
    assert ours == "done"
    assert str(theirs) == "too late"
    assert threads.kinds == 2 * [["gather", n_numbers(layer)]]


def n_numbers(layer):
    """The length of a training's buffer: all parameters, and four numbers."""
    return sum(p.numel() for p in layer().values()) + 4


def test_a_rank_that_is_gone_is_told_from_one_that_failed(layer, monkeypatch):
    threads = Threads(2)

    def body(ranks):
        ranks.open(layer(), 1)
        if ranks.rank == 1:
            threads.barrier.abort()
            ranks.is_over = True  # it says nothing any more
            return
        ranks.any(False)

    ours, _ = ranks_run(monkeypatch, body, body, threads=threads)
    assert isinstance(ours, RuntimeError)
    assert "Rank 0 of 2 does not hear from the others any more" in str(ours)
    assert "timeout of torch.distributed.init_process_group" in str(ours)


def test_a_rank_that_is_left_alone_does_not_wait_to_say_that_it_fails(monkeypatch):
    """Both are in trouble: what the user is told is the rank's own."""
    threads = Threads(2)

    def alone(ranks):
        threads.barrier.abort()
        raise ValueError("own trouble")

    def gone(ranks):
        ranks.is_over = True

    ours, _ = ranks_run(monkeypatch, alone, gone, threads=threads)
    assert str(ours) == "own trouble"


def test_without_a_group_there_is_something_to_do():
    with (
        pytest.raises(
            ValueError, match=r"there is none\. Start the script with torchrun"
        ),
        together(True),
    ):
        pass  # not reached


def test_by_default_nobody_asks_for_a_group(monkeypatch):
    """The mere existence of a group joins nobody."""
    monkeypatch.setattr("skcae._core.training.ranks.distributed", Threads(2))
    with together(False) as ranks:
        assert ranks is ALONE


def test_a_body_within_another_has_the_same_ranks(monkeypatch):
    def body(ranks):
        with together(True) as inner:
            return inner is ranks and isinstance(ranks, GroupRanks)

    assert ranks_run(monkeypatch, body, body) == [True, True]
