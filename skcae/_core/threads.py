"""How many of torch's threads a computation takes.

torch gives every operation all its threads. That is right for one large model and wrong
in two cases: small matrices, over which threads wait for each other longer than they
work, and several fits at once in one process, each of which would take them all.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# A product of two matrices gets one thread for so many multiplications.
MULTIPLICATIONS_PER_THREAD = 2**21


class _Process:
    """What the computations of this process know of each other."""

    lock = threading.Lock()
    n_running = 0
    n_threads = 1


@contextmanager
def fitting_threads(n_multiplications: int) -> Iterator[None]:
    """Give the body as many threads as its products deserve, at most its share.

    The share is torch's number of threads, as it was when nothing of ours was running,
    divided by the number of bodies that run at the moment.

    Parameters
    ----------
    n_multiplications : int
        The multiplications of one of its matrix products, n · d · h.
    """
    with _Process.lock:
        if _Process.n_running == 0:
            _Process.n_threads = torch.get_num_threads()
        _Process.n_running += 1
        share = _Process.n_threads // _Process.n_running
    deserved = n_multiplications // MULTIPLICATIONS_PER_THREAD
    torch.set_num_threads(max(1, min(share, deserved)))
    try:
        yield
    finally:
        with _Process.lock:
            _Process.n_running -= 1
            torch.set_num_threads(_Process.n_threads)
