"""The modes of torch in which encoders are differentiated, whatever is set outside."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from skcae._core.data.modes import plainly
from skcae._core.layers.plain import ATTENTION, Plain


@contextmanager
def differentiating(X: Tensor) -> Iterator[Tensor]:
    """Make graphs, and cast nothing to lower types; give rows that are fit for it."""
    kind = X.device.type
    is_low = torch.is_autocast_enabled(kind) and X.dtype.itemsize < 4
    with (
        plainly(),
        torch.enable_grad(),
        uncompiled(),
        Plain(ATTENTION),
    ):
        if X.is_inference():
            X = X.clone()
        yield X.float() if is_low else X


def uncompiled() -> AbstractContextManager[object]:
    """Run what torch has compiled as it was written, which has second derivatives."""
    is_used = "torch._dynamo" in sys.modules  # or it would be loaded, for seconds
    return torch.compiler.set_stance("force_eager") if is_used else nullcontext()
