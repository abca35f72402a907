"""The matrices of a training step, allocated once and used at every step."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# What is computed elementwise is computed so many numbers at a time and thread, so that
# what lies between two operations is still in the cache (256 KB in float32).
TILE_ELEMENTS = 2**16


@dataclass(frozen=True)
class Batch:
    """The matrices of a step over n rows.

    Samples are the rows of X and Z and the columns of H and dA: the products of W with
    Xᵀ and with dZᵀ run faster that way round.

    Parameters
    ----------
    X : tensor of shape (n, d)
        What is encoded.
    target : tensor of shape (n, d)
        What is to be reconstructed: X itself, unless X is a corrupted copy.
    Z : tensor of shape (n, d)
        The decoder's pre-outputs, then the gradient dZ of the loss.
    H : tensor of shape (h, n)
        The codes.
    dA : tensor of shape (h, n)
        The gradient with respect to the pre-activations.
    left, right : tensors of shape (h, 2n) and (2n, d)
        [H, dA] and [dZ; X]: for tied weights, and only for them is there a `left`, the
        gradient of W is their product. Z and X are parts of `right`.
    outputs : list of (target, Z)
        Both again, a tile of rows at a time.
    units : list of UnitTile
        H and dA again, a tile of rows at a time.
    """

    X: Tensor
    target: Tensor
    Z: Tensor
    H: Tensor
    dA: Tensor
    left: Tensor
    right: Tensor
    outputs: list[tuple[Tensor, Tensor]]
    units: list["UnitTile"]

    def __len__(self) -> int:
        return self.X.shape[0]


class UnitTile(NamedTuple):
    """Some of the units of a batch, with matrices of the same shape to work in."""

    rows: slice
    H: Tensor
    dA: Tensor
    scratch: list[Tensor]


def _tile_length(n_columns: int, device: torch.device) -> int:
    """Return how many rows make a tile; an accelerator takes them all at once."""
    if device.type != "cpu":
        return sys.maxsize
    return max(1, TILE_ELEMENTS * torch.get_num_threads() // n_columns)


def _slices(n_rows: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


class Workspace:
    """The memory of the batches of one training.

    Parameters
    ----------
    batch_size : int
        The rows of the largest batch.
    n_features, n_components : int
        d and h.
    n_scratch : int
        Scratch matrices that the objective needs.
    tied : bool
        Whether the weight gradients are one product, of `left` and `right`.
    corrupts : bool
        Whether what is encoded is another matrix than what is to be reconstructed.
    dtype, device
        Of all matrices.
    """

    def __init__(
        self,
        batch_size: int,
        n_features: int,
        n_components: int,
        n_scratch: int,
        *,
        tied: bool = True,
        corrupts: bool = False,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.n_features = n_features
        self.n_components = n_components
        self.tied = tied
        self.corrupts = corrupts
        self._tile_rows = _tile_length(n_features, device)
        self._tile_units = min(_tile_length(batch_size, device), n_components)

        def numbers(count: int) -> Tensor:
            return torch.zeros(count, dtype=dtype, device=device)

        self._codes = numbers(2 * batch_size * n_components)
        self._left = numbers(2 * batch_size * n_components if tied else 0)
        self._right = numbers(2 * batch_size * n_features)
        self._target = numbers(batch_size * n_features if corrupts else 0)
        self._scratch = [
            numbers(self._tile_units * batch_size) for _ in range(n_scratch)
        ]
        self._batches: dict[int, Batch] = {}

    def batch(self, n: int) -> Batch:
        """Return the matrices for n rows, which share memory with those for others."""
        if n not in self._batches:
            self._batches[n] = self._make(n)
        return self._batches[n]

    def _make(self, n: int) -> Batch:
        d, h = self.n_features, self.n_components
        H, dA = self._codes[: 2 * h * n].view(2, h, n)
        right = self._right[: 2 * n * d].view(2 * n, d)
        Z, X = right[:n], right[n:]
        target = self._target[: n * d].view(n, d) if self.corrupts else X
        return Batch(
            X=X,
            target=target,
            Z=Z,
            H=H,
            dA=dA,
            left=self._left[: 2 * h * n].view(h if self.tied else 0, 2 * n),
            right=right,
            outputs=[(target[rows], Z[rows]) for rows in _slices(n, self._tile_rows)],
            units=[
                UnitTile(rows, H[rows], dA[rows], self._scratch_like(H[rows]))
                for rows in _slices(h, self._tile_units)
            ],
        )

    def _scratch_like(self, tile: Tensor) -> list[Tensor]:
        return [part[: tile.numel()].view_as(tile) for part in self._scratch]
