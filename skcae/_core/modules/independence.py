"""Whether a row's code is a function of that row alone, as every penalty here assumes.

Layers that are known not to be that are seen by their flags. Of the rest it is tried
out: the same rows twice, and then some of them changed.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skcae._core.layers.module import drawn_in_training
from skcae._core.modules.derivatives import check_codes
from skcae._core.modules.referred import Encoder, modules_of, restored_buffers

# What has passed, and which of its modules were in training mode then.
Passed = WeakKeyDictionary[Any, set[tuple[Any, ...]]]
PASSED: Passed = WeakKeyDictionary()


# ---- known layers ---------------------------------------------------------------


def check_layers(encoder: nn.Module) -> None:
    """Refuse layers that make codes of several rows, or draw at random, as they are.

    Raises
    ------
    ValueError
        If there is one.
    """
    for name, layer in encoder.named_modules():
        reason = reason_against(layer)
        if reason:
            where = f"the encoder's layer {name!r}" if name else "the encoder"
            raise ValueError(f"{type(layer).__name__}, {where}, {reason}")


def reason_against(layer: nn.Module) -> str | None:
    """Say why a layer's rows have no Jacobians of their own, if they have none."""
    if isinstance(layer, _BatchNorm):
        if layer.running_mean is None:
            return MEETING.format("build it with track_running_stats=True for running")
        if layer.training:
            return MEETING.format("call its eval(), so that it takes its running")
    drawn = layer.training and drawn_in_training(layer)
    return RANDOM.format(drawn) if drawn else None


MEETING = (
    "normalises each row by statistics of the whole batch, so that no row has a "
    "Jacobian of its own: {} statistics."
)
RANDOM = (
    "is random in training mode ({}), so that the penalty would be that of another "
    "encoder than the loss: call its eval(), or the encoder's."
)


# ---- trying it out --------------------------------------------------------------


def check_by_trial(encoder: Encoder, X: Tensor) -> None:
    """Refuse an encoder whose rows are seen to meet, or that is seen to be random.

    That is tried once for each encoder, and again when modes of its modules change.

    Raises
    ------
    ValueError
        If the same rows get other codes, or a row gets another code when only others
        have changed.
    """
    modules = modules_of(encoder)
    owner: Any = encoder
    function: Any = None
    if inspect.ismethod(encoder):  # itself made anew at each look
        owner, function = encoder.__self__, encoder.__func__
    state = (function, *(module.training for module in modules))
    if state not in passed_by(owner):
        try_out(encoder, modules, X)
        if len(X) > 1:  # or there is nothing that could meet
            passed_by(owner).add(state)


def passed_by(owner: Any) -> set[tuple[Any, ...]]:
    """Return the states in which an encoder has passed."""
    try:
        return PASSED.setdefault(owner, set())
    except TypeError:  # it takes no weak references, or has no hash: each time, then
        return set()


def try_out(encoder: Encoder, modules: list[nn.Module], X: Tensor) -> None:
    """Encode rows twice, and then with every other one changed."""

    def codes(rows: Tensor) -> Tensor:
        with restored_buffers(modules):
            found = encoder(rows.clone())
        check_codes(found, len(rows))
        return found

    with torch.no_grad(), restored_generators(X.device):
        expected = codes(X)
        if differ(codes(X), expected).any():
            raise ValueError(
                "The encoder gives the same rows other codes when it is called again. "
                "The penalty would be that of another encoder than the loss: call its "
                "eval(), or fix what it draws at random."
            )
        for kept in range(min(len(X), 2)):
            changed = torch.arange(len(X), device=X.device) % 2 != kept
            moved = differ(codes(shaken(X, changed)), expected) & ~changed
            if moved.any():
                raise ValueError(
                    f"Row {int(moved.nonzero()[0])} of X gets another code when only "
                    "other rows change: the encoder mixes rows, as batch norm does in "
                    "training mode, so that no row has a Jacobian of its own. Call its "
                    "eval(), or let it treat each row by itself. If its rows are along "
                    "another axis, move that to the front."
                )


def shaken(X: Tensor, changed: Tensor) -> Tensor:
    """Move some of the rows by about the size of the largest entry."""
    size = X.abs().max().clamp(min=torch.finfo(X.dtype).tiny)
    entries = torch.arange(X[0].numel(), device=X.device).view(X.shape[1:])
    shift = size * torch.cos(1.0 + entries).to(X)
    return torch.where(changed.view(-1, *[1] * (X.ndim - 1)), X + shift, X)


def differ(codes: Tensor, expected: Tensor) -> Tensor:
    """Tell of each row whether its codes differ by more than rounding."""
    tolerance = torch.finfo(codes.dtype).eps ** 0.5
    codes, expected = (part.reshape(len(part), -1) for part in (codes, expected))
    scale = expected.abs().nan_to_num().max()
    same = torch.isclose(codes, expected, tolerance, tolerance * scale, equal_nan=True)
    return ~same.all(1)


@contextmanager
def restored_generators(device: torch.device) -> Iterator[None]:
    """Give torch's own generators back the states that they had."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
