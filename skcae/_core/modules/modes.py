"""The modes of torch in which encoders are differentiated, whatever is set outside."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from skcae._core.data.modes import plainly
from skcae._core.layers.plain import ATTENTION, Plain


@contextmanager
def differentiating(X: Tensor, encoder: object = None) -> Iterator[Tensor]:
    """Make graphs, and cast nothing to lower types; give rows that are fit for it."""
    parameters = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    # Modules of low types take rows of these.
    widest = max((part.dtype.itemsize for part in parameters), default=4)
    is_low = torch.is_autocast_enabled(X.device.type) and X.dtype.itemsize < widest
    with (
        plainly(),
        torch.enable_grad(),
        uncompiled(),
        Plain(ATTENTION),
    ):
        if X.is_inference():
            X = X.clone()
        X = X.float() if is_low else X
        # An encoder may refer to X itself: to it that is no part of what it is given.
        yield X.view_as(X) if X.requires_grad else X


def uncompiled() -> AbstractContextManager[object]:
    """Run what torch has compiled as it was written, which has second derivatives."""
    is_used = "torch._dynamo" in sys.modules  # or it would be loaded, for seconds
    return torch.compiler.set_stance("force_eager") if is_used else nullcontext()
