"""The modes of torch in which encoders are differentiated, whatever is set outside."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from skcae._core.data.modes import plainly
from skcae._core.layers.plain import ATTENTION, Plain
from skcae._core.modules.referred import modules_of

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def differentiating(X: Tensor, encoder: object = None) -> Iterator[Tensor]:
    """Make graphs, and cast nothing to lower types; give rows that are fit for it."""
    is_cast = torch.is_autocast_enabled(X.device.type) and X.dtype.itemsize < 4
    with (
        plainly(),
        torch.enable_grad(),
        uncompiled(),
        Plain(ATTENTION),
    ):
        if X.is_inference():
            X = X.clone()
        X = X.float() if is_cast and not takes_low(encoder) else X
        # An encoder may refer to X itself: to it that is no part of what it is given.
        yield X.view_as(X) if X.requires_grad else X


def takes_low(encoder: object) -> bool:
    """Tell whether an encoder has parameters, all of less than four bytes."""
    own = [module.parameters(recurse=False) for module in modules_of(encoder)]
    widths = [part.dtype.itemsize for parameters in own for part in parameters]
    return bool(widths) and max(widths) < 4


def uncompiled() -> AbstractContextManager[object]:
    """Run what torch has compiled as it was written, which has second derivatives."""
    is_used = "torch._dynamo" in sys.modules  # or it would be loaded, for seconds
    return torch.compiler.set_stance("force_eager") if is_used else nullcontext()


def never_compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Leave a function out of what torch compiles, which goes on after it."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        # Not when it is defined: torch's compiler would be loaded, for seconds.
        if torch.compiler.is_compiling():
            left_out = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            found: T = left_out(*args, **kwargs)
            return found
        return function(*args, **kwargs)

    return called
