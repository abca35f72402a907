"""The matrices of a training step, allocated once and used at every step."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
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
    Xᵀ and with dZᵀ run faster that way round. Where a penalty looks at S noisy copies
    of each row, they are encoded with the rows, as further samples, and not decoded:
    there are m = (1 + S) n inputs then, and n otherwise.

    Parameters
    ----------
    inputs : tensor of shape (m, d)
        What is encoded, [X; copies].
    X : tensor of shape (n, d)
        What is encoded and decoded.
    copies : tensor of shape (S, n, d) or None
        X with noise, S times, if there are any.
    target : tensor of shape (n, d)
        What is to be reconstructed: X itself, unless X is a corrupted copy.
    Z : tensor of shape (n, d)
        The decoder's pre-outputs, then the gradient dZ of the loss.
    codes : tensor of shape (h, m)
        φ(a) of all inputs.
    H : tensor of shape (h, n)
        Those of X.
    gradients : tensor of shape (h, m)
        The gradient with respect to the pre-activations of all inputs.
    dA : tensor of shape (h, n)
        That of X.
    left, right : tensors of shape (h, n + m) and (n + m, d)
        [H, gradients] and [dZ; inputs]: for tied weights, and only for them is there a
        `left`, the gradient of W is their product. Z and X are parts of `right`.
    outputs : list of (target, Z)
        Both again, a tile of rows at a time.
    units : list of UnitTile
        Codes and gradients again, a tile of rows at a time.
    """

    inputs: Tensor
    X: Tensor
    copies: Tensor | None
    target: Tensor
    Z: Tensor
    codes: Tensor
    H: Tensor
    gradients: Tensor
    dA: Tensor
    left: Tensor
    right: Tensor
    outputs: list[tuple[Tensor, Tensor]]
    units: list["UnitTile"]

    def __len__(self) -> int:
        return self.X.shape[0]


class Columns(NamedTuple):
    """Some columns of a tile: their gradient, and matrices of its shape to work in."""

    gradient: Tensor
    scratch: list[Tensor]


class UnitTile(NamedTuple):
    """Some of the units of a batch: the codes of all inputs, and what is made of them.

    `every` has the columns of all inputs, `own` those of X, which are all if there are
    no copies.
    """

    rows: slice
    codes: Tensor
    every: Columns
    own: Columns


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
    n_copies : int
        S, the noisy copies of each row that are encoded beside it.
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
        n_copies: int = 0,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.n_features = n_features
        self.n_components = n_components
        self.tied = tied
        self.corrupts = corrupts
        self.n_copies = n_copies
        n_inputs = (1 + n_copies) * batch_size
        # An accelerator takes all rows at once.
        is_cpu = device.type == "cpu"
        tile = TILE_ELEMENTS * torch.get_num_threads() if is_cpu else sys.maxsize
        self._tile_rows = min(max(1, tile // n_features), batch_size)
        self._tile_units = min(max(1, tile // n_inputs), n_components)
        numbers = partial(torch.zeros, dtype=dtype, device=device)
        # [H, gradients] and [dZ; inputs] have a column or row for both.
        n_stacked = batch_size + n_inputs
        self._codes = numbers(2 * n_inputs * n_components)
        self._left = numbers(n_stacked * n_components if tied else 0)
        self._right = numbers(n_stacked * n_features)
        self._target = numbers(batch_size * n_features if corrupts else 0)
        self._scratch = [numbers(self._tile_units * n_inputs) for _ in range(n_scratch)]
        self._batches: dict[int, Batch] = {}

    def batch(self, n: int) -> Batch:
        """Return the matrices for n rows, which share memory with those for others."""
        if n not in self._batches:
            self._batches[n] = self._make(n)
        return self._batches[n]

    def _make(self, n: int) -> Batch:
        # Samples are the last axis of codes and gradients, the first of all others.
        d, h, m = self.n_features, self.n_components, (1 + self.n_copies) * n
        codes, gradients = self._codes[: 2 * h * m].view(2, h, m)
        # [dZ; inputs] of (18) and (19), where dZ stands in the place of Z.
        right = self._right[: (n + m) * d].view(n + m, d)
        Z, inputs = right[:n], right[n:]
        X = inputs[:n]
        target = self._target[: n * d].view(n, d) if self.corrupts else X
        tiles = [torch.split(matrix, self._tile_rows) for matrix in (target, Z)]
        return Batch(
            inputs=inputs,
            X=X,
            copies=inputs[n:].view(-1, n, d) if self.n_copies else None,
            target=target,
            Z=Z,
            codes=codes,
            H=codes[:, :n],
            gradients=gradients,
            dA=gradients[:, :n],
            left=self._left[: h * (n + m)].view(h if self.tied else 0, n + m),
            right=right,
            outputs=list(zip(*tiles, strict=True)),
            units=list(self._unit_tiles(codes, gradients, n)),
        )

    def _unit_tiles(
        self, codes: Tensor, gradients: Tensor, n: int
    ) -> Iterator[UnitTile]:
        """Cut the units into tiles, of which the first n columns are those of X."""
        for start in range(0, len(codes), self._tile_units):
            rows = slice(start, start + self._tile_units)
            tile, gradient = codes[rows], gradients[rows]
            scratch = [part[: tile.numel()].view_as(tile) for part in self._scratch]
            own = Columns(gradient[:, :n], [matrix[:, :n] for matrix in scratch])
            yield UnitTile(rows, tile, Columns(gradient, scratch), own)
