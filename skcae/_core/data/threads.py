"""How many of torch's threads a computation takes.

torch gives every operation all its threads. That is right for one large model and wrong
in two cases: small matrices, over which threads wait for each other longer than they
work, and several fits at once in one process, each of which would take them all.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# A product of two matrices gets one thread for so many multiplications.
MULTIPLICATIONS_PER_THREAD = 2**21


class _Process:
    """What the computations of this process know of each other."""

    lock = threading.Lock()
    # For each Python thread with a computation, torch's count there before it began. An
    # entry that an interrupt leaves behind serves that thread's next computation.
    before: dict[int, int]
    # torch's count for new threads while nothing of ours runs, and who is not new.
    default = 1
    seen = threading.local()
    # Whether OpenMP may have started threads of its own.
    had_several = False

    @classmethod
    def forget(cls) -> None:
        """Start afresh, as a forked process must."""
        cls.lock = threading.Lock()
        cls.before = {}

    @classmethod
    def start_in_fork(cls) -> None:
        """Start afresh, on one thread if the parent may have had several.

        GNU's OpenMP would wait forever for those of the parent, which are not here.
        """
        cls.forget()
        if cls.had_several:
            torch.set_num_threads(1)


_Process.forget()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_Process.start_in_fork)


class OneAtATime:
    """A lock for the threads of a process, which one thread may take several times.

    A thread that holds it is not in a fork: a process that is forked starts afresh.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


@contextmanager
def fitting_threads(n_multiplications: int) -> Iterator[None]:
    """Give the body as many threads as its products deserve, at most its share.

    The share is torch's count in this Python thread, divided by the number of bodies
    that run in the process at the moment. Bodies do not nest.

    Parameters
    ----------
    n_multiplications : int
        The multiplications of one of its matrix products, n · d · h.
    """
    deserved = n_multiplications // MULTIPLICATIONS_PER_THREAD
    try:
        torch.set_num_threads(max(1, min(_enter(), deserved)))
        yield
    finally:
        _leave()


def _enter() -> int:
    """Count this thread in, and return its share."""
    with _Process.lock:
        if not _Process.before:
            _Process.default = torch.get_num_threads()
        # A new thread finds the count that another's computation has set for itself.
        is_new = not hasattr(_Process.seen, "yes")
        count = _Process.default if is_new else torch.get_num_threads()
        before = _Process.before.setdefault(threading.get_ident(), count)
        _Process.had_several |= before > 1
        _Process.seen.yes = True
        return before // len(_Process.before)


def _leave() -> None:
    """Give the thread its count back, and count it out."""
    with _Process.lock:
        before = _Process.before.get(threading.get_ident())
        if before is not None:
            torch.set_num_threads(before)
            del _Process.before[threading.get_ident()]
