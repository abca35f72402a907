"""The modes of torch that a program may be in, and that nothing here depends on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# Where products may be cast to lower types.
CASTING = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def plainly() -> Iterator[None]:
    """Compute as if torch neither inferred nor cast, whatever it does outside.

    What is made where torch infers has no derivatives, ever.
    """
    infers = torch.is_inference_mode_enabled()
    casting = [kind for kind in CASTING if torch.is_autocast_enabled(kind)]
    # A single row is encoded in less time than it takes to enter a mode.
    if not infers and not casting:
        yield
        return
    with ExitStack() as stack:
        if infers:
            stack.enter_context(torch.inference_mode(False))
        for kind in casting:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield
