"""Noise: corruptions of the input of a denoising autoencoder, and of copies of rows.

Each takes the rows, its level, a generator and where to put the corrupted rows. The
noise is drawn in float32, so that it is the same whatever the precision, and where the
generator is: from one of the processor it is the same whatever the device.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["CORRUPTIONS", "gaussian", "masking"]


def _for_noise(X: Tensor, out: Tensor, generator: torch.Generator) -> Tensor:
    is_free = X.untyped_storage().data_ptr() != out.untyped_storage().data_ptr()
    is_there = out.device.type == generator.device.type
    if out.dtype == torch.float32 and is_there and is_free:
        return out
    return torch.empty(out.shape, dtype=torch.float32, device=generator.device)


def gaussian(X: Tensor, level: float, generator: torch.Generator, out: Tensor) -> None:
    """Add Gaussian noise of standard deviation `level` to each entry.

    Parameters
    ----------
    X : tensor of shape (n, d)
        The rows.
    level : float
        The standard deviation, in the units of the data.
    generator : torch.Generator
        Where the noise comes from: of the processor, or of the device of X.
    out : tensor of shape (n, d)
        Where the corrupted rows are put; it may be X.

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol, "Stacked Denoising Autoencoders",
    JMLR 2010.

    Examples
    --------
    >>> import torch
    >>> from skcae.corruptions import gaussian
    >>> X, out = torch.zeros(100, 100), torch.empty(100, 100)
    >>> gaussian(X, 0.5, torch.Generator().manual_seed(0), out)
    >>> round(float(out.std()), 2)
    0.5
    """
    noise = _for_noise(X, out, generator).normal_(0.0, level, generator=generator)
    torch.add(noise.to(X), X, out=out)


def masking(X: Tensor, level: float, generator: torch.Generator, out: Tensor) -> None:
    """Set each entry to 0 with probability `level`.

    Parameters
    ----------
    X : tensor of shape (n, d)
        The rows.
    level : float
        The probability, between 0 and 1.
    generator : torch.Generator
        Where the noise comes from: of the processor, or of the device of X.
    out : tensor of shape (n, d)
        Where the corrupted rows are put; it may be X.

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol, "Stacked Denoising Autoencoders",
    JMLR 2010.

    Examples
    --------
    >>> import torch
    >>> from skcae.corruptions import masking
    >>> X, out = torch.ones(100, 100), torch.empty(100, 100)
    >>> masking(X, 0.25, torch.Generator().manual_seed(0), out)
    >>> round(float(out.mean()), 2)
    0.75
    """
    kept = _for_noise(X, out, generator).bernoulli_(1.0 - level, generator=generator)
    torch.mul(kept.to(X), X, out=out)


#: The corruptions by the name that estimators take.
CORRUPTIONS: dict[str, Callable[[Tensor, float, torch.Generator, Tensor], None]] = {
    "gaussian": gaussian,
    "masking": masking,
}
