"""The threads that computations take, alone, small, and several at once."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from skcae._core.data import threads
from skcae._core.data.threads import MULTIPLICATIONS_PER_THREAD, fitting_threads

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


def in_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


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
            second = torch.get_num_threads()
            barrier.wait()
        return first, second, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(compute) for _ in "ab"]]
    # Who comes second finds one that runs already.
    first, second, after = zip(*results, strict=True)
    assert sorted(first) == sorted(second) == [2, 4]
    assert after == (4, 4)
    assert torch.get_num_threads() == 4
    assert in_thread(torch.get_num_threads) == 4


def test_a_new_thread_is_not_misled_by_a_small_computation_of_another():
    def compute():
        with fitting_threads(LARGE):
            return torch.get_num_threads()

    with fitting_threads(0):
        assert in_thread(compute) == 2
        assert torch.get_num_threads() == 1


def test_each_thread_keeps_the_count_that_it_was_given():
    def one():
        torch.set_num_threads(1)
        with fitting_threads(LARGE):
            assert torch.get_num_threads() == 1
        barrier.wait()
        barrier.wait()
        with fitting_threads(LARGE):
            pass
        return torch.get_num_threads()

    barrier = Barrier(2)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(one)
        barrier.wait()
        with fitting_threads(LARGE):
            barrier.wait()
            assert future.result() == 1
        assert torch.get_num_threads() == 4


def test_what_an_interrupt_leaves_behind_serves_the_next():
    generator = fitting_threads.__wrapped__(0)
    next(generator)
    assert threads._Process.before
    with fitting_threads(LARGE):
        assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 4
    assert not threads._Process.before
    generator.close()
    assert torch.get_num_threads() == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_starts_afresh_on_one_thread():
    with fitting_threads(0):
        child = os.fork()
        if child == 0:
            os._exit(len(threads._Process.before) + torch.get_num_threads() - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_error_gives_the_threads_back():
    with pytest.raises(KeyError, match="x"), fitting_threads(0):
        raise KeyError("x")
    with fitting_threads(LARGE):
        assert torch.get_num_threads() == 4
