"""The threads that computations take, alone, small, and several at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from skcae._core.threads import MULTIPLICATIONS_PER_THREAD, fitting_threads

LARGE = 100 * MULTIPLICATIONS_PER_THREAD


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("n_multiplications", "expected"),
    [
        (0, 1),
        (MULTIPLICATIONS_PER_THREAD - 1, 1),
        (2 * MULTIPLICATIONS_PER_THREAD, 2),
        (LARGE, 4),
    ],
)
def test_a_computation_alone_takes_what_it_deserves(n_multiplications, expected):
    with fitting_threads(n_multiplications):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4


def test_several_at_once_share_and_leave_nothing_behind():
    barrier = Barrier(2)

    def compute():
        with fitting_threads(LARGE):
            barrier.wait()
            first = torch.get_num_threads()
            barrier.wait()
        barrier.wait()
        with fitting_threads(LARGE):
            barrier.wait()
            return first, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(compute) for _ in "ab"]]
    # Who comes second finds one that runs already.
    assert sorted(first for first, _ in results) == [2, 4]
    assert sorted(second for _, second in results) == [2, 4]
    assert torch.get_num_threads() == 4
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 4


def test_an_error_gives_the_threads_back():
    with pytest.raises(KeyError, match="x"), fitting_threads(0):
        raise KeyError("x")
    with fitting_threads(LARGE):
        assert torch.get_num_threads() == 4
