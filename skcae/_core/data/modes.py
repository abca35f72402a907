"""The modes of torch that a program may be in, and that nothing here depends on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# Where products may be cast to lower types.
CASTING = ("cpu", "cuda", "mps")


@contextmanager
def plainly() -> Iterator[None]:
    """Compute as if torch neither inferred nor cast, whatever it does outside.

    What is made where torch infers has no derivatives, ever.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for kind in CASTING:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
