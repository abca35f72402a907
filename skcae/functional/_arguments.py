"""What the penalties refuse to be called with."""

from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor


def check_rows(X: object) -> None:
    """Refuse what are no rows that can be differentiated by."""
    if not isinstance(X, Tensor):
        raise TypeError(
            f"X must be a torch.Tensor. Got {type(X).__name__}: take "
            "torch.as_tensor(X)."
        )
    if not X.is_floating_point():
        raise TypeError(
            "X must be of real floating-point numbers, since derivatives are taken by "
            f"them. Got {X.dtype}: take X.float(), or the output of the layer that "
            "embeds X, and the encoder from there on."
        )
    if X.ndim == 0 or X.numel() == 0:
        raise ValueError(
            f"X must have the shape (n, ...) with at least one row. Got {(*X.shape,)}."
        )


def check_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse another value than those."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}. Got {value!r}.")


def check_integer(name: str, value: object) -> None:
    """Refuse what is no whole number above 0."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
        raise ValueError(f"{name} must be an int of at least 1. Got {value!r}.")


def check_noise(noise: object) -> None:
    """Refuse what is no positive number."""
    # Its square is neither 0 nor infinite.
    if not isinstance(noise, Real) or not 1e-150 <= float(noise) <= 1e150:
        raise ValueError(
            "noise must be a positive number from 1e-150 to 1e150, the standard "
            f"deviation of the noise, or None. Got {noise!r}."
        )


def check_generator(generator: object) -> None:
    """Refuse a seed."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator or None. Got "
            f"{generator!r}: take torch.Generator().manual_seed(seed)."
        )
